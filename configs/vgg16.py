"""VGG: Simonyan and Zisserman, 2014, configuration D of table 1.

    python train.py --config configs/vgg16.py                # 5,000 embedded digits.
    python train.py --config configs/vgg16.py:mnist          # 60,000 digits, from TFDS.
    python train.py --config configs/vgg16.py:fashion_mnist  # Clothes, from TFDS.
    python train.py --config configs/vgg16.py:cifar10        # Small color images, from TFDS.
    python train.py --config configs/vgg16.py:imagenet       # The paper's training.
    python train.py --config configs/vgg16.py:folder --config.data.image_dir=DIR  # Your images.
    python train.py --config configs/vgg16.py:modern                # Current methods.
    python train.py --config configs/vgg16.py:fashion_mnist+modern  # The same on Fashion-MNIST.
    python train.py --config configs/vgg16.py:study                 # From a student's notes.

Add `--config.model.name=vgg_a` for another configuration of the table, or `vgg_b_5x5` for the model
that section 4.1 compares with `vgg_b`.

`get_config` is the training section of the paper; `RECIPES` has the changes for other data.
"""

from ml_collections import ConfigDict

from flax_vision.training import presets
from flax_vision.training.config_schema import default_config


def get_config(recipe: str = "", model: str = "vgg16") -> ConfigDict:
    """Returns the configuration of a recipe for a model of table 1."""
    config = default_config()
    config.model.name = model

    # Section 2.1: 224x224 RGB, the mean of the training set subtracted.
    config.data.subtract_mean = "channel"
    config.data.std = (1.0,)
    config.crop.size = 224

    # Section 3.1: mirrored crops from images with shorter side S, with AlexNet's color noise.
    # S is 256. The paper's other values start from this model (`init_from`): 384 at a rate of
    # 1e-3, or 256 to 512 with a test at 384.
    config.crop.resize_range = (256, 256)
    config.crop.eval_resize = 256
    config.augmentation.flip = True
    config.augmentation.pca_noise = 0.1

    # Section 3.1: mini-batch gradient descent with momentum.
    config.batch_size = 256
    config.epochs = 74  # "370K iterations (74 epochs)"
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 5e-4
    config.schedule.name = "plateau"
    config.schedule.lr = 1e-2
    config.schedule.factor = 1 / 10
    config.schedule.max_drops = 3

    return presets.apply_recipe(config, recipe, RECIPES)


# Without batch normalization and in few steps, so deep a model learns only from weights drawn for
# rectifiers (He et al. 2015). At 32x32 the five pools leave one pixel.
_HE = {"model.initialization": "he"}
_SMALL = presets.SMALL_IMAGES | _HE | {"data.resize": 32, "schedule.lr": 0.02}
_MNIST = _SMALL | {"batch_size": 64, "epochs": 3}
_SHIFTS = {"augmentation.pad_and_crop": 4}  # as in the ResNet paper, section 4.2

RECIPES = {
    "": _MNIST | presets.MNIST_5K | presets.DIGITS | {"epochs": 8},  # minutes on two cores
    "mnist": _MNIST | presets.MNIST | presets.DIGITS,
    "fashion_mnist": _MNIST | presets.FASHION_MNIST,
    "cifar10": _SMALL | presets.CIFAR10 | _SHIFTS | {"batch_size": 128, "epochs": 30},
    "imagenet": presets.IMAGENET,
    "folder": presets.FOLDER | _HE | {"schedule.lr": 0.01},
    "modern": presets.MODERN | {"schedule.lr": 0.01},
    # From a student's notes: batch normalization once a block, trained as AlexNet. At the paper's
    # rate of 0.01 it stays near chance for two epochs.
    "study": {"model.batch_norm": "block", "schedule.name": "plateau", "schedule.lr": 0.001},
}
