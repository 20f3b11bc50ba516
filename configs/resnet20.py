"""ResNet: He, Zhang, Ren and Sun, 2015, the networks for CIFAR.

    python train.py --config configs/resnet20.py                 # 5,000 real digits, embedded
    python train.py --config configs/resnet20.py:mnist           # and other sets, from TFDS
    python train.py --config configs/resnet20.py:fashion_mnist
    python train.py --config configs/resnet20.py:cifar10         # the paper's, section 4.2
    python train.py --config configs/resnet20.py:imagenet        # at 32x32, not in the paper
    python train.py --config configs/resnet20.py:folder --config.data.image_dir=DIR  # your images

and each of them with another depth, such as `--config.model.name=resnet110`.

Section 4.2 of the paper stands in `get_config`; a recipe says what it changes and why.
"""

from ml_collections import ConfigDict

from flax_vision.training.config_schema import choose_recipe, default_config
from flax_vision.training.presets import ilsvrc2012, own_images


def get_config(recipe: str = "", model: str = "resnet20") -> ConfigDict:
    """Returns the configuration of a recipe for `resnet20` to `resnet1202`."""
    config = default_config()
    config.model.name = model

    # 32x32, the mean of each pixel subtracted; four pixels of padding, 32x32 of it, mirrored.
    config.data.subtract_mean = "pixel"
    config.data.std = (64.0,)  # a scale that the first batch normalization takes out again
    config.augmentation.pad_and_crop = 4
    config.augmentation.flip = True

    config.batch_size = 128
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 0.0001
    config.schedule.lr = 0.1

    choose_recipe(recipe, RECIPES)(config)
    return config


def cifar10(config: ConfigDict) -> None:
    """45,000 and 5,000 images; a tenth of the rate after 32,000 and 48,000 of 64,000 steps.

    Whole epochs are nearest to that with 182, which are 63,882 steps.
    """
    config.data.name = "cifar10"
    config.data.val_fraction = 0.1
    steps_per_epoch = 45_000 // config.batch_size
    config.epochs = round(64_000 / steps_per_epoch)
    config.schedule.name = "piecewise"
    config.schedule.boundaries = (32_000 / steps_per_epoch, 48_000 / steps_per_epoch)
    config.schedule.decay_factors = (1 / 10, 1 / 100)
    _warm_up(config, steps_per_epoch)


def mnist_5k(config: ConfigDict) -> None:
    """4,000 digits, in minutes on two cores."""
    config.data.name = "mnist_5k"
    config.data.channels = 3
    config.augmentation.pad_and_crop = 2
    config.augmentation.flip = False  # digits are not symmetric
    config.batch_size = 64
    config.epochs = 15
    config.schedule.name = "one_cycle"


def mnist(config: ConfigDict) -> None:
    """The same digits, 60,000."""
    mnist_5k(config)
    config.data.name = "mnist"
    config.data.val_fraction = 0.05
    config.batch_size = 128
    config.epochs = 10


def fashion_mnist(config: ConfigDict) -> None:
    """Clothes in the format of the digits; most of them could be mirrored."""
    mnist(config)
    config.data.name = "fashion_mnist"
    config.augmentation.flip = True
    config.epochs = 25


def imagenet(config: ConfigDict) -> None:
    """ImageNet at 32x32 with CIFAR's steps; the paper trains these networks on CIFAR alone."""
    cifar10(config)
    ilsvrc2012(config)
    _see(config)
    config.epochs = 40
    config.schedule.boundaries = (20, 30)
    _warm_up(config, 1_268_355 // config.batch_size)  # 99 % of the training images


def folder(config: ConfigDict) -> None:
    """Photographs of your own, a folder for each class, seen at 32x32."""
    own_images(config, 32, lr=0.1)
    config.augmentation.pad_and_crop = 0


def _warm_up(config: ConfigDict, steps_per_epoch: int) -> None:
    """A rate of 0.01 until the training error is below 80 %, about 400 steps; of resnet110."""
    if config.model.name == "resnet110":
        config.schedule.warmup.epochs = 400 / steps_per_epoch
        config.schedule.warmup.name = "constant"
        config.schedule.warmup.factor = 1 / 10


def _see(config: ConfigDict) -> None:
    """Sees parts as large as CIFAR's images in place of shifting those."""
    config.crop.size = 32
    config.crop.resize_range = (32, 40)
    config.augmentation.pad_and_crop = 0


RECIPES = {
    "": mnist_5k,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "imagenet": imagenet,
    "folder": folder,
}
