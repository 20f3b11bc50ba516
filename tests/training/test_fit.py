"""Whole runs in this process, and the files that they leave."""

import json
import logging
import shutil

import chex
import jax
import numpy as np
import pytest
from runs import read_metrics

import flax_vision as fv
from flax_vision.cli.training_display import TrainingDisplay
from flax_vision.data.batches import evaluation_batches
from flax_vision.errors import UserError
from flax_vision.evaluation.metrics import sum_batches
from flax_vision.training import build
from flax_vision.training import trainer as run_module
from flax_vision.training.build import build_experiment
from flax_vision.training.checkpoints import Checkpoints
from flax_vision.training.fit import fit
from flax_vision.training.run_dir import RunDirectory
from flax_vision.weights import best_epoch


def test_run_directory_tells_the_whole_story(finished):
    workdir, result = finished
    *epochs, last = read_metrics(workdir)
    assert [record["epoch"] for record in epochs] == [1, 2, 3]
    assert [record["step"] for record in epochs] == [3, 6, 9]
    assert last == result == json.loads((workdir / "result.json").read_text())
    assert result["test/images"] == 1000
    rows = result["test/per_class"]
    assert [(row["class"], row["support"]) for row in rows] == [(str(i), 100) for i in range(10)]
    recalls = [row["recall"] for row in rows]
    assert result["test/balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert all({"precision", "f1"} <= row.keys() for row in rows)
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


@pytest.mark.slow
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
    experiment = build_experiment(config, lambda *report: None)
    experiment.functions.compile()
    batches = evaluation_batches(experiment.splits.test, config.batch_size)
    again = sum_batches(experiment.functions.eval_step, variables, batches).averages()
    assert again["top1"] == result["test/top1"]
    assert again["loss"] == pytest.approx(result["test/loss"], rel=1e-6)
    assert model.num_classes == 10


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optimizer.name", "adan", "unknown config.optimizer.name 'adan'"),
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
    monkeypatch.setattr(build, "build_experiment", pytest.fail)
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


def test_same_command_exports_again_what_was_damaged(config, finished, tmp_path, capsys):
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run/export/model.json").unlink()
    result = fit(config, tmp_path / "run")
    assert "warning: the best checkpoint is tested and exported again: " in capsys.readouterr().err
    for key in ("test/top1", "best_epoch", "step"):
        assert result[key] == finished[1][key]
    chex.assert_trees_all_equal(fv.load(tmp_path / "run")[1], fv.load(finished[0])[1])


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


@pytest.mark.parametrize("when", ["check_dataset", "rewind", "write_metadata"])
def test_run_whose_directory_is_removed_is_an_error(when, config, tmp_path, monkeypatch):
    config.checkpoint.save_interval_secs = 0.0
    workdir, method = tmp_path / "run", getattr(RunDirectory, when)

    def remove(self, *args):
        shutil.rmtree(workdir)
        return method(self, *args)

    monkeypatch.setattr(RunDirectory, when, remove)
    with pytest.raises(UserError, match="run' was removed or moved during the run"):
        fit(config, workdir)


@pytest.mark.slow
@pytest.mark.parametrize("best", [1, 2, 3])
def test_best_epoch_is_exported_whichever_it_is(best, config, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(best_epoch, "epoch_rank", lambda record: (record["epoch"] == best,))
    result = fit(config, tmp_path)
    experiment = build_experiment(config, lambda *report: None)
    experiment.functions.compile()
    _, variables = fv.load(tmp_path)
    batches = evaluation_batches(experiment.splits.validation, config.batch_size)
    validated = sum_batches(experiment.functions.eval_step, variables, batches).averages()
    record = read_metrics(tmp_path)[best - 1]
    assert result["best_epoch"] == best
    assert validated["loss"] == pytest.approx(record["validation/loss"], rel=1e-6)


@pytest.mark.slow
def test_averages_of_an_epoch_are_its_own(config, tmp_path):
    config.schedule.lr = 1e-30
    fit(config, tmp_path)
    first, second, third, _ = read_metrics(tmp_path)
    # 768 of the same 800 images each time, and nothing is learned.
    for record in (second, third):
        assert record["train/loss"] == pytest.approx(first["train/loss"], rel=0.01)
        assert record["train/top1"] <= 1


@pytest.mark.slow
def test_progress_is_shown_within_an_epoch(config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(TrainingDisplay, "_PLAIN_SECONDS", 0.0)
    config.epochs = 1
    fit(config, tmp_path, TrainingDisplay())
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch 1/1")]
    assert len(lines) == 4  # three steps and the whole


@pytest.mark.slow
def test_no_validation_part_exports_the_last_epoch(config, tmp_path):
    config.data.val_fraction = 0.0
    config.epochs = 1
    result = fit(config, tmp_path)
    assert result["best_epoch"] == 1
    assert "validation/top1" not in result


def test_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(config, tmp_path):
    config.schedule.lr = 1e38
    config.checkpoint.save_interval_secs = 0.0
    with pytest.raises(UserError, match="not finite at step .*learning rate.*step 1 is kept"):
        fit(config, tmp_path)
    state = build_experiment(config, lambda *report: None).functions.state
    checkpoints = Checkpoints(tmp_path / "checkpoints", 2, lambda: None)
    (restored, _) = checkpoints.restore(checkpoints.steps()[-1], state)
    checkpoints.close()
    chex.assert_tree_all_finite(restored.params)


@pytest.mark.slow
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
