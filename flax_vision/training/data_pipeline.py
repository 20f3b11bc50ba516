"""What happens to the images of a run before the network sees them."""

import dataclasses
from collections.abc import Sequence

from ml_collections import ConfigDict

from flax_vision.data.augmentation import Augmentation
from flax_vision.data.crops import Reading, View
from flax_vision.data.dataset import Images, Report
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.splits import Parts, Source, load_parts
from flax_vision.data.statistics import colour_components, mean_image
from flax_vision.errors import UserError
from flax_vision.text import counted


def make_reading(config: ConfigDict) -> Reading | None:
    """Returns how photographs are read; None where images are read into memory."""
    if not config.view.size:
        return None
    view = View(**config.view.to_dict())
    if not view.test_scale:
        view = dataclasses.replace(view, test_scale=round(view.size * 256 / 224))
    data = config.data
    return Reading(view, data.on_error, data.threads, max_pixels=data.max_pixels)


def make_source(config: ConfigDict) -> Source:
    """Returns the source of a configuration's data set."""
    data, reading = config.data, make_reading(config)
    return Source(
        data.name,
        data.directory,
        data.path,
        data.validation,
        data.test,
        reading,
        class_order=data.class_order,
    )


def load_data(config: ConfigDict, report: Report) -> Parts:
    """Reads the data set of a configuration.

    Args:
      config: Checked configuration.
      report: Function that gets a text, the images read so far and their number.

    Raises:
      UserError: The set cannot be read.
    """
    source = make_source(config)
    try:
        return load_parts(source, report)
    except OSError as error:
        place = source.path if source.name == "folder" else source.directory or source.name
        raise UserError(
            f"the data in {place!r} cannot be read ({error.strerror or error}); fix this and "
            "give the same command again."
        ) from error


def make_preprocessing(config: ConfigDict, train: Images) -> Preprocessing:
    """Returns what every image goes through, with the mean as it is given.

    Raises:
      UserError: the configuration does not fit the images.
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


def centered(given: Preprocessing, center: str, train: Images, report: Report) -> Preprocessing:
    """Returns the same with the mean of the training set: of each channel, or of each pixel."""
    if center == "given":
        return given
    mean = mean_image(train, given, report)
    if center == "channel":
        mean = mean.mean(axis=(0, 1))
    return dataclasses.replace(given, mean=mean.round(3).tolist())


def make_augmentation(
    config: ConfigDict, train: Images, preprocessing: Preprocessing, report: Report
) -> Augmentation:
    """Returns the random changes on the device, with the colours of the training set."""
    components: Sequence[Sequence[float]] = ()
    if config.colour_noise:
        found = colour_components(train, preprocessing, config.colour_components, report)
        components = found.tolist()
    return Augmentation(
        config.affine,
        config.photometric,
        config.colour_noise,
        components,
        config.pad,
        config.flip,
    )
