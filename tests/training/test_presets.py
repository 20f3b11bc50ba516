"""Tests of the first steps of each config file, on digits and one device."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from tiny_folders import ignore

from flax_vision.data.batches import training_batches
from flax_vision.errors import UserError
from flax_vision.training.build import build_experiment
from flax_vision.training.config_loader import load_config
from flax_vision.training.config_schema import default_config
from flax_vision.training.presets import apply_recipe

CONFIGS = Path(__file__).parents[2] / "configs"
SIZE = 16
"""Batch size: smaller than the recipes', to save time."""


def test_unknown_recipe_offers_the_nearest():
    with pytest.raises(UserError, match="unknown recipe 'mnits'; did you mean 'mnist'"):
        apply_recipe(default_config(), "mnits", {"": {}, "mnist": {}})


def test_recipe_changes_its_keys_alone():
    config, expected = default_config(), default_config()
    expected.data.name, expected.epochs = "mnist", 3
    recipes = {"": {}, "mnist": {"data.name": "mnist", "epochs": 3}}
    assert apply_recipe(config, "mnist", recipes) == expected


def losses(experiment, steps: int) -> np.ndarray:
    """Returns the loss of each of the first steps, all with the first batch."""
    train_step, state = experiment.functions.compile_training(), experiment.functions.init(0)
    batch = next(training_batches(experiment.splits.train, SIZE, 0, 0))
    sums = [0.0]
    for each in itertools.repeat(batch, steps):
        state = train_step(state, each)
        sums.append(float(state.totals.loss))
    return np.diff(sums) / SIZE


@pytest.mark.slow
@pytest.mark.usefixtures("quick_generator")
@pytest.mark.parametrize(
    "name", ["lenet5", "alexnet", "vgg16", "googlenet", "resnet50", "resnet20"]
)
def test_recipe_starts_and_learns(name):
    config = load_config(
        str(CONFIGS / f"{name}.py"), [f"--config.batch_size={SIZE}", "--config.mesh.data=1"]
    )
    found = losses(build_experiment(config, ignore), steps=15)
    assert found[-3:].mean() < 0.9 * found[:3].mean()
    if config.loss.name == "cross_entropy":
        assert found[-3:].mean() < math.log(10)  # the loss of class frequencies alone
