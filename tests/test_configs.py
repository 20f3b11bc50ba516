"""Every config file and recipe: complete, and with the numbers of its paper."""

import re
from pathlib import Path

import pytest

from flax_vision.models.registry import create_model
from flax_vision.training.config_file import load_config

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(path.stem for path in CONFIGS.glob("*.py"))
RECIPES = ["", "mnist", "fashion_mnist", "cifar10"]


def load(name, recipe="", *overrides):
    arguments = [f"--config.{override}" for override in overrides]
    return load_config(f"{CONFIGS / name}.py:{recipe}", arguments)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe(name, recipe):
    config = load(name, recipe)
    options = config.model.to_dict()
    assert options.pop("name") == name
    create_model(name, num_classes=10, **options)
    assert config.data.name == (recipe or "mnist_5k")


@pytest.mark.parametrize("name", FILES)
def test_launch_lines_are_those_of_the_recipes(name):
    text = (CONFIGS / f"{name}.py").read_text()
    lines = re.findall(rf"python train.py --config configs/{name}.py(:\w+)?(?= )", text + " ")
    assert lines
    for recipe in lines:
        load(name, recipe.removeprefix(":"))


def test_lenets_own_training():
    """LeCun et al. 1998, section III.B and appendix C."""
    config = load("lenet5", "paper")
    assert (config.batch_size, config.epochs, config.data.order) == (1, 20, "constant")
    assert (config.optimizer.mu, config.optimizer.samples) == (0.02, 500)
    factors = [1, *config.schedule.factors]
    rates = [config.schedule.learning_rate * factor for factor in factors]
    assert rates == pytest.approx([0.0005, 0.0002, 0.0001, 0.00005, 0.00001])
    assert config.schedule.boundaries == (2, 5, 8, 12)


def test_cifar_networks_training():
    """He et al. 2015, section 4.2: 32k, 48k and 64k steps of 128 images of 45,000."""
    config = load("resnet20", "cifar10")
    steps = 45_000 // 128
    assert config.epochs * steps == pytest.approx(64_000, abs=steps)
    assert [boundary * steps for boundary in config.schedule.boundaries] == [32_000, 48_000]
    assert config.schedule.factors == (0.1, 0.01)
    assert (config.augmentation.pad, config.augmentation.flip) == (4, True)
    assert config.schedule.warmup.epochs == 0
    deep = load("resnet20", "cifar10", "model.name=resnet110").schedule
    assert deep.warmup.epochs * steps == pytest.approx(400)
    assert deep.learning_rate * deep.warmup.factor == pytest.approx(0.01)
