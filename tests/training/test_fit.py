"""Whole runs, in this process: what they leave behind, and how they go on."""

import dataclasses
import json
import logging
import os
import shutil
import signal

import chex
import jax
import numpy as np
import pytest

import flax_vision as fv
from flax_vision.data.batches import evaluation_batches
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.evaluation.metrics import sum_batches
from flax_vision.training import build as training_setup
from flax_vision.training import fit as fit_module
from flax_vision.training import trainer as run_module
from flax_vision.training.build import prepare
from flax_vision.training.checkpoints import Checkpoints
from flax_vision.training.display import Display
from flax_vision.training.fit import fit
from flax_vision.training.run_dir import RunDirectory, open_run
from flax_vision.training.signals import Interrupted, Interruption
from flax_vision.training.step import TrainFunctions
from flax_vision.training.trainer import Trainer
from flax_vision.weights.saved_model import load_metadata


def read_metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(small_config, tmp_path_factory):
    """A finished run and its result."""
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, fit(small_config, workdir)


def test_run_directory_tells_the_whole_story(finished):
    workdir, result = finished
    *epochs, last = read_metrics(workdir)
    assert [record["epoch"] for record in epochs] == [1, 2, 3]
    assert [record["step"] for record in epochs] == [3, 6, 9]
    assert last == result == json.loads((workdir / "result.json").read_text())
    assert result["test/images"] == 1000
    best = max(epochs, key=lambda record: record["validation/top1"])
    assert result["validation/top1"] == best["validation/top1"]
    names = {path.name for path in workdir.iterdir() if not path.name.startswith("events")}
    files = {"config.json", "metrics.jsonl", "result.json", "run.lock", "launches.json"}
    files |= {"dataset.json", "model_metadata.json"}
    assert names == files | {"checkpoints", "export"}


def test_training_learns(finished):
    losses = [record["train/loss"] for record in read_metrics(finished[0])[:-1]]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]


def test_bfloat16_arithmetic_trains_float32_parameters(config, finished, tmp_path):
    with config.unlocked():
        config.model.dtype = "bfloat16"
    result = fit(config, tmp_path)
    _, whole = finished
    assert result["test/loss"] != whole["test/loss"]
    assert result["test/loss"] == pytest.approx(whole["test/loss"], rel=0.05)
    assert {x.dtype for x in jax.tree.leaves(fv.load(tmp_path)[1])} == {np.dtype(np.float32)}


def test_export_is_the_best_model_and_reaches_what_was_reported(config, finished):
    workdir, result = finished
    model, variables = fv.load(workdir)
    setup = prepare(config, lambda *report: None)
    setup.program.compile()
    batches = evaluation_batches(setup.parts.test, config.batch_size)
    again = sum_batches(setup.program.eval_step, variables, batches).averages()
    assert again["top1"] == result["test/top1"]
    assert again["loss"] == pytest.approx(result["test/loss"], rel=1e-6)
    assert model.num_classes == 10


def test_export_knows_the_background_of_the_training_images(finished):
    background = load_metadata(finished[0]).background
    assert 0 <= background.mean < 1
    assert 0 < background.std < 2


def test_background_of_a_resumed_run_is_not_measured_again(config, finished, monkeypatch):
    kept = load_metadata(finished[0])
    monkeypatch.setattr(training_setup, "measure_background", lambda *_: pytest.fail("measured"))
    assert prepare(config, lambda *_: None, kept=kept).metadata.background == kept.background


def test_background_that_a_resumed_run_does_not_know_is_measured(config, finished):
    kept = load_metadata(finished[0])
    unknown = dataclasses.replace(kept, background=None)
    assert prepare(config, lambda *_: None, kept=unknown).metadata.background == kept.background


