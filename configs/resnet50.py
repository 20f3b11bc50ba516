"""ResNet: He, Zhang, Ren and Sun, 2015, as trained on ImageNet.

    python train.py --config configs/resnet50.py                 # 5,000 real digits, embedded
    python train.py --config configs/resnet50.py:mnist           # and other sets, from TFDS
    python train.py --config configs/resnet50.py:fashion_mnist
    python train.py --config configs/resnet50.py:cifar10
    python train.py --config configs/resnet50.py:imagenet        # the paper's own training
    python train.py --config configs/resnet50.py:folder --config.data.image_dir=DIR  # your images

and each of them with another depth, such as `--config.model.name=resnet18`. The networks for CIFAR
are in `configs/resnet20.py`.

The training section of the paper stands in `get_config`; a recipe says what it changes and why.
"""

from ml_collections import ConfigDict

from flax_vision.training.config_schema import choose_recipe, default_config
from flax_vision.training.presets import clothes, digits, ilsvrc2012, one_cycle, own_images, shrink


def get_config(recipe: str = "", model: str = "resnet50") -> ConfigDict:
    """Returns the configuration of a recipe for one of the ResNets."""
    config = default_config()
    config.model.name = model

    # Section 3.4: 224x224 of images whose shorter side is random from 256 to 480, mirrored, the
    # mean of each pixel subtracted, AlexNet's colors.
    config.crop.size = 224
    config.crop.resize_range = (256, 480)
    config.crop.eval_resize = 256
    config.data.subtract_mean = "pixel"
    config.data.std = (1.0,)
    config.augmentation.flip = True
    config.augmentation.pca_noise = 0.1

    config.batch_size = 256
    config.epochs = 120  # "up to 60x10^4 iterations" of 256 images of 1.28 million
    config.schedule.name = "plateau"
    config.schedule.lr = 0.1
    config.schedule.factor = 1 / 10
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 1e-4

    choose_recipe(recipe, RECIPES)(config)
    return config


def small(config: ConfigDict) -> None:
    """Small images: of 64x64 the last stage has 2x2 pixels."""
    shrink(config, 64)


def mnist_5k(config: ConfigDict) -> None:
    """4,000 digits, in minutes on two cores."""
    small(config)
    digits(config, "mnist_5k")
    config.data.resize = 48
    config.batch_size = 32
    one_cycle(config, epochs=10, lr=0.05)


def mnist(config: ConfigDict) -> None:
    """The same digits, 60,000."""
    mnist_5k(config)
    config.data.name = "mnist"
    config.data.val_fraction = 0.05
    config.batch_size = 64
    config.epochs = 4


def fashion_mnist(config: ConfigDict) -> None:
    """Clothes in the format of the digits."""
    mnist(config)
    clothes(config)


def cifar10(config: ConfigDict) -> None:
    """Small photographs."""
    small(config)
    config.data.name = "cifar10"
    config.data.resize = 72
    config.data.crop = 64
    config.batch_size = 128
    one_cycle(config, epochs=30, lr=0.1)


def folder(config: ConfigDict) -> None:
    """Photographs of your own, a folder for each class."""
    own_images(config, 128, lr=0.05)


RECIPES = {
    "": mnist_5k,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "imagenet": ilsvrc2012,
    "folder": folder,
}
