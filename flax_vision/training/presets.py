"""Overrides that the recipes of several config files share."""

from ml_collections import ConfigDict


def shrink(config: ConfigDict, size: int) -> None:
    """Brings images to `size` in three channels; neither cropped nor with other colors.

    The mean of each channel is subtracted, and pixels are divided by about their deviation.
    """
    config.crop.size = 0
    config.data.resize = size
    config.data.channels = 3
    config.data.subtract_mean = "channel"
    config.data.std = (64.0,)
    config.augmentation.pca_noise = 0.0
    config.augmentation.color_jitter = 0.0


def digits(config: ConfigDict, name: str) -> None:
    """Trains on digits, which are not symmetric: distorted, and never mirrored."""
    config.data.name = name
    config.augmentation.flip = False
    config.augmentation.random_affine = 0.5


def clothes(config: ConfigDict) -> None:
    """Trains on Fashion-MNIST, most of which could be mirrored."""
    config.data.name = "fashion_mnist"
    config.augmentation.flip = True
    config.augmentation.random_affine = 0.0


def one_cycle(config: ConfigDict, epochs: int, lr: float) -> None:
    """Lets the rate rise to its highest and fall again, for runs that are short."""
    config.epochs = epochs
    config.schedule.name = "one_cycle"
    config.schedule.lr = lr


def ilsvrc2012(config: ConfigDict) -> None:
    """Trains on ImageNet's 1000 classes.

    The 50,000 validation images, on which the papers report, are the test part here; what the rate
    and the best model are chosen by are 12,812 of the training images, which the papers kept.
    """
    config.data.name = "imagenet2012"
    config.data.val_fraction = 0.01


def own_images(config: ConfigDict, size: int, lr: float) -> None:
    """Trains on a folder, from parts of `size` pixels with at least a quarter of the area.

    A few hundred images a class do for this: the smaller size learns in a fraction of the time, the
    mean of each channel is subtracted, and pixels are divided by about their deviation.
    """
    config.data.name = "folder"
    config.crop.size = size
    config.crop.scale = (0.25, 1.0)
    config.crop.interpolation = "bilinear"
    config.crop.eval_resize = 0
    config.data.subtract_mean = "channel"
    config.data.std = (64.0,)
    config.augmentation.pca_noise = 0.0
    config.augmentation.color_jitter = 0.2
    config.augmentation.flip = True
    config.batch_size = 32
    one_cycle(config, epochs=30, lr=lr)
