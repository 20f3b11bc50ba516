"""A run in progress: its epochs, checkpoints, validation, and what it comes to."""

import dataclasses
import signal
import statistics
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.errors import JaxRuntimeError

from flax_vision.data.batches import Batch, evaluation_batches, samples, training_batches
from flax_vision.data.dataset import Dataset
from flax_vision.errors import UserError, add_file_name
from flax_vision.evaluation.averages import total
from flax_vision.evaluation.metrics import Totals, has_top5
from flax_vision.ops import backend
from flax_vision.runtime import environment, multihost
from flax_vision.training.build import Experiment
from flax_vision.training.checkpoints import Checkpoints
from flax_vision.training.display import Display
from flax_vision.training.run_dir import RunDirectory
from flax_vision.training.signals import Interrupted, Interruption
from flax_vision.training.state import TrainState, is_finite
from flax_vision.training.throughput import ThroughputMeter
from flax_vision.weights import saved_model
from flax_vision.weights.run_checkpoints import CorruptCheckpointError, History, epoch_rank


class Trainer:
    """A run in progress: how far it has come, and its next moves."""

    def __init__(
        self,
        setup: Experiment,
        directory: RunDirectory,
        display: Display,
        interruption: Interruption,
    ) -> None:
        self._setup = setup
        self._config = setup.config
        self._placement = setup.program.placement
        self._directory = directory
        self._display = display
        self._interruption = interruption
        self._history: History = []
        self._state: TrainState
        self._step = 0
        directory.check_exists()
        self._checkpoints = Checkpoints(
            directory.checkpoints, self._config.checkpoint.max_to_keep, self._best_step
        )
        self._saved_at = self._lapped_at = time.monotonic()

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        is_lost = kind is not None and issubclass(kind, JaxRuntimeError)
        try:
            if (
                not is_lost or multihost.count() == 1
            ):  # else a save may wait for a process that is dead
                self._checkpoints.close()
        finally:
            self._directory.check_exists()  # this error explains the others

    def start(self) -> None:
        """Takes up the newest checkpoint, or begins; and compiles."""
        program = self._setup.program
        found = self._checkpoints.restore_newest(program.state, self._display.warning)
        if found is None:
            self._state = self._begin()
        else:
            self._state, self._history = found
            self._step = int(self._state.step)
            self._checkpoints.set_aside_after(self._step, self._display.warning)
            self._display.line(f"going on from step {self._step:,}")
        self._directory.begin(self._setup.metadata, self._history)
        self._display.line(self._setup.summary())
        for note in self._setup.notes:
            self._display.line(note)
        self._display.line(f"{backend.describe()}; {environment.describe()}")
        if self._placement.mesh.size > 1:
            self._display.line(f"mesh: {self._placement.describe(program.state.params)}")
        self._display.compiling()
        program.compile()
        self._display.begin(self._step)
        self._lap()

    def _begin(self) -> TrainState:
        if self._setup.initial is None:
            raise UserError(
                f"{self._directory.checkpoints} has no checkpoint to go on from; give another "
                "--workdir to start again."
            )
        return self._setup.program.init(self._config.seed).starting_from(self._setup.initial)

    def train(self) -> None:
        """Trains and validates the epochs that are left."""
        for epoch in range(len(self._history), self._config.epochs):
            record = self._train_epoch(epoch) | self._validate() | {"epoch_seconds": self._lap()}
            self._history.append(record)
            error = np.float32(1 - record.get("validation/top1", np.nan))
            self._state = self._setup.program.end_epoch(self._state, error)
            self._directory.log(record)
            self._display.epoch(record, self._config.epochs, self._setup.total_steps)
            self._display.left_out(self._setup.parts.left_out())
            is_best = "validation/top1" in record and self._best_step() == self._step
            (saves,) = multihost.agreed(is_best or self._is_save_due)
            if saves:
                self._save()
        self._save()

    def finish(self) -> dict[str, Any]:
        """Tests the best model, exports it, and returns what the run came to."""
        self._checkpoints.wait()
        best, state = self._restore_best()
        tested = self._setup.parts.test
        totals = self._evaluate(state.variables, tested)
        test = totals.averages()
        if not has_top5(len(tested.class_names)):
            del test["top5"]
        self._display.left_out(self._setup.parts.left_out())
        result = {
            "step": self._step,
            "best_epoch": best["epoch"],
            **{name: value for name, value in best.items() if name.startswith("validation/")},
            **_prefixed("test", test),
            "test/images": int(totals.count),
            "train_seconds": sum(record["epoch_seconds"] for record in self._history),
            "input_wait_fraction": statistics.fmean(
                record.get("input_wait_fraction", 0.0) for record in self._history
            ),
        }
        metadata = dataclasses.replace(self._setup.metadata, metrics=result)
        variables = self._placement.gathered(state.variables)
        if multihost.is_first():
            with add_file_name(self._directory.export):
                saved_model.save(self._directory.export, metadata, variables)
        self._directory.finish(result)
        return result

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        """Trains what is left of an epoch, and returns its record.

        Loss and accuracy are of the whole epoch; the pace is that of what this process trained of
        it, and left out where that is nothing.
        """
        pace, program = ThroughputMeter(), self._setup.program
        at_once = self._config.steps_per_call
        for batch in pace.clocked(self._batches(epoch), self._is_idle):
            self._stop_if_asked()
            if at_once == 1:
                self._state = program.train_step(self._state, batch)
                self._step += 1
            else:
                self._state = program.train_steps(self._state, batch)
                self._step += batch.labels.shape[0]
            if not self._setup.parts.train.in_memory:
                # Steps that wait for their turn would hold their images, and hide whether the next
                # batch is waited for.
                jax.block_until_ready(self._state.step)
            shows, saves = multihost.agreed(self._display.is_due, self._is_save_due)
            if shows:
                self._show(epoch, pace)
            if saves:
                self._save()
        # On the host, for the step is not on the devices of all processes.
        plateau = jax.device_get(self._state.plateau)
        last = self._state.replace(step=np.int32(self._step - 1), plateau=plateau)
        return {
            "epoch": epoch + 1,
            "step": self._step,
            "learning_rate": float(program.learning_rate(last)),
            **_prefixed("train", self._finite_totals().averages()),
            **pace.record(),
        }

    def _is_idle(self) -> bool:
        """Whether the devices are through with all steps that they were given."""
        step: Any = self._state.step
        return step.is_ready()

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """Yields what is left of an epoch, several batches at once where the run has it so."""
        done = self._step - epoch * self._setup.steps_per_epoch
        train, config = self._setup.parts.train, self._config
        if config.optimizer.name == "levenberg_marquardt" and not done:
            chosen = samples(train, config.optimizer.curvature_samples, config.seed, epoch)
            chosen = self._placement.put_everywhere(chosen)
            self._state = self._setup.program.begin_epoch(self._state, chosen)
        constant = not config.data.reshuffle
        size, at_once = config.batch_size, config.steps_per_call
        rows = self._placement.rows(size)
        batches = training_batches(train, size, config.seed, epoch, done, constant, at_once, rows)
        return map(self._placement.put, batches)

    def _validate(self) -> dict[str, float]:
        validation = self._setup.parts.validation
        if not len(validation):
            return {}
        totals = self._evaluate(self._state.variables, validation)
        return _prefixed("validation", totals.averages())

    def _evaluate(self, variables: Any, images: Dataset) -> Totals:
        size, placement = self._config.batch_size, self._placement
        batches = map(placement.put, evaluation_batches(images, size, placement.rows(size)))
        return total(self._setup.program.eval_step, variables, batches, self._stop_if_asked)

    def _show(self, epoch: int, pace: ThroughputMeter) -> None:
        name = f"{epoch + 1}/{self._config.epochs}"
        averages = self._finite_totals().averages()
        self._display.training(name, self._step, self._setup.total_steps, averages, pace)

    def _finite_totals(self) -> Totals:
        """Returns the totals of the epoch so far, if the loss has always been finite."""
        totals, bad_step = jax.device_get((self._state.totals, self._state.bad_step))
        if bad_step:
            raise self._not_finite(int(bad_step))
        return totals

    def _best_step(self) -> int | None:
        return max(self._history, key=epoch_rank)["step"] if self._history else None

    def _restore_best(self) -> tuple[dict[str, Any], TrainState]:
        """Returns the record and the state of the best epoch whose checkpoint is whole."""
        for record in sorted(self._history, key=epoch_rank, reverse=True):
            if record["step"] in self._checkpoints.steps():
                try:
                    state, _ = self._checkpoints.restore(record["step"], self._setup.program.state)
                except CorruptCheckpointError as damage:
                    self._display.warning(f"{damage}; taking the next best epoch")
                else:
                    return record, state
        raise UserError(
            f"no checkpoint of a finished epoch in {self._directory.path} can be read; the same "
            "command goes on from the newest that is whole."
        )

    def _lap(self) -> float:
        """Returns the seconds since this was last called."""
        before, self._lapped_at = self._lapped_at, time.monotonic()
        return self._lapped_at - before

    @property
    def _is_save_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self._config.checkpoint.save_interval_secs

    def _save(self) -> None:
        if not is_finite(self._state):
            raise self._not_finite(int(self._state.bad_step) or self._step)
        self._directory.restore_config()
        self._checkpoints.save(self._step, self._state, self._history)
        self._saved_at = time.monotonic()

    def _stop_if_asked(self) -> None:
        (number,) = multihost.agreed(self._interruption.signal or 0)
        if not number:
            return
        self._save()
        self._checkpoints.wait()
        stopped_by = signal.Signals(number)
        raise Interrupted(
            stopped_by,
            f"stopped by {stopped_by.name} after step {self._step:,} of "
            f"{self._setup.total_steps:,}; all of it is saved in {self._directory.path}. "
            "Give the same command again to go on.",
            is_common=True,
        )

    def _not_finite(self, step: int) -> UserError:
        rate = self._config.schedule.lr
        self._checkpoints.wait()
        kept = self._checkpoints.steps()
        return UserError(
            f"the loss is not finite at step {step:,} (epoch "
            f"{(step - 1) // self._setup.steps_per_epoch + 1}). Likely causes: a learning rate "
            f"that is too high (config.schedule.lr is {rate}; try {rate / 10:g}), or "
            "pixels that are not normalized (config.data.mean and std). "
            + (f"The checkpoint of step {kept[-1]:,} is kept." if kept else "Nothing was saved.")
        )


def _prefixed(part: str, averages: dict[str, float]) -> dict[str, float]:
    return {f"{part}/{name}": value for name, value in averages.items()}
