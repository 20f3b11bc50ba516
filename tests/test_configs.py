"""Tests of every config file and recipe against the numbers of its paper."""

import itertools
import re
from pathlib import Path

import pytest

from flax_vision.errors import UserError
from flax_vision.models.registry import create_model
from flax_vision.training.config_loader import load_config
from flax_vision.training.schedules import make_schedule

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(path.stem for path in CONFIGS.glob("*.py"))
RECIPES = ["", "mnist", "fashion_mnist", "cifar10", "folder"]


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
def test_launch_lines_name_recipes(name):
    text = (CONFIGS / f"{name}.py").read_text()
    lines = re.findall(rf"python train.py --config configs/{name}.py(:[\w+]+)?(?= )", text + " ")
    assert lines
    for recipe in lines:
        load(name, recipe.removeprefix(":"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("data", ["", "fashion_mnist", "cifar10", "folder"])
def test_modern_recipe_changes_the_training_for_any_data(name, data):
    plain = load(name, data)
    config = load(name, f"{data}+modern" if data else "modern")
    create_model(config.model.name, num_classes=10, **model_options(config))
    assert (config.loss.name, config.loss.label_smoothing) == ("cross_entropy", 0.1)
    assert (config.augmentation.mixup, config.schedule.name) == (0.2, "cosine")
    assert (config.data, config.crop, config.epochs) == (plain.data, plain.crop, plain.epochs)


def model_options(config):
    options = config.model.to_dict()
    del options["name"]
    return options


@pytest.mark.parametrize("name", FILES)
def test_recipes_of_papers_use_no_newer_options(name):
    config = load(name)
    new = [config.augmentation.mixup, config.augmentation.cutmix, config.loss.label_smoothing]
    assert new == [0, 0, 0]
    assert not config.augmentation.trivial_augment
    assert not config.model.remat
    assert not config.model.get("stochastic_depth", 0)


@pytest.mark.parametrize("name", FILES)
def test_study_recipe_trains_on_the_digits(name):
    config = load(name, "study")
    create_model(config.model.name, num_classes=10, **model_options(config))
    assert config.data.name == "mnist_5k"


@pytest.mark.parametrize(
    ("recipe", "data"), [("figure1", "cifar10"), ("figure1_digits", "mnist_5k")]
)
def test_figure_1_of_alexnet_uses_no_regularization(recipe, data):
    config = load("alexnet", recipe, "model.activation=tanh")
    assert create_model(config.model.name, **model_options(config)).activation == "tanh"
    assert (config.model.name, config.data.name) == ("alexnet_cifar", data)
    augmentation = config.augmentation
    assert (config.optimizer.weight_decay, augmentation.flip, augmentation.pca_noise) == (
        0,
        False,
        0,
    )


@pytest.mark.parametrize("name", ["lenet4", "lenet1", "lenet_linear"])
def test_comparisons_of_lenet5_use_a_softmax(name):
    config = load("lenet5", "", f"model.name={name}")
    assert (config.model.name, config.loss.name) == (name, "cross_entropy")
    create_model(name, **model_options(config))


def test_alexnet_of_the_notes():
    """Adam(lr=0.001, weight_decay=0.01) of PyTorch, with the decay in the gradient."""
    config = load("alexnet", "study")
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.weight_decay, optimizer.decay_form) == ("adam", 0.01, "auto")
    assert (config.schedule.name, config.schedule.lr) == ("constant", 0.001)


@pytest.mark.parametrize("name", ["resnet20", "resnet50"])
def test_resnets_of_the_notes(name):
    """SGD(lr=0.1, momentum=0.9, weight_decay=0.0001), StepLR(step_size=10, gamma=0.1)."""
    config = load(name, "study")
    assert (config.optimizer.momentum, config.optimizer.weight_decay) == (0.9, 1e-4)
    rate = make_schedule(config.schedule, config.epochs, steps_per_epoch=1)
    rates = [float(rate(epoch)) for epoch in (0, 9, 10, 19, 20)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_models_of_the_notes():
    assert load("lenet5", "study").model.name == "lenet5_modern"
    assert load("vgg16", "study").model.batch_norm == "block"
    assert load("googlenet", "study").model.name == "googlenet_bn"


def runs_of_lines(name, length=6):
    lines = [line for line in (CONFIGS / f"{name}.py").read_text().splitlines() if line.strip()]
    return {tuple(lines[start : start + length]) for start in range(len(lines) - length + 1)}


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(FILES, 2)))
def test_no_two_files_repeat_six_lines(first, second):
    assert not runs_of_lines(first) & runs_of_lines(second)


