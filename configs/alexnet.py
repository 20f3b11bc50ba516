"""AlexNet: Krizhevsky, Sutskever and Hinton, 2012.

    python train.py --config configs/alexnet.py                  # 5,000 real digits, embedded
    python train.py --config configs/alexnet.py:mnist            # and other sets, from TFDS
    python train.py --config configs/alexnet.py:fashion_mnist
    python train.py --config configs/alexnet.py:cifar10
    python train.py --config configs/alexnet.py:imagenet         # the paper's own training
    python train.py --config configs/alexnet.py:imagenet_2012_code  # at the rates of their code
    python train.py --config configs/alexnet.py:folder --config.data.image_dir=DIR  # your images

and each of them with `--config.model.name=alexnet_owt` for the one-column network of 2014.

The training section of the paper stands in `get_config`; a recipe says what it changes and why.
"""

from ml_collections import ConfigDict

from flax_vision.training.config_schema import choose_recipe, default_config
from flax_vision.training.presets import clothes, digits, ilsvrc2012, one_cycle, own_images, shrink


def get_config(recipe: str = "", model: str = "alexnet") -> ConfigDict:
    """Returns the configuration of a recipe for `alexnet` or `alexnet_owt`."""
    config = default_config()
    config.model.name = model

    # Section 2: the shorter side of 256, the mean activity of each pixel subtracted.
    config.crop.resize_range = (256, 256)
    config.crop.center_square = True
    config.crop.eval_resize = 256
    config.data.subtract_mean = "pixel"  # of the part that is seen; the paper's is of 256x256
    config.data.std = (1.0,)

    # Section 4.1: patches of 224x224, mirrored; multiples of the colors' principal components.
    config.crop.size = 224
    config.augmentation.flip = True
    config.augmentation.pca_noise = 0.1
    config.augmentation.pca_scaling = "eigenvalues"

    # Section 5. The authors' code has decay_biases = False and bias_rate = 2.
    config.batch_size = 128
    config.epochs = 90  # "roughly 90 cycles"
    config.optimizer.momentum = 0.9
    config.optimizer.momentum_form = "alexnet"  # v contains the rate
    config.optimizer.weight_decay = 0.0005
    config.schedule.name = "plateau"
    config.schedule.lr = 0.01
    config.schedule.factor = 1 / 10
    config.schedule.max_drops = 3

    choose_recipe(recipe, RECIPES)(config)
    return config


def small(config: ConfigDict) -> None:
    """Small images: 64x64 is the least of which the last pool has a window left.

    So few of them, and so few steps, that weights with a deviation of 0.01 would hardly begin to
    learn: they are drawn for rectifiers (He et al. 2015), and pixels divided by their deviation.
    """
    config.model.initialization = "he"
    shrink(config, 64)


def mnist_5k(config: ConfigDict) -> None:
    """4,000 digits, in minutes on two cores."""
    small(config)
    digits(config, "mnist_5k")
    config.batch_size = 64
    one_cycle(config, epochs=15, lr=0.02)


def mnist(config: ConfigDict) -> None:
    """The same digits, 60,000."""
    mnist_5k(config)
    config.data.name = "mnist"
    config.data.val_fraction = 0.05
    config.epochs = 5


def fashion_mnist(config: ConfigDict) -> None:
    """Clothes in the format of the digits."""
    mnist(config)
    clothes(config)


def cifar10(config: ConfigDict) -> None:
    """Small photographs, with the paper's patches and colors."""
    small(config)
    config.data.name = "cifar10"
    config.data.resize = 72
    config.data.crop = 64
    config.augmentation.pca_noise = 0.1
    one_cycle(config, epochs=30, lr=0.02)


def imagenet_2012_code(config: ConfigDict) -> None:
    """ImageNet, with the rate lowered after the epochs at which the authors did so by hand.

    Those are noted in the code that they published, for ILSVRC-2012. From epoch 67 on it also has
    no more noise of the colors, and a lower rate for the first layer, which are left out here.
    """
    ilsvrc2012(config)
    config.epochs = 91
    config.schedule.name = "piecewise"
    config.schedule.boundaries = (25, 51, 79)
    config.schedule.decay_factors = (1 / 10, 1 / 100, 1 / 1000)


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
    "imagenet_2012_code": imagenet_2012_code,
    "folder": folder,
}
