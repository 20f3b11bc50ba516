"""Data, preprocessing and augmentation of a configuration."""

import dataclasses

from ml_collections import ConfigDict

from flax_vision.data.augmentation import Augmentation
from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.splits import Source, Splits, read_splits
from flax_vision.data.statistics import mean_image, pca_components
from flax_vision.errors import UserError
from flax_vision.text import counted


def make_decode_config(config: ConfigDict) -> DecodeConfig | None:
    """Returns the decoding of image files; None for images in memory."""
    if not config.crop.size:
        return None
    data, options = config.data, config.crop.to_dict()
    options["eval_resize"] = options["eval_resize"] or round(options["size"] * 256 / 224)
    crop = CropPolicy(**options, channels=1 if data.grayscale else 3)
    return DecodeConfig(crop, data.on_error, data.num_threads, max_pixels=data.max_pixels)


def load_data(config: ConfigDict, on_progress: ProgressFn) -> Splits:
    """Reads the dataset of a configuration.

    Args:
      config: Checked configuration.
      on_progress: Function that gets a text, the images read so far and their number.

    Raises:
      UserError: The dataset cannot be read.
    """
    data = config.data
    fractions = (data.val_fraction, data.test_fraction)
    decode = make_decode_config(config)
    source = Source(
        *(data.name, data.tfds_dir, data.image_dir, *fractions, decode),
        class_order=data.class_order,
        image_column=data.image_column,
        label_column=data.label_column,
    )
    try:
        return read_splits(source, on_progress)
    except OSError as error:
        location = data.image_dir if data.name == "folder" else data.tfds_dir or data.name
        raise UserError(
            f"the data in {location!r} cannot be read ({error.strerror or error}); fix this and "
            "give the same command again."
        ) from error


def make_preprocessing(config: ConfigDict, train: Dataset) -> Preprocessing:
    """Returns the preprocessing of every image, with the configured mean.

    Raises:
      UserError: The configuration does not fit the images.
    """
    data = config.data
    *size, channels = train.image_shape
    if channels == 1:
        channels = data.channels or 1
    for key in ("mean", "std"):
        if len(data[key]) not in (1, channels):
            raise UserError(
                f"config.data.{key} has {counted(len(data[key]), 'number')}, and the images of "
                f"{data.name!r} have {counted(channels, 'channel')}; give one number or {channels}."
            )
    if data.crop > (smallest := data.resize or min(size)):
        raise UserError(
            f"config.data.crop is {data.crop}, and the images of {data.name!r} are "
            f"{counted(smallest, 'pixel')} high or wide; give at most that, or a larger "
            "config.data.resize."
        )
    return Preprocessing(data.mean, data.std, data.resize, data.channels, data.crop)


def with_training_mean(
    given: Preprocessing, subtract_mean: str, train: Dataset, on_progress: ProgressFn
) -> Preprocessing:
    """Returns a preprocessing with the training set's mean, of each channel or of each pixel."""
    if subtract_mean == "given":
        return given
    mean = mean_image(train, given, on_progress)
    if subtract_mean == "channel":
        mean = mean.mean(axis=(0, 1))
    return dataclasses.replace(given, mean=mean.round(3).tolist())


def make_augmentation(
    config: ConfigDict, train: Dataset, preprocessing: Preprocessing, on_progress: ProgressFn
) -> Augmentation:
    """Returns the augmentation, with the principal components of the training set's colors."""
    options = config.to_dict()
    scaling = options.pop("pca_scaling")
    if config.pca_noise:
        components = pca_components(train, preprocessing, scaling, on_progress)
        options["pca_components"] = components.tolist()
    return Augmentation(**options)
