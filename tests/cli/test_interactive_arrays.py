"""`fv.train` on arrays in memory."""

import json

import chex
import numpy as np
import pytest

import flax_vision as fv
from flax_vision.cli import interactive
from flax_vision.data.custom_datasets import has_arrays
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.errors import UserError
from flax_vision.training import data_pipeline
from flax_vision.training.resume_check import check_same_run

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
LABELS = np.arange(40) % 4


class StoppedError(Exception):
    """Ends a call of `fv.train` where the training would begin."""


@pytest.fixture
def read(monkeypatch):
    """Lists the configuration and the splits of calls of `fv.train`, which it stops."""
    found = []

    def fit(config, path, observer):
        found.append((config, data_pipeline.load_data(config, lambda *_: None)))
        raise StoppedError

    monkeypatch.setattr(interactive, "fit", fit)
    return found


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        ({"data": {"test_fraction": 0.25, "val_fraction": 0.2}}, {}),
        (
            {"data.name": "mnist", "data.test_fraction": 0.25, "data.val_fraction": 0.2},
            {"data": {"name": "cifar10"}},
        ),
        ("lenet5:mnist", {"data.test_fraction": 0.25, "data.val_fraction": 0.2}),
    ],
)
def test_arrays_replace_the_dataset_of_the_configuration(config, overrides, read):
    with pytest.raises(StoppedError):
        fv.train(config, data=(IMAGES, LABELS), class_names="abcd", overrides=overrides)
    ((config, splits),) = read
    assert config.data.name == "arrays"
    assert [len(split) for split in splits] == [24, 8, 8]
    assert splits.train.class_names == ["a", "b", "c", "d"]
    assert not has_arrays()


def test_invalid_arrays_are_errors_before_anything_is_written(tmp_path):
    for data, message in [
        ((IMAGES / 10, LABELS), "data: images are float64 from 0 to 25.5"),
        ({"test": (IMAGES, LABELS)}, "a dictionary with such a pair for 'train'"),
        ("mnist", "data: got str; give a pair"),
    ]:
        with pytest.raises(UserError, match=message):
            fv.train({}, tmp_path / "run", data=data)
    with pytest.raises(UserError, match="class_names is for data, and there is none; give data="):
        fv.train({}, tmp_path / "run", class_names=["a"])
    assert not (tmp_path / "run").exists()


def test_call_that_resumes_has_the_arrays(tmp_path):
    difference = {"data": {"name": "mnist_5k"}, "model": {"name": "lenet5"}}
    saved = difference | {"data": {"name": "arrays"}}
    message = "and 'mnist_5k' now, so give fv.train the same data=.images, labels.. Give another"
    with pytest.raises(UserError, match=message):
        check_same_run(tmp_path, saved, difference)


class Failing(fv.Callback):
    """Raises an error in the second epoch."""

    every_steps = 1

    def on_step(self, step, record):
        if step == 5:
            raise ConnectionError


@pytest.mark.slow
def test_run_on_arrays_resumes_and_is_tested(small_config, tmp_path):
    train, _ = load_mnist_5k()
    data = (train.images[..., 0] / 255, [f"digit {label}" for label in train.labels])
    with pytest.raises(ConnectionError) as raised:
        fv.train(small_config, tmp_path / "run", [Failing()], data=data)
    call = f"fv.train(config, workdir={str(tmp_path / 'run')!r}, data=data)"
    assert raised.value.__notes__[0].endswith(f"To resume: {call}")
    run = fv.train(small_config, tmp_path / "run", data=data, overrides={"write_report": True})
    expected = fv.train(small_config, tmp_path / "other", data=data)
    chex.assert_trees_all_equal(run.variables, expected.variables)
    result = json.loads((run.workdir / "result.json").read_text())
    assert (result["test/images"], result["test/top1"]) == (400, expected.result["test/top1"])
    page = (run.workdir / "report/index.html").read_text()
    assert "digit 7" in page
    assert "left out" not in page
    evaluation = fv.evaluate(run.workdir, data=data)
    assert (evaluation.top1, evaluation.images) == (result["test/top1"], 400)
    others = (data[0][::-1], data[1])
    with pytest.raises(UserError, match="belongs to other images than there are now: train: the"):
        fv.train(small_config, tmp_path / "run", data=others)
    assert fv.train(small_config, tmp_path / "run", data=data).result == run.result
