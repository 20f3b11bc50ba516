"""Data, preprocessing and augmentation of a configuration."""

import dataclasses

from ml_collections import ConfigDict

from flax_vision.data.augmentation import Augmentation
from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.splits import Source, Splits, has_lazy_labels, read_splits
from flax_vision.data.statistics import mean_image, pca_components
from flax_vision.errors import UserError
from flax_vision.evaluation.metrics import has_top5
from flax_vision.runtime import multihost
from flax_vision.text import counted


def make_decode_config(config: ConfigDict) -> DecodeConfig | None:
    """Returns the decoding of image files; None for images in memory."""
    if not config.crop.size:
        return None
    data, options = config.data, config.crop.to_dict()
    options["eval_resize"] = options["eval_resize"] or round(options["size"] * 256 / 224)
    crop = CropPolicy(**options, channels=1 if data.grayscale else 3)
    return DecodeConfig(crop, data.on_error, data.num_threads, max_pixels=data.max_pixels)


def load_data(
    config: ConfigDict, on_progress: ProgressFn, was_stratified: bool | None = None
) -> Splits:
    """Reads the dataset of a configuration; all processes call it together.

    Args:
      config: Checked configuration.
      on_progress: Function that gets a text, the images read so far and their number.
      was_stratified: Whether the splits of a resumed run are stratified; None for a new run.

    Raises:
      UserError: The dataset cannot be read.
    """
    data = config.data
    fractions = (data.val_fraction, data.test_fraction)
    decode = make_decode_config(config)
    keys = (
        "class_order",
        "labels",
        "image_column",
        "label_column",
        "classes",
        "limit",
        "label_noise",
    )
    options = {key: data[key] for key in keys} | {"seed": config.seed}
    source = Source(data.name, data.tfds_dir, data.image_dir, *fractions, decode, **options)
    try:
        stratify = _stratify(config, source, was_stratified)
        return read_splits(dataclasses.replace(source, stratify=stratify), on_progress)
    except OSError as error:
        location = data.image_dir if data.name == "folder" else data.tfds_dir or data.name
        raise UserError(
            f"the data in {location!r} cannot be read ({error.strerror or error}); fix this and "
            "give the same command again."
        ) from error


def _stratify(config: ConfigDict, source: Source, was_stratified: bool | None) -> str:
    """Returns `"always"` or `"never"` for the splits of a run, the same in all processes."""
    if config.data.stratify != "auto":
        return str(config.data.stratify)
    if was_stratified is not None:
        return "always" if was_stratified else "never"
    needs_labels = (
        config.data.classes
        or config.data.limit
        or config.data.label_noise
        or config.data.sampler == "balanced"
        or config.loss.class_weights == "balanced"
    )
    if needs_labels:
        return "always"
    # The index or the cache of one process may be missing in another.
    (is_lazy,) = multihost.all_max(has_lazy_labels(source))
    return "never" if is_lazy else "always"


def check_validation(config: ConfigDict, splits: Splits) -> None:
    """Raises a UserError for a setting that needs validation images, or more classes."""
    metrics = {
        "checkpoint.best_metric": config.checkpoint.best_metric,
        "stop.metric": config.stop.metric,
    }
    classes = len(splits.train.class_names)
    for key, metric in metrics.items():
        if metric == "top5" and not has_top5(classes):
            raise UserError(
                f"config.{key} is 'top5', which is always 1 with "
                f"{counted(classes, 'class', 'classes')}; give top1."
            )
    needs = {
        "schedule.name": (config.schedule.name, config.schedule.name == "plateau"),
        "stop.patience": (config.stop.patience, config.stop.patience > 0),
        "checkpoint.best_metric": (
            config.checkpoint.best_metric,
            config.checkpoint.best_metric != "auto",
        ),
    }
    for key, (value, is_needed) in needs.items():
        if is_needed and not len(splits.validation):
            raise UserError(
                f"config.{key} is {value!r}, which needs validation images, and "
                "config.data.val_fraction is 0; give a share above 0."
            )


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
    """Returns the augmentation, with the principal components of the training set's colors.

    Raises:
      UserError: Gray images have no hue to change.
    """
    if config.hue and train.image_shape[-1] == 1:
        raise UserError(
            f"config.augmentation.hue is {config.hue}, and the images are gray, so they have no "
            "hue; give --config.augmentation.hue=0."
        )
    options = config.to_dict()
    scaling = options.pop("pca_scaling")
    if config.pca_noise:
        components = pca_components(train, preprocessing, scaling, on_progress)
        options["pca_components"] = components.tolist()
    return Augmentation(**options)
