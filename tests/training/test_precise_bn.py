"""Runs whose batch normalization gets the statistics of training images, against NumPy."""

import os
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from normalized_model import Normalized, check_statistics, reference_statistics
from runs import read_metrics, stop_at
from test_many_processes import finish, start

import flax_vision as fv
from flax_vision.data.batches import training_batches
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.training.build import build_experiment
from flax_vision.training.config_loader import load_config
from flax_vision.training.fit import fit
from flax_vision.training.precise_bn import PreciseBatchNorm
from flax_vision.training.signals import Interrupted

pytestmark = pytest.mark.usefixtures("temporary_names")
CONFIG = Path(__file__).parents[2] / "configs/lenet5.py"
SAMPLES = 300
"""Rounded up to two of three batches of 256 images."""


SETTINGS = {
    **{"model.name": "normalized", "batch_size": 256, "epochs": 2, "mesh.data": 1},
    **{"data.val_fraction": 0.8, "write_report": False, "schedule.lr": 0.3},
    **{"optimizer.ema_decay": 0.9, "precise_bn_samples": SAMPLES},
}
"""Overrides of a run of two epochs of three steps, which averages its parameters."""


@pytest.fixture
def make_config():
    """Function that returns the configuration with changes."""
    fv.register_model("normalized", Normalized, image_shape=(28, 28, 1))

    def make(**changes):
        overrides = [f"--config.{key}={value}" for key, value in (SETTINGS | changes).items()]
        return load_config(str(CONFIG), overrides)

    return make


def saved_variables(workdir):
    return jax.device_get(fv.load(workdir)[1])


def reference(config, params, count=2):
    """Returns the statistics of the first batches of the run."""
    experiment = build_experiment(config, lambda *_: None)
    train, preprocess = experiment.splits.train, experiment.metadata.preprocessing
    batches = list(training_batches(train, config.batch_size, config.seed, 0))[:count]
    return reference_statistics(params, [np.asarray(preprocess(x.images)) for x in batches])


@pytest.mark.usefixtures("quick_generator")
def test_statistics_are_those_of_the_averaged_weights(make_config):
    config = make_config()
    experiment = build_experiment(config, lambda *_: None)
    state = experiment.functions.init(0)
    average = jax.tree.map(lambda x: x + 0.5, state.average)
    polls = []
    found = PreciseBatchNorm(experiment)(
        state.replace(average=average), lambda: polls.append(len(polls))
    )
    check_statistics(found.statistics["batch_stats"], reference(config, average))
    assert found.params is state.params
    assert polls == [0, 1]


def test_running_statistics_stay_by_default(make_config):
    experiment = build_experiment(make_config(precise_bn_samples=0), lambda *_: None)
    state = object()
    assert PreciseBatchNorm(experiment)(state, lambda: None) is state


@pytest.mark.slow
def test_averaged_model_gets_its_own_statistics(make_config, tmp_path):
    config = make_config()
    result = fit(config, tmp_path)
    saved = saved_variables(tmp_path)
    check_statistics(saved["batch_stats"], reference(config, saved["params"]))
    again = evaluate(tmp_path, split="validation")
    assert again.top1 == result["validation/top1"]
    assert again.cross_entropy == pytest.approx(result["validation/loss"], rel=1e-5)
    assert evaluate(tmp_path).top1 == result["test/top1"]
    # Without augmentation, the command computes the same.
    precise = evaluate(tmp_path, precise_bn_samples=SAMPLES)
    assert precise.cross_entropy == pytest.approx(result["test/loss"], rel=1e-5)


@pytest.mark.slow
def test_stopped_run_ends_with_the_same_bits(make_config, tmp_path, monkeypatch):
    fit(make_config(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Interrupted):
            fit(make_config(), tmp_path / "stopped")
    result = fit(make_config(), tmp_path / "stopped")
    assert result["step"] == 6
    chex.assert_trees_all_equal(*(saved_variables(tmp_path / x) for x in ("whole", "stopped")))
    losses = [
        [record.get("validation/loss") for record in read_metrics(tmp_path / name)]
        for name in ("whole", "stopped")
    ]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_statistics_of_a_mesh_are_those_of_one_device(make_config, tmp_path):
    """Both start from the same parameters, which training would change by rounding."""
    found = []
    for devices in (1, 2):
        config = make_config(**{"mesh.data": devices, "schedule.lr": 1e-30, "epochs": 1})
        fit(config, tmp_path / str(devices))
        found.append(saved_variables(tmp_path / str(devices)))
    chex.assert_trees_all_close(*found, rtol=1e-5, atol=1e-6)
    check_statistics(found[1]["batch_stats"], reference(config, found[1]["params"]))


REGISTER = """
import flax_vision as fv
from normalized_model import Normalized
fv.register_model("normalized", Normalized, image_shape=(28, 28, 1))
"""


@pytest.mark.slow
def test_two_processes_have_the_statistics_of_all_images(
    make_config, tmp_path, free_port, monkeypatch
):
    (tmp_path / "registering.py").write_text(REGISTER)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(__file__).parents[1]}")
    settings = SETTINGS | {"mesh.data": 0, "epochs": 1}
    arguments = [f"--config.{key}={value}" for key, value in settings.items()]
    arguments += ["--import=registering", f"--coordinator=127.0.0.1:{free_port}"]
    arguments += ["--num-processes=2"]
    workdir = tmp_path / "run"
    for process in [start(workdir, 2, *arguments, f"--process-id={i}") for i in range(2)]:
        finish(process)
    saved = saved_variables(workdir)
    check_statistics(saved["batch_stats"], reference(make_config(), saved["params"]))


@pytest.mark.slow
def test_images_are_augmented_as_in_the_first_epoch(make_config, tmp_path):
    """Flips exchange mirrored columns of the blocks, and keep the sum of both."""
    config = make_config(**{"augmentation.flip": True, "epochs": 1})
    fit(config, tmp_path)
    saved = saved_variables(tmp_path)
    plain = reference(config, saved["params"])["first"][0]
    found = saved["batch_stats"]["first"]["mean"]
    assert np.abs(found - plain).min() > 1e-4
    np.testing.assert_allclose(found + found[::-1], plain + plain[::-1], rtol=1e-4)


@pytest.mark.slow
def test_more_samples_than_images_are_all_whole_batches(make_config, tmp_path):
    config = make_config(precise_bn_samples=10**6, epochs=1)
    fit(config, tmp_path)
    saved = saved_variables(tmp_path)
    check_statistics(saved["batch_stats"], reference(config, saved["params"], 3))


@pytest.mark.slow
def test_frozen_layers_keep_their_statistics(make_config, tmp_path):
    fit(make_config(freeze="first", epochs=1), tmp_path)
    statistics = saved_variables(tmp_path)["batch_stats"]
    np.testing.assert_array_equal(statistics["first"]["mean"], 0)
    np.testing.assert_array_equal(statistics["first"]["var"], 1)
    assert np.all(statistics["second"]["mean"] != 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model.name": "lenet5_modern"},
            "but there is no batch normalization in lenet5_modern; set it to 0",
        ),
        (
            {"freeze": "first|second"},
            "but config.freeze freezes all batch normalization in normalized",
        ),
    ],
)
def test_option_without_effect(changes, message, make_config):
    with pytest.raises(UserError, match=f"config.precise_bn_samples is 300, .*{message}"):
        build_experiment(make_config(**changes), lambda *_: None)
