import dataclasses
import json

import pytest
from written_runs import write_run

from flax_vision.analysis import comparison
from flax_vision.analysis.comparison import (
    compute_cross_entropy,
    data_warnings,
    differences,
    read_run,
)
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.training.fit import fit


@pytest.fixture
def write(tmp_path):
    def write(name, *settings, **changes):
        return read_run(write_run(tmp_path / name, *settings, **changes))

    return write


def test_summary_of_a_finished_run(write):
    run = write("a")
    assert run.summary() == {
        "run": str(run.path),
        "model": "lenet5_modern",
        "data": "mnist_5k",
        "finished": True,
        "epochs": 3,
        "planned_epochs": 40,
        "best_epoch": 1,
        "validation_top1": 0.75,
        "test_top1": 0.875,
        "test_cross_entropy": 0.25,
        "parameters": 61_706,
        "train_seconds": 75.0,
        "images_per_second": 200.0,
    }


def test_unfinished_run_has_its_best_epoch_and_no_test(write):
    row = write("a", finished=False, epochs=2).summary()
    assert (row["finished"], row["epochs"], row["best_epoch"]) == (False, 2, 1)
    assert (row["validation_top1"], row["test_top1"], row["test_cross_entropy"]) == (0.75,) + (
        None,
    ) * 2
    new = write("b", finished=False, epochs=0).summary()
    assert (new["best_epoch"], new["images_per_second"], new["train_seconds"]) == (None, None, 0)


def test_another_loss_is_not_the_cross_entropy(write):
    assert write("a", "loss.name=lenet5_map").recorded_cross_entropy is None
    for index, setting in enumerate(("aux_weight=0.5", "label_smoothing=0.1", "name=focal")):
        assert write(f"b{index}", f"loss.{setting}").recorded_cross_entropy == 0.25
    assert write("c", "loss.class_weights=balanced").recorded_cross_entropy == 0.25


def test_differences_are_the_keys_that_differ(write):
    runs = [write("a", "seed=1"), write("b", "seed=2", "schedule.lr=0.5"), write("c", "seed=1")]
    assert differences(runs) == ["schedule.lr", "seed"]
    assert differences(runs[:1]) == []


def test_key_that_is_newer_than_a_run_has_its_default(write, tmp_path):
    one, other = write("a", "seed=1"), write("b", "seed=1")
    config = json.loads((other.path / "config.json").read_text())
    del config["crop"], config["seed"]
    (other.path / "config.json").write_text(json.dumps(config))
    assert differences([one, read_run(other.path)]) == ["seed"]


def test_option_of_only_one_model_does_not_differ(write):
    one, other = write("a"), write("b")
    other = dataclasses.replace(other, config={**other.config, "model.codes": "random"})
    assert differences([one, other]) == []
    third = dataclasses.replace(other, config={**other.config, "model.codes": "digits"})
    assert differences([one, other, third]) == ["model.codes"]


def test_warnings_name_the_runs_on_other_images(write):
    a, b, c = write("a"), write("b", test_digest="y"), write("c", classes=("cat", "dog"))
    assert list(data_warnings([a, a])) == []
    assert list(data_warnings([a, b, c])) == [
        f"{b.path} has other test images than {a.path}; do not compare their metrics",
        f"{c.path} has other classes than {a.path}; do not compare their accuracy",
    ]


def test_without_a_record_the_name_of_the_data_counts(write):
    a, b = write("a"), write("b", spec="lenet5:mnist")
    unknown = dataclasses.replace(b, dataset={})
    assert list(data_warnings([a, dataclasses.replace(a, dataset={})])) == []
    (warning,) = data_warnings([a, unknown])
    assert "has other validation and test images than" in warning


@pytest.mark.parametrize("file", ["config.json", "metrics.jsonl", "result.json"])
def test_damaged_file_is_named(file, write):
    run = write("a")
    (run.path / file).write_text("{")
    with pytest.raises(UserError, match=file):
        read_run(run.path)


def test_directory_without_a_run(tmp_path):
    with pytest.raises(UserError, match="no run in .*: it has no metrics.jsonl"):
        read_run(tmp_path)


def test_cross_entropy_without_images_is_unknown(write, monkeypatch):
    def refuse(path, on_progress):
        raise UserError("no images.")

    monkeypatch.setattr(comparison, "evaluate", refuse)
    run = write("a")
    assert compute_cross_entropy(run, print) == (
        None,
        [f"{run.path} has no cross-entropy of its test images: no images."],
    )


@pytest.mark.slow
def test_recorded_and_computed_cross_entropy_are_the_same(config, tmp_path):
    config.epochs = 1
    fit(config, tmp_path / "run")
    run = read_run(tmp_path / "run")
    computed, warnings = compute_cross_entropy(run, lambda what, done, total: None)
    assert computed == pytest.approx(run.recorded_cross_entropy, rel=1e-5)
    assert warnings == []
    assert evaluate(run.path).top1 == run.summary()["test_top1"]
