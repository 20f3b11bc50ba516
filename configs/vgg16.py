"""VGG: Simonyan and Zisserman, 2014, configuration D of table 1.

    python train.py --config configs/vgg16.py                    # 5,000 real digits, embedded
    python train.py --config configs/vgg16.py:mnist              # and other sets, from TFDS
    python train.py --config configs/vgg16.py:fashion_mnist
    python train.py --config configs/vgg16.py:cifar10
    python train.py --config configs/vgg16.py:imagenet           # the paper's own training
    python train.py --config configs/vgg16.py:folder --config.data.image_dir=DIR  # your images

and each of them with another configuration, such as `--config.model.name=vgg_a`.

The training section of the paper stands in `get_config`; a recipe says what it changes and why.
"""

from ml_collections import ConfigDict

from flax_vision.training.config_schema import choose_recipe, default_config
from flax_vision.training.presets import clothes, digits, ilsvrc2012, one_cycle, own_images, shrink


def get_config(recipe: str = "", model: str = "vgg16") -> ConfigDict:
    """Returns the configuration of a recipe for a network of table 1."""
    config = default_config()
    config.model.name = model

    # Section 2.1: the mean RGB value, of the training set, is subtracted from each pixel.
    config.data.subtract_mean = "channel"
    config.data.std = (1.0,)

    # Section 3.1: 224x224 of images whose shorter side is S, mirrored, with AlexNet's shift of the
    # colors. S is 256; or 384, or from 256 to 512 (with a test at 384), both of them begun from
    # the network before (`init_from`), the first of them at a rate of 1e-3.
    config.crop.size = 224
    config.crop.resize_range = (256, 256)
    config.crop.eval_resize = 256
    config.augmentation.flip = True
    config.augmentation.pca_noise = 0.1
    config.batch_size = 256
    config.epochs = 74  # "370K iterations (74 epochs)"
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 5e-4
    config.schedule.name = "plateau"
    config.schedule.lr = 1e-2
    config.schedule.factor = 1 / 10
    config.schedule.max_drops = 3

    choose_recipe(recipe, RECIPES)(config)
    return config


def small(config: ConfigDict) -> None:
    """Small images: at 32x32 the five pools leave one pixel.

    Without batch normalization, and in few steps, so deep a network learns from weights that are
    drawn for rectifiers (He et al. 2015) and pixels divided by their deviation.
    """
    config.model.initialization = "he"
    shrink(config, 32)


def mnist_5k(config: ConfigDict) -> None:
    """4,000 digits, in minutes on two cores."""
    small(config)
    digits(config, "mnist_5k")
    config.batch_size = 64
    one_cycle(config, epochs=8, lr=0.02)


def mnist(config: ConfigDict) -> None:
    """The same digits, 60,000."""
    mnist_5k(config)
    config.data.name = "mnist"
    config.data.val_fraction = 0.05
    config.epochs = 3


def fashion_mnist(config: ConfigDict) -> None:
    """Clothes in the format of the digits."""
    mnist(config)
    clothes(config)


def cifar10(config: ConfigDict) -> None:
    """Small photographs, shifted by up to four pixels as in the ResNet paper, section 4.2."""
    small(config)
    config.data.name = "cifar10"
    config.augmentation.pad_and_crop = 4
    config.batch_size = 128
    one_cycle(config, epochs=30, lr=0.02)


def folder(config: ConfigDict) -> None:
    """Photographs of your own, a folder for each class; it learns as from small images."""
    config.model.initialization = "he"
    own_images(config, 128, lr=0.01)


RECIPES = {
    "": mnist_5k,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "imagenet": ilsvrc2012,
    "folder": folder,
}
