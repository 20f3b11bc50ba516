"""GoogLeNet: Szegedy et al., 2014.

    python train.py --config configs/googlenet.py                # 5,000 real digits, embedded
    python train.py --config configs/googlenet.py:mnist          # and other sets, from TFDS
    python train.py --config configs/googlenet.py:fashion_mnist
    python train.py --config configs/googlenet.py:cifar10
    python train.py --config configs/googlenet.py:imagenet       # the paper's own training
    python train.py --config configs/googlenet.py:folder --config.data.image_dir=DIR  # your images

and each of them with `--config.model.name=googlenet_bn`, the same with batch normalization.

The training section of the paper stands in `get_config`, with Caffe's bvlc_googlenet, for which one
of the authors helped, where the paper leaves a number open; a recipe says what it changes and why.
"""

from ml_collections import ConfigDict

from flax_vision.training.config_schema import choose_recipe, default_config
from flax_vision.training.presets import clothes, digits, ilsvrc2012, one_cycle, own_images, shrink


def get_config(recipe: str = "", model: str = "googlenet") -> ConfigDict:
    """Returns the configuration of a recipe for one of the GoogLeNets."""
    config = default_config()
    config.model.name = model

    # Section 5: 224x224 RGB with the mean subtracted.
    config.crop.size = 224
    config.data.subtract_mean = "channel"
    config.data.std = (1.0,)

    # Section 5: the losses of the auxiliary classifiers count with a weight of 0.3.
    config.loss.aux_weight = 0.3

    # Section 6: momentum, 4 % less every 8 epochs, Polyak averaging.
    config.optimizer.momentum = 0.9
    config.schedule.name = "exponential"
    config.schedule.factor = 1 - 0.04
    config.schedule.decay_epochs = 8.0
    config.optimizer.ema_decay = 0.9999  # a decay is not given
    config.schedule.lr = 0.01  # Caffe
    config.optimizer.weight_decay = 2e-4  # Caffe
    config.batch_size = 32  # Caffe
    config.epochs = 250  # Caffe: ten million steps with this schedule

    # Section 6: parts of 8 to 100 % of the area, with an aspect ratio of 3/4 to 4/3.
    config.crop.scale = (0.08, 1.0)
    config.crop.ratio = (3 / 4, 4 / 3)
    config.crop.interpolation = "random"
    config.crop.eval_resize = 256  # section 7: the smallest of its four scales

    # Section 6: photometric distortions of Howard's (2013).
    config.augmentation.color_jitter = 0.5
    config.augmentation.flip = True

    choose_recipe(recipe, RECIPES)(config)
    return config


def small(config: ConfigDict) -> None:
    """Small images: of 72x72 the auxiliary classifiers' pools see one window.

    In few steps it learns from pixels divided by their deviation and weights drawn for rectifiers
    (He et al. 2015).
    """
    config.model.initialization = "he"
    shrink(config, 72)


def mnist_5k(config: ConfigDict) -> None:
    """4,000 digits, in minutes on two cores."""
    small(config)
    digits(config, "mnist_5k")
    config.batch_size = 32
    one_cycle(config, epochs=10, lr=0.02)
    config.optimizer.ema_decay = 0.98


def mnist(config: ConfigDict) -> None:
    """The same digits, 60,000."""
    mnist_5k(config)
    config.data.name = "mnist"
    config.data.val_fraction = 0.05
    config.epochs = 4
    config.optimizer.ema_decay = 0.999


def fashion_mnist(config: ConfigDict) -> None:
    """Clothes in the format of the digits."""
    mnist(config)
    clothes(config)


def cifar10(config: ConfigDict) -> None:
    """Small photographs."""
    small(config)
    config.data.name = "cifar10"
    config.data.resize = 80
    config.data.crop = 72
    one_cycle(config, epochs=30, lr=0.02)
    config.optimizer.ema_decay = 0.999


def folder(config: ConfigDict) -> None:
    """Photographs of your own, a folder for each class; it learns as from small images."""
    config.model.initialization = "he"
    own_images(config, 128, lr=0.01)
    config.optimizer.ema_decay = 0.99


RECIPES = {
    "": mnist_5k,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "imagenet": ilsvrc2012,
    "folder": folder,
}
