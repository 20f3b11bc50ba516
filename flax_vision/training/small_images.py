"""What config files of networks for photographs of 224x224 change for sets of small images."""

from ml_collections import ConfigDict


def shrink(config: ConfigDict, size: int) -> None:
    """Brings images to `size` in three channels; neither cropped nor with other colours.

    The mean of each channel is subtracted, and pixels are divided by about their deviation.
    """
    config.view.size = 0
    config.data.resize = size
    config.data.channels = 3
    config.data.center = "channel"
    config.data.std = (64.0,)
    config.augmentation.colour_noise = 0.0
    config.augmentation.photometric = 0.0


def digits(config: ConfigDict, name: str) -> None:
    """Trains on digits, which are not symmetric: distorted, and never mirrored."""
    config.data.name = name
    config.augmentation.flip = False
    config.augmentation.affine = 0.5


def clothes(config: ConfigDict) -> None:
    """Trains on Fashion-MNIST, most of which could be mirrored."""
    config.data.name = "fashion_mnist"
    config.augmentation.flip = True
    config.augmentation.affine = 0.0


def one_cycle(config: ConfigDict, epochs: int, learning_rate: float) -> None:
    """Lets the rate rise to its highest and fall again, for runs that are short."""
    config.epochs = epochs
    config.schedule.name = "one_cycle"
    config.schedule.learning_rate = learning_rate
