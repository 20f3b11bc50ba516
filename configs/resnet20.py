"""ResNet: He, Zhang, Ren and Sun, 2015, the models for CIFAR.

    python train.py --config configs/resnet20.py                # 5,000 embedded digits.
    python train.py --config configs/resnet20.py:mnist          # 60,000 digits, from TFDS.
    python train.py --config configs/resnet20.py:fashion_mnist  # Clothes, from TFDS.
    python train.py --config configs/resnet20.py:cifar10        # The paper's training.
    python train.py --config configs/resnet20.py:imagenet       # At 32x32, not in the paper.
    python train.py --config configs/resnet20.py:folder --config.data.image_dir=DIR  # Your images.
    python train.py --config configs/resnet20.py:modern                # Current methods.
    python train.py --config configs/resnet20.py:fashion_mnist+modern  # The same on Fashion-MNIST.
    python train.py --config configs/resnet20.py:study                 # From a student's notes.

Add `--config.model.name=resnet110` or another depth; `plain20` to `plain56` have no shortcuts.
`resnet_cifar` and `plain_cifar` have 6n + 2 layers for `--config.model.n`.

`get_config` is section 4.2 of the paper; `RECIPES` has its steps and the changes for other data.
"""

from ml_collections import ConfigDict

from flax_vision.training import presets
from flax_vision.training.config_schema import default_config

BATCH_SIZE = 128
STEPS_PER_EPOCH = {
    "cifar10": 45_000 // BATCH_SIZE,  # 5,000 of the 50,000 images are for validation
    "imagenet": 1_268_355 // BATCH_SIZE,  # 99 % of the training images
}


def get_config(recipe: str = "", model: str = "resnet20") -> ConfigDict:
    """Returns the configuration of a recipe for a model of section 4.2."""
    config = default_config()
    config.model.name = model

    # Section 4.2: 32x32, the mean of each pixel subtracted; mirrored crops of the image padded by
    # four pixels.
    config.data.subtract_mean = "pixel"
    config.data.std = (64.0,)  # the first batch normalization removes this scale again
    config.augmentation.pad_and_crop = 4
    config.augmentation.flip = True

    # Section 4.2: batch, momentum, decay and rate.
    config.batch_size = BATCH_SIZE
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 0.0001
    config.schedule.lr = 0.1

    # Section 4.2: resnet110 begins with 0.01 until the training error is below 80 %, for about 400
    # steps.
    data = presets.recipe_names(recipe)[0]
    if model == "resnet110" and data in STEPS_PER_EPOCH:
        config.schedule.warmup.epochs = 400 / STEPS_PER_EPOCH[data]
        config.schedule.warmup.name = "constant"
        config.schedule.warmup.factor = 1 / 10

    return presets.apply_recipe(config, recipe, RECIPES)


# Section 4.2: a tenth of the rate after 32k and 48k of 64k steps. Whole epochs are nearest to that
# with 182, which are 63,882 steps.
_CIFAR10 = {
    "epochs": round(64_000 / STEPS_PER_EPOCH["cifar10"]),
    "schedule.name": "piecewise",
    "schedule.boundaries": tuple(steps / STEPS_PER_EPOCH["cifar10"] for steps in (32_000, 48_000)),
    "schedule.decay_factors": (1 / 10, 1 / 100),
}
_MNIST = {"data.channels": 3, "augmentation.pad_and_crop": 2, "schedule.name": "one_cycle"}
_DIGITS = {"augmentation.flip": False}  # digits have no mirror symmetry
_NO_PADDING = {"augmentation.pad_and_crop": 0}  # crops replace shifts

RECIPES = {
    "": _MNIST | presets.MNIST_5K | _DIGITS | {"batch_size": 64, "epochs": 15},
    "mnist": _MNIST | presets.MNIST | _DIGITS | {"epochs": 10},
    "fashion_mnist": _MNIST | presets.FASHION_MNIST | {"epochs": 25},
    "cifar10": presets.CIFAR10 | _CIFAR10,
    "imagenet": {
        **(_CIFAR10 | presets.IMAGENET | _NO_PADDING),
        "crop.size": 32,
        "crop.resize_range": (32, 40),
        "epochs": 40,
        "schedule.boundaries": (20, 30),
    },
    "folder": presets.FOLDER | _NO_PADDING | {"crop.size": 32, "schedule.lr": 0.1},
    "modern": presets.MODERN | {"optimizer.weight_decay": 0.0005},
    "study": presets.STEP_LR,
}