def test_lenets_own_training():
    """LeCun et al. 1998, section III.B and appendix C, except the damping."""
    config = load("lenet5", "paper")
    assert (config.batch_size, config.epochs, config.data.reshuffle) == (1, 20, False)
    assert (config.optimizer.damping, config.optimizer.curvature_samples) == (0.3, 500)
    factors = [1, *config.schedule.decay_factors]
    rates = [config.schedule.lr * factor for factor in factors]
    assert rates == pytest.approx([0.0005, 0.0002, 0.0001, 0.00005, 0.00001])
    assert config.schedule.boundaries == (2, 5, 8, 12)


@pytest.mark.parametrize("name", [name for name in FILES if name != "lenet5"])
def test_imagenet(name):
    config = load(name, "imagenet")
    assert config.data.name == "imagenet2012"
    assert (config.data.resize, config.data.crop) == (0, 0)
    assert config.crop.size == (32 if name == "resnet20" else 224)


def test_lenet5_has_no_recipe_for_imagenet():
    with pytest.raises(UserError, match="unknown recipe 'imagenet'"):
        load("lenet5", "imagenet")


def test_alexnets_training():
    """Krizhevsky et al. 2012, sections 2, 4 and 5."""
    config = load("alexnet", "imagenet")
    crop, optimizer, schedule = config.crop, config.optimizer, config.schedule
    assert (crop.resize_range, crop.eval_resize, crop.scale) == ((256, 256), 256, ())
    assert crop.center_square
    assert (config.data.subtract_mean, config.augmentation.flip) == ("pixel", True)
    assert config.augmentation.pca_noise == 0.1
    assert (config.batch_size, config.epochs) == (128, 90)
    assert (optimizer.momentum, optimizer.weight_decay, optimizer.momentum_form) == (
        0.9,
        5e-4,
        "alexnet",
    )
    assert (schedule.name, schedule.lr, schedule.max_drops) == ("plateau", 0.01, 3)


def test_alexnets_rates_of_2012():
    """By the code that its authors published."""
    config = load("alexnet", "imagenet_2012_code")
    rate = make_schedule(config.schedule, config.epochs, steps_per_epoch=1)
    after = {epoch: float(rate(epoch)) for epoch in (0, 24, 25, 50, 51, 78, 79, config.epochs - 1)}
    expected = [1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5]
    assert list(after.values()) == pytest.approx(expected)
    assert config.epochs == 91


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_vggs_training(name):
    """Simonyan and Zisserman 2014, section 3.1; S can be random."""
    config = load(name, "imagenet")
    assert (config.crop.resize_range, config.data.subtract_mean) == ((256, 256), "channel")
    assert (config.batch_size, config.epochs) == (256, 74)
    assert (config.optimizer.momentum, config.optimizer.weight_decay) == (0.9, 5e-4)
    assert (config.schedule.name, config.schedule.lr) == ("plateau", 0.01)
    jittered = load(name, "imagenet", "crop.resize_range=256,512", "crop.eval_resize=384")
    assert jittered.crop.resize_range == (256, 512)


def test_googlenets_training():
    """Szegedy et al. 2014, sections 5 and 6."""
    config = load("googlenet", "imagenet")
    assert config.crop.scale == (0.08, 1.0)
    assert config.crop.ratio == (3 / 4, 4 / 3)
    assert config.crop.interpolation == "random"
    assert config.augmentation.color_jitter == 0.5
    assert config.loss.aux_weight == 0.3
    assert (config.schedule.factor, config.schedule.decay_epochs) == (0.96, 8)
    assert config.optimizer.ema_decay > 0


def test_resnets_training():
    """He et al. 2015, section 3.4: 60x10^4 steps of 256 images at most."""
    config = load("resnet50", "imagenet")
    assert config.crop.resize_range == (256, 480)
    assert (config.data.subtract_mean, config.augmentation.pca_noise) == ("pixel", 0.1)
    assert config.epochs * 1_281_167 / config.batch_size == pytest.approx(600_000, rel=0.01)
    assert (config.schedule.name, config.schedule.lr) == ("plateau", 0.1)
    assert config.optimizer.weight_decay == 1e-4


def test_cifar_models_training():
    """He et al. 2015, section 4.2: 32k, 48k and 64k steps of 128 images of 45,000."""
    config = load("resnet20", "cifar10")
    steps = 45_000 // 128
    assert config.epochs * steps == pytest.approx(64_000, abs=steps)
    assert [boundary * steps for boundary in config.schedule.boundaries] == [32_000, 48_000]
    assert config.schedule.decay_factors == (0.1, 0.01)
    assert (config.augmentation.pad_and_crop, config.augmentation.flip) == (4, True)
    assert config.schedule.warmup.epochs == 0
    deep = load("resnet20", "cifar10", "model.name=resnet110").schedule
    assert deep.warmup.epochs * steps == pytest.approx(400)
    assert deep.lr * deep.warmup.factor == pytest.approx(0.01)
    larger = load("resnet20", "imagenet", "model.name=resnet110")
    steps = 1_281_167 * 0.99 // larger.batch_size
    assert larger.schedule.warmup.epochs * steps == pytest.approx(400, abs=1)