def test_fine_tuning_begins_with_a_run_and_keeps_what_is_frozen(config, finished, tmp_path):
    config.init_from, config.freeze = str(finished[0]), "C.*"
    config.seed, config.epochs = 5, 1
    fit(config, tmp_path / "tuned")
    before, after = fv.load(finished[0])[1]["params"], fv.load(tmp_path / "tuned")[1]["params"]
    for layer, arrays in before.items():
        same = np.array_equal(arrays["kernel"], after[layer]["kernel"])
        assert same == layer.startswith("C"), layer
    # Three small steps away from it, where another beginning would be far.
    moved = np.abs(after["F6"]["kernel"] - before["F6"]["kernel"]).mean()
    assert moved < 0.3 * np.abs(before["F6"]["kernel"]).mean()


def test_run_resumes_without_the_model_of_init_from(config, finished, tmp_path, monkeypatch):
    begin_with = tmp_path / "other"
    shutil.copytree(finished[0] / "export", begin_with)
    config.init_from, config.seed, config.epochs = str(begin_with), 5, 1
    fit(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    shutil.rmtree(begin_with)
    config.init_from = ""
    fit(config, tmp_path / "stopped")
    saved = json.loads((tmp_path / "stopped/config.json").read_text())
    assert saved["init_from"] == str(begin_with)
    ways = (tmp_path / "whole", tmp_path / "stopped")
    chex.assert_trees_all_equal(*(fv.load(workdir)[1] for workdir in ways))
    cards = [(workdir / "model_metadata.json").read_text() for workdir in ways]
    assert cards[0] == cards[1]


def test_begun_run_that_cannot_tell_how_it_began_says_so(config, finished, tmp_path):
    config.init_from = str(finished[0])
    checkpoint = tmp_path / "checkpoints/3"
    checkpoint.mkdir(parents=True)
    setup = prepare(config, lambda *report: None, kept=load_metadata(finished[0]))
    assert setup.initial is None
    checkpoint.rmdir()
    with (
        open_run(tmp_path, config.to_dict()) as directory,
        Display() as display,
        Interruption() as interruption,
        Trainer(setup, directory, display, interruption) as run,
        pytest.raises(UserError, match="has no checkpoint to go on from; give another --workdir"),
    ):
        run.start()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": "C9"}, "config.freeze is 'C9', and no layer has such a name"),
        ({"init_from": "nowhere"}, "no model in 'nowhere'"),
        ({"init_from": "{}", "init_pattern": "C9"}, "config.init_pattern is 'C9', and no layer in"),
        ({"init_from": "{}", "model.name": "lenet5"}, "do not fit the network"),
        ({"init_from": "{}", "model.background": 0.5}, "background is -0.1 there and 0.5 here"),
    ],
)
def test_mistakes_about_layers_are_found_before_images_are_read(
    changes, message, config, finished, monkeypatch
):
    monkeypatch.setattr(training_setup, "load_data", pytest.fail)
    config.update_from_flattened_dict(
        {k: v.format(finished[0]) if isinstance(v, str) else v for k, v in changes.items()}
    )
    with pytest.raises(UserError, match=message):
        prepare(config, lambda *report: None)


def test_batch_that_does_not_divide_is_mended_by_all_processes_alike(config, monkeypatch):
    config.update_from_flattened_dict({"batch_size": 30, "mesh.data": 0})
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(UserError, match="among 4 devices; give --config.batch_size=32.$"):
        training_setup.make_partitioner(config)


