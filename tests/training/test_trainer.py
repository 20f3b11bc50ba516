"""The steps of a run: placement of their batches, and their collectives."""

import itertools
import types

import jax
import numpy as np
import pytest

from flax_vision.data.batches import balanced_order
from flax_vision.errors import UserError
from flax_vision.training import poll, trainer
from flax_vision.training.build import build_experiment
from flax_vision.training.fit import fit
from flax_vision.training.partitioning import Partitioner
from flax_vision.training.progress import TrainingObserver
from flax_vision.training.run_dir import open_run
from flax_vision.training.signals import Interrupted, Interruption
from flax_vision.training.step import TrainFunctions
from flax_vision.training.trainer import Trainer
from flax_vision.weights.saved_model import load_metadata


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_steps_receive_batches_that_are_on_the_devices(devices, config, tmp_path, monkeypatch):
    config.update_from_flattened_dict({"epochs": 1, "mesh.data": devices})
    compile_functions, names = TrainFunctions.compile, []

    def checked(name, step, sharding):
        def run(operand, batch):
            names.append(name)
            assert all(isinstance(x, jax.Array) and x.sharding == sharding for x in batch)
            with jax.transfer_guard("disallow"):
                return step(operand, batch)

        return run

    def compile_and_check(self):
        compile_functions(self)
        sharding = self.partitioner.batch_sharding()
        self.train_step = checked("train", self.train_step, sharding)
        self.eval_step = checked("eval", self.eval_step, sharding)

    monkeypatch.setattr(TrainFunctions, "compile", compile_and_check)
    fit(config, tmp_path)
    assert names == ["train"] * 3 + ["eval"] * (13 + 4)


def test_steps_receive_balanced_batches(config, tmp_path, monkeypatch):
    config.update_from_flattened_dict({"epochs": 1, "data.sampler": "balanced"})
    found = []

    def record(self, batch):
        found.append(batch)
        return shard_batch(self, batch)

    shard_batch = Partitioner.shard_batch
    monkeypatch.setattr(Partitioner, "shard_batch", record)
    fit(config, tmp_path)
    train = build_experiment(config, lambda *_: None).splits.train
    order = np.concatenate([batch.indices for batch in found[:3]])
    np.testing.assert_array_equal(order, balanced_order(train.labels, config.seed, 0)[:768])


@pytest.fixture
def two_processes(monkeypatch):
    """Lets the trainer believe in a second process, which asks for nothing; no time passes.

    Returns the collectives' values.
    """
    calls = []

    def all_max(*values):
        calls.append(values)
        return values

    fake = types.SimpleNamespace(process_count=lambda: 2, is_primary=lambda: True, all_max=all_max)
    for module in (poll, trainer):
        monkeypatch.setattr(module, "multihost", fake)
    monkeypatch.setattr(poll, "time", types.SimpleNamespace(monotonic=lambda: 0.0))
    return calls


def train(config, workdir, before_step, interruption=None):
    """Trains with a function that is called before each step."""
    experiment = build_experiment(config, lambda *report: None)
    with (
        open_run(workdir, config.to_dict()) as directory,
        Trainer(experiment, directory, TrainingObserver(), interruption or Interruption()) as run,
    ):
        run.start()
        train_step = experiment.functions.train_step

        def step(state, batch):
            before_step()
            return train_step(state, batch)

        experiment.functions.train_step = step
        run.train()


@pytest.mark.slow
def test_steps_between_decisions_call_no_collective(config, tmp_path, two_processes):
    config.update_from_flattened_dict({"epochs": 1, "batch_size": 64})
    counts = []
    train(config, tmp_path, lambda: counts.append(len(two_processes)))
    # Decisions before and after the steps 1, 3 and 7; the others are free.
    assert counts == [1, 2, 3, 4, 4, 4, 5, 6, 6, 6, 6, 6]


@pytest.mark.slow
def test_stop_between_decisions_is_noticed_at_the_next(config, tmp_path, two_processes):
    config.update_from_flattened_dict({"epochs": 1, "batch_size": 64})
    interruption, steps = Interruption(), []

    def send_signal():
        steps.append(len(steps) + 1)
        if len(steps) == 4:
            interruption.signal = trainer.signal.SIGTERM

    with pytest.raises(Interrupted, match="stopped by SIGTERM after step 6 of 12"):
        train(config, tmp_path, send_signal, interruption)
    assert steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_fast_evaluation_does_not_delay_decisions_of_slow_training(
    config, tmp_path, two_processes, monkeypatch
):
    config.update_from_flattened_dict({"epochs": 2, "batch_size": 64})
    clock, counts = types.SimpleNamespace(seconds=0.0), []
    monkeypatch.setattr(poll, "time", types.SimpleNamespace(monotonic=lambda: clock.seconds))

    def slow_step():
        clock.seconds += 1
        counts.append(len(two_processes))

    train(config, tmp_path, slow_step)
    # Each step decides, and so does the one after an evaluation, which takes no time here.
    assert all(before < after for before, after in itertools.pairwise(counts[2:]))


def test_begun_run_that_cannot_tell_how_it_began_says_so(config, finished, tmp_path):
    config.init_from = str(finished[0])
    checkpoint = tmp_path / "checkpoints/3"
    checkpoint.mkdir(parents=True)
    experiment = build_experiment(config, lambda *report: None, saved=load_metadata(finished[0]))
    assert experiment.init_variables is None
    checkpoint.rmdir()
    with (
        open_run(tmp_path, config.to_dict()) as directory,
        Interruption() as interruption,
        Trainer(experiment, directory, TrainingObserver(), interruption) as run,
        pytest.raises(UserError, match="has no checkpoint to resume from; give another --workdir"),
    ):
        run.start()
