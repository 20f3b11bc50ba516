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

QUICK = ["lenet5", "alexnet", "resnet20"]
CASES = [
    *(("", name) for name in (*QUICK, "vgg16", "googlenet", "resnet50")),
    *((recipe, name) for recipe in ("modern", "study") for name in QUICK),
]


def test_unknown_recipe_offers_the_nearest():
    with pytest.raises(UserError, match="unknown recipe 'mnits'; did you mean 'mnist'"):
        apply_recipe(default_config(), "mnits", {"": {}, "mnist": {}})


def test_recipe_changes_its_keys_alone():
    config, expected = default_config(), default_config()
    expected.data.name, expected.epochs = "mnist", 3
    recipes = {"": {}, "mnist": {"data.name": "mnist", "epochs": 3}}
    assert apply_recipe(config, "mnist", recipes) == expected


RECIPES = {
    "": {"data.name": "mnist_5k", "epochs": 3, "batch_size": 7},
    "mnist": {"data.name": "mnist", "epochs": 4},
    "modern": {"epochs": 5, "schedule.lr": 0.5},
    "fast": {"epochs": 1},
}


@pytest.mark.parametrize(
    ("recipe", "values"),
    [
        ("modern", ("mnist_5k", 5, 7, 0.5)),  # on the default data
        ("mnist+modern", ("mnist", 5, 128, 0.5)),
        ("mnist+modern+fast", ("mnist", 1, 128, 0.5)),
        ("fast+modern", ("mnist_5k", 5, 7, 0.5)),
        ("modern+mnist", ("mnist", 4, 128, 0.5)),
    ],
)
def test_recipes_apply_from_left_to_right(recipe, values):
    config = apply_recipe(default_config(), recipe, RECIPES)
    assert (config.data.name, config.epochs, config.batch_size, config.schedule.lr) == values


@pytest.mark.parametrize("recipe", ["mnist+moderm", "moderm+mnist", "moderm"])
def test_unknown_part_offers_the_nearest(recipe):
    with pytest.raises(UserError, match="unknown recipe 'moderm'; did you mean 'modern'"):
        apply_recipe(default_config(), recipe, RECIPES)


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
@pytest.mark.parametrize(("recipe", "name"), CASES)
def test_recipe_starts_and_learns(recipe, name):
    settings = [f"batch_size={SIZE}", "mesh.data=1"]
    if recipe == "modern":  # a warm-up of 11 steps
        settings.append("schedule.warmup.epochs=0.05")
    config = load_config(f"{CONFIGS / name}.py:{recipe}", [f"--config.{x}" for x in settings])
    found = losses(build_experiment(config, ignore), steps=15)
    assert found[-3:].mean() < 0.9 * found[:3].mean()
    if config.loss.name == "cross_entropy":
        assert found[-3:].mean() < math.log(10)  # the loss of class frequencies alone