def test_summary_of_a_run_of_one_step_an_epoch(config):
    config.batch_size = 800
    summary = prepare(config, lambda *report: None).summary()
    assert summary.endswith("800 training, 3,200 validation, 1,000 test images; 1 step an epoch")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optimizer.name", "adam", "unknown config.optimizer.name 'adam'"),
        ("schedule.lr", -1.0, "config.schedule.lr is -1.0; it must"),
        ("model.codes", "ascii", "unknown option of lenet5_modern 'codes'"),
    ],
)
def test_configuration_from_python_is_checked_before_anything_is_written(
    key, value, message, config, tmp_path
):
    with config.unlocked():
        config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=f"^{message}"):
        fit(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_string_is_a_path_and_a_tilde_is_home(config, finished, monkeypatch):
    workdir, result = finished
    monkeypatch.setenv("HOME", str(workdir.parent))
    assert fit(config, f"~/{workdir.name}") == result


def test_finished_run_is_not_trained_again(config, finished, monkeypatch):
    workdir, result = finished
    monkeypatch.setattr(fit_module, "prepare", pytest.fail)
    assert fit(config, workdir) == result


def test_test_set_is_used_once(config, tmp_path, monkeypatch):
    sizes = []

    def counted(images, *rest):
        sizes.append(len(images))
        return evaluation_batches(images, *rest)

    monkeypatch.setattr(run_module, "evaluation_batches", counted)
    fit(config, tmp_path)
    assert sizes == [3200, 3200, 3200, 1000]


def test_steps_are_compiled_once(config, tmp_path, caplog):
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        fit(config, tmp_path)
    compiled = [r.getMessage() for r in caplog.records if "Finished XLA comp" in r.getMessage()]
    for step in ("_train_step", "_eval_step"):
        assert sum(step in message for message in compiled) == 1


def stop_at(monkeypatch, step: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Sends this process a signal in the middle of a step."""
    compile_steps = TrainFunctions.compile

    def compile_and_count(self):
        compile_steps(self)
        train_step = self.train_step

        def counted(state, batch):
            if int(state.step) == step - 1:
                os.kill(os.getpid(), number)
            return train_step(state, batch)

        self.train_step = counted

    monkeypatch.setattr(TrainFunctions, "compile", compile_and_count)


@pytest.mark.parametrize("step", [1, 4, 6])
def test_stopped_run_goes_on_to_the_same_bits(
    step, config, finished, tmp_path, monkeypatch, capsys
):
    workdir, whole = finished
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        message = f"stopped by SIGTERM after step {step} of 9.*same command again"
        with pytest.raises(Interrupted, match=message) as error:
            fit(config, tmp_path / "stopped")
        assert error.value.is_common
    capsys.readouterr()
    with (tmp_path / "stopped/metrics.jsonl").open("a") as file:
        file.write('{"step": 999, "of": "what a kill undid"}\n')
    monkeypatch.setattr(training_setup, "measure_background", lambda *_: pytest.fail("measured"))
    result = fit(config, tmp_path / "stopped")
    assert f"going on from step {step}" in capsys.readouterr().out
    chex.assert_trees_all_equal(fv.load(tmp_path / "stopped")[1], fv.load(workdir)[1])
    timeless = [name for name in whole if name not in ("train_seconds", "input_wait_fraction")]
    assert {name: result[name] for name in timeless} == {name: whole[name] for name in timeless}
    for there, here in zip(read_metrics(workdir), read_metrics(tmp_path / "stopped"), strict=True):
        measured = {"epoch_seconds", "input_wait_fraction", "images_per_second"}
        assert {k: v for k, v in there.items() if k not in measured} == {
            k: v for k, v in here.items() if k not in measured
        }


def test_more_epochs_give_the_bits_of_one_long_run(config, tmp_path, monkeypatch, capsys):
    config.schedule.name, config.epochs = "constant", 3
    whole = fit(config, tmp_path / "whole")
    config.epochs = 1
    fit(config, tmp_path / "run")
    with monkeypatch.context() as patch:
        config.epochs = 2
        stop_at(patch, 5)
        with pytest.raises(Interrupted, match="after step 5 of 6"):
            fit(config, tmp_path / "run")
    assert not (tmp_path / "run/result.json").exists()
    config.epochs = 3
    capsys.readouterr()
    result = fit(config, tmp_path / "run")
    assert "going on from step 5" in capsys.readouterr().out
    chex.assert_trees_all_equal(fv.load(tmp_path / "run")[1], fv.load(tmp_path / "whole")[1])
    assert [record["step"] for record in read_metrics(tmp_path / "run")] == [3, 6, 9, 9]
    assert json.loads((tmp_path / "run/config.json").read_text())["epochs"] == 3
    assert {k: result[k] for k in result if k not in ("train_seconds", "input_wait_fraction")} == {
        k: whole[k] for k in whole if k not in ("train_seconds", "input_wait_fraction")
    }


def test_stopped_run_is_evaluated_and_initializes_another(config, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_at(patch, 7)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    assert evaluate(tmp_path / "stopped", split="validation").top1 == pytest.approx(
        max(record["validation/top1"] for record in read_metrics(tmp_path / "stopped"))
    )
    config.init_from, config.epochs = str(tmp_path / "stopped"), 1
    fit(config, tmp_path / "other")
    assert "stopped is not finished (epoch 2 of 3); using the checkpoint of epoch 2, the best" in (
        capsys.readouterr().out
    )


def test_same_command_writes_a_report_that_a_kill_prevented(
    config, finished, tmp_path, monkeypatch
):
    shutil.copytree(finished[0], tmp_path / "run")
    reported = []
    monkeypatch.setattr(fit_module, "_report", lambda *of: reported.append(of[:2]))
    config.write_report = True
    fit(config, tmp_path / "run")
    assert reported == [(tmp_path / "run", None)]
    (tmp_path / "run/report").mkdir()
    (tmp_path / "run/report/index.html").touch()
    fit(config, tmp_path / "run")
    assert len(reported) == 1


def test_same_command_exports_again_what_was_damaged(config, finished, tmp_path, capsys):
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run/export/model.json").unlink()
    result = fit(config, tmp_path / "run")
    assert "warning: the best checkpoint is tested and exported again: " in capsys.readouterr().err
    for key in ("test/top1", "best_epoch", "step"):
        assert result[key] == finished[1][key]
    chex.assert_trees_all_equal(fv.load(tmp_path / "run")[1], fv.load(finished[0])[1])


def test_checkpoint_of_a_later_step_costs_nothing(config, finished, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(Interrupted):
            fit(config, tmp_path)
    shutil.copytree(tmp_path / "checkpoints/4", tmp_path / "checkpoints/9")
    assert fit(config, tmp_path)["step"] == 9
    assert "checkpoint 9 is of another run; this one is at step 4" in capsys.readouterr().err
    chex.assert_trees_all_equal(fv.load(tmp_path)[1], fv.load(finished[0])[1])


def test_run_whose_directory_is_removed_during_a_save_leaves_nothing(config, tmp_path, monkeypatch):
    config.checkpoint.save_interval_secs = 0.0

    def fail(self, *arguments):
        shutil.rmtree(self._directory.parent)
        self._directory.mkdir(parents=True)  # as Orbax does
        raise FileNotFoundError("no such step")

    monkeypatch.setattr(Checkpoints, "save", fail)
    with pytest.raises(UserError, match="run' was removed or moved during the run"):
        fit(config, tmp_path / "run")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("when", ["claim_images", "rewind", "write_metadata"])
def test_run_whose_directory_is_removed_is_an_error(when, config, tmp_path, monkeypatch):
    config.checkpoint.save_interval_secs = 0.0
    workdir, method = tmp_path / "run", getattr(RunDirectory, when)

    def remove(self, *args):
        shutil.rmtree(workdir)
        return method(self, *args)

    monkeypatch.setattr(RunDirectory, when, remove)
    with pytest.raises(UserError, match="run' was removed or moved during the run"):
        fit(config, workdir)


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        pytest.param(
            {"schedule.name": "plateau", "schedule.patience": 1, "schedule.lr": 1e-9},
            [1e-9, 1e-9, 1e-10],  # for nothing becomes better
            id="plateau",
        ),
        pytest.param(
            {
                "model.name": "lenet5",
                "loss.name": "lenet5_map",
                "optimizer.name": "levenberg_marquardt",
                "optimizer.curvature_samples": 32,
                "schedule.name": "constant",
                "schedule.lr": 1e-3,
            },
            [1e-3, 1e-3, 1e-3],
            id="curvature",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_rates_that_a_run_has_found_go_on_with_it(changes, rates, config, tmp_path, monkeypatch):
    config.update_from_flattened_dict(changes)
    fit(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 8)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    fit(config, tmp_path / "stopped")
    ways = (tmp_path / "whole", tmp_path / "stopped")
    chex.assert_trees_all_equal(*(fv.load(workdir)[1] for workdir in ways))
    for workdir in ways:
        records = read_metrics(workdir)
        assert [x["learning_rate"] for x in records if "learning_rate" in x] == pytest.approx(rates)


@pytest.mark.parametrize("best", [1, 2, 3])
def test_best_epoch_is_exported_whichever_it_is(best, config, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "epoch_rank", lambda record: (record["epoch"] == best,))
    result = fit(config, tmp_path)
    setup = prepare(config, lambda *report: None)
    setup.program.compile()
    _, variables = fv.load(tmp_path)
    batches = evaluation_batches(setup.parts.validation, config.batch_size)
    validated = sum_batches(setup.program.eval_step, variables, batches).averages()
    record = read_metrics(tmp_path)[best - 1]
    assert result["best_epoch"] == best
    assert validated["loss"] == pytest.approx(record["validation/loss"], rel=1e-6)


def test_averages_of_an_epoch_are_its_own(config, tmp_path):
    config.schedule.lr = 1e-30
    fit(config, tmp_path)
    first, second, third, _ = read_metrics(tmp_path)
    # 768 of the same 800 images each time, and nothing is learned.
    for record in (second, third):
        assert record["train/loss"] == pytest.approx(first["train/loss"], rel=0.01)
        assert record["train/top1"] <= 1


def test_progress_is_shown_within_an_epoch(config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Display, "_PLAIN_SECONDS", 0.0)
    config.epochs = 1
    fit(config, tmp_path)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch 1/1")]
    assert len(lines) == 4  # three steps and the whole


def test_no_validation_part_exports_the_last_epoch(config, tmp_path):
    config.data.val_fraction = 0.0
    config.epochs = 1
    result = fit(config, tmp_path)
    assert result["best_epoch"] == 1
    assert "validation/top1" not in result


def test_batch_larger_than_the_set(config, tmp_path):
    config.batch_size = 801
    with pytest.raises(UserError, match="batch_size is 801.*only 800 images"):
        fit(config, tmp_path)


def test_mean_for_another_number_of_channels(config, tmp_path):
    config.data.mean = (1.0, 2.0, 3.0)
    with pytest.raises(UserError, match="data.mean has 3 numbers.*have 1 channel;"):
        fit(config, tmp_path)


def test_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(config, tmp_path):
    config.schedule.lr = 1e38
    config.checkpoint.save_interval_secs = 0.0
    with pytest.raises(UserError, match="not finite at step .*learning rate.*step 1 is kept"):
        fit(config, tmp_path)
    state = prepare(config, lambda *report: None).program.state
    checkpoints = Checkpoints(tmp_path / "checkpoints", 2, lambda: None)
    (restored, _) = checkpoints.restore(checkpoints.steps()[-1], state)
    checkpoints.close()
    chex.assert_tree_all_finite(restored.params)


def test_damaged_checkpoint_of_the_best_epoch_gives_way(config, tmp_path, monkeypatch, capsys):
    config.checkpoint.save_interval_secs = 0.0
    restore = Checkpoints.restore

    def damage_first(self, step, state):
        if not damaged:
            damaged.append(step)
            (self._directory / str(step) / "state/manifest.ocdbt").write_bytes(b"nothing")
        return restore(self, step, state)

    damaged = []
    monkeypatch.setattr(Checkpoints, "restore", damage_first)
    result = fit(config, tmp_path)
    assert f"step {damaged[0]} is damaged" in capsys.readouterr().err
    assert result["best_epoch"] * 3 != damaged[0]


def test_stopped_while_reading_the_data(config, tmp_path, monkeypatch):
    def reading(config, report):
        os.kill(os.getpid(), signal.SIGINT)
        report(config.data.name, 1, 2)
        pytest.fail("it went on reading")

    monkeypatch.setattr(training_setup, "load_data", reading)
    with pytest.raises(Interrupted, match="stopped by SIGINT while reading") as error:
        fit(config, tmp_path)
    assert not error.value.is_common
