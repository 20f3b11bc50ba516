"""Whole runs that end early, and runs with another metric for the best epoch."""

import json
import shutil

import chex
import pytest
from runs import LineRecorder, read_metrics, stop_at

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.training import trainer
from flax_vision.training.config_loader import check_config
from flax_vision.training.fit import fit
from flax_vision.training.signals import Interrupted
from flax_vision.weights.saved_model import load_metadata

REASON = "no better top1 for 2 epochs"
IMPATIENT = {"epochs": 9, "schedule.name": "constant", "schedule.lr": 1e-9, "stop.patience": 2}
MEASURED = ("train_seconds", "input_wait_fraction")


@pytest.fixture
def impatient(config):
    """A run whose top-1 accuracy stays the same, and that ends after the third of nine epochs."""
    config.update_from_flattened_dict(IMPATIENT)
    return config


def without_times(result):
    return {name: value for name, value in result.items() if name not in MEASURED}


@pytest.fixture(scope="module")
def ended(small_config, tmp_path_factory):
    """An impatient run, its result and its lines."""
    config, observer = small_config.copy_and_resolve_references(), LineRecorder()
    config.update_from_flattened_dict(IMPATIENT)
    workdir = tmp_path_factory.mktemp("ended")
    return workdir, fit(config, workdir, observer), observer.text


def test_run_without_a_better_epoch_ends_as_a_finished_run(impatient, ended):
    workdir, result, text = ended
    assert f"stopped early after 3 of 9 epochs: {REASON}\n" in text
    assert (result["stopped_early"], result["step"]) == (REASON, 9)
    assert result == json.loads((workdir / "result.json").read_text())
    assert [record.get("epoch") for record in read_metrics(workdir)] == [1, 2, 3, None]
    assert fit(impatient, workdir) == result  # the same command trains no further
    assert "stopped_early" not in load_metadata(workdir).metrics


@pytest.mark.slow
def test_stopped_and_resumed_run_ends_early_with_the_same_bits(
    impatient, ended, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        stop_at(patch, 8)
        with pytest.raises(Interrupted):
            fit(impatient, tmp_path)
    assert without_times(fit(impatient, tmp_path)) == without_times(ended[1])
    chex.assert_trees_all_equal(fv.load(tmp_path)[1], fv.load(ended[0])[1])


@pytest.mark.slow
def test_run_killed_before_its_test_ends_after_the_same_epoch(impatient, tmp_path, monkeypatch):
    def fail(self):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "finish", fail)
        with pytest.raises(MemoryError):
            fit(impatient, tmp_path)
    assert fit(impatient, tmp_path)["step"] == 9


@pytest.mark.slow
def test_run_continues_with_more_patience(impatient, ended, tmp_path):
    shutil.copytree(ended[0], tmp_path / "run")
    impatient.stop.patience, observer = 4, LineRecorder()
    result = fit(impatient, tmp_path / "run", observer)
    assert "continues at epoch 4 of 9: config.stop.patience 2 -> 4; the past" in observer.text
    assert (result["stopped_early"], result["step"]) == ("no better top1 for 4 epochs", 15)
    assert json.loads((tmp_path / "run/config.json").read_text())["stop"]["patience"] == 4


@pytest.mark.slow
def test_run_that_is_out_of_time_stops_at_once_and_can_continue(
    config, finished, tmp_path, monkeypatch
):
    over = iter([False] * 5 + [True])  # three steps and the end of the epoch, then two steps
    config.stop.after_minutes, observer = 90.0, LineRecorder()
    with monkeypatch.context() as patch:
        patch.setattr(trainer.EpochHistory, "is_time_over", lambda *_: next(over))
        result = fit(config, tmp_path, observer)
    reason = "90 minutes of training are over"
    assert f"stopped early after 1 of 3 epochs: {reason}" in observer.text
    assert (result["stopped_early"], result["best_epoch"], result["step"]) == (reason, 1, 5)
    config.stop.after_minutes = 0.0
    assert without_times(fit(config, tmp_path)) == without_times(finished[1])
    chex.assert_trees_all_equal(fv.load(tmp_path)[1], fv.load(finished[0])[1])


def test_patience_without_validation_is_an_error(config, tmp_path):
    config.update_from_flattened_dict({"data.val_fraction": 0.0, "stop.patience": 5})
    message = "config.stop.patience is 5, which needs validation images.* give a share above 0"
    with pytest.raises(UserError, match=message):
        fit(config, tmp_path / "run")
    config.update_from_flattened_dict({"stop.patience": 0, "checkpoint.best_metric": "loss"})
    with pytest.raises(UserError, match="config.checkpoint.best_metric is 'loss', which needs val"):
        fit(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("key", ["checkpoint.best_metric", "stop.metric"])
def test_unknown_metric(key, config):
    config.update_from_flattened_dict({key: "accuracy"})
    with pytest.raises(UserError, match=f"^unknown config.{key} 'accuracy'; .*balanced_accuracy"):
        check_config(config)


@pytest.mark.slow
def test_trainer_and_loader_agree_on_the_best_epoch(config, tmp_path, monkeypatch):
    evaluate_epoch = trainer.Trainer._evaluate_epoch

    def lower_top1_and_loss(self):
        epoch = len(self._history) + 1
        return evaluate_epoch(self) | {"validation/top1": 0.5 / epoch, "validation/f1": epoch / 10}

    monkeypatch.setattr(trainer.Trainer, "_evaluate_epoch", lower_top1_and_loss)
    config.checkpoint.best_metric = "f1"
    with monkeypatch.context() as patch:
        stop_at(patch, 8)
        with pytest.raises(Interrupted):
            fit(config, tmp_path)
    assert "epoch 2, the best so far" in str(evaluate(tmp_path, split="validation").warnings)
    with pytest.warns(UserWarning, match="using the checkpoint of epoch 2, the best so far"):
        fv.load(tmp_path)
    result = fit(config, tmp_path)
    assert (result["best_epoch"], result["validation/f1"]) == (3, 0.3)
    records = read_metrics(tmp_path)
    assert [record.get("best_metric") for record in records] == ["f1", "f1", "f1", None]
