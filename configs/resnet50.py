"""ResNet: He, Zhang, Ren and Sun, 2015, as trained on ImageNet.

    python train.py --config configs/resnet50.py                # 5,000 embedded digits.
    python train.py --config configs/resnet50.py:mnist          # 60,000 digits, from TFDS.
    python train.py --config configs/resnet50.py:fashion_mnist  # Clothes, from TFDS.
    python train.py --config configs/resnet50.py:cifar10        # Small color images, from TFDS.
    python train.py --config configs/resnet50.py:imagenet       # The paper's training.
    python train.py --config configs/resnet50.py:folder --config.data.image_dir=DIR  # Your images.
    python train.py --config configs/resnet50.py:modern                # Current methods.
    python train.py --config configs/resnet50.py:fashion_mnist+modern  # The same on Fashion-MNIST.
    python train.py --config configs/resnet50.py:study                 # From a student's notes.

Add `--config.model.name=resnet18` or another depth; `plain18` and `plain34` have no shortcuts. The
models for CIFAR are in `configs/resnet20.py`.

`get_config` is the training section of the paper; `RECIPES` has the changes for other data.
"""

from ml_collections import ConfigDict

from flax_vision.training import presets
from flax_vision.training.config_schema import default_config


def get_config(recipe: str = "", model: str = "resnet50") -> ConfigDict:
    """Returns the configuration of a recipe for a model of table 1."""
    config = default_config()
    config.model.name = model

    # Section 3.4: mirrored crops of 224x224 from images with a shorter side of 256 to 480, the mean
    # of each pixel subtracted, AlexNet's color noise.
    config.crop.size = 224
    config.crop.resize_range = (256, 480)
    config.crop.eval_resize = 256
    config.data.subtract_mean = "pixel"
    config.data.std = (1.0,)
    config.augmentation.flip = True
    config.augmentation.pca_noise = 0.1

    # Section 3.4: "up to 60x10^4 iterations" of 256 images of 1.28 million, which are 120 epochs.
    config.batch_size = 256
    config.epochs = round(60e4 * config.batch_size / 1.28e6)
    config.schedule.name = "plateau"
    config.schedule.lr = 0.1
    config.schedule.factor = 1 / 10
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 1e-4

    return presets.apply_recipe(config, recipe, RECIPES)


_MNIST = presets.SMALL_IMAGES | {"data.resize": 48, "epochs": 4, "schedule.lr": 0.05}

RECIPES = {
    "": _MNIST
    | presets.MNIST_5K
    | presets.DIGITS
    | {"batch_size": 32, "epochs": 10},  # minutes on two cores
    "mnist": _MNIST | presets.MNIST | presets.DIGITS | {"batch_size": 64},
    "fashion_mnist": _MNIST | presets.FASHION_MNIST | {"batch_size": 64},
    "cifar10": {
        **(presets.SMALL_IMAGES | presets.CIFAR10),
        "data.resize": 72,
        "data.crop": 64,  # the last stage then has 2x2 pixels
        "batch_size": 128,
        "epochs": 30,
    },
    "imagenet": presets.IMAGENET,
    "folder": presets.FOLDER | {"schedule.lr": 0.05},
    "modern": presets.MODERN,
    "study": presets.STEP_LR | {"model.stem_pool": "torch", "epochs": 15},
}
