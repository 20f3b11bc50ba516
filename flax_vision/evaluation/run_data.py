"""The images of an evaluation: a run's own dataset, or another one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.custom_datasets import ARRAYS
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.fingerprint import is_stratified
from flax_vision.data.flags import HUGGING_FACE, MAX_PIXELS
from flax_vision.data.splits import SPLITS, Source, in_memory, read_split
from flax_vision.errors import UserError, unknown
from flax_vision.evaluation.data_options import OPTIONS, DataOptions
from flax_vision.evaluation.run_arrays import are_run_arrays, named_arrays
from flax_vision.runtime.files import expanded_path
from flax_vision.text import counted
from flax_vision.weights.model_metadata import ModelMetadata
from flax_vision.weights.run_files import CONFIG, RESTORE, read_config, read_dataset

_REQUIRED = {"name", "tfds_dir", "val_fraction"}
"""Required keys of a run's data configuration; an image folder also needs `image_dir`."""

_COLUMNS = {"image_column", "label_column"}
"""Data configuration keys of a table's columns."""

_SOURCE_KEYS = _COLUMNS | {
    *("tfds_dir", "image_dir", "labels", "val_fraction", "test_fraction", "limit", "label_noise")
}
"""Data configuration keys of a `Source`."""


def load_images(
    path: Path,
    metadata: ModelMetadata,
    split: str,
    on_progress: ProgressFn,
    loaded: Sequence[tuple[Source, Dataset]] = (),
    **options: Unpack[DataOptions],
) -> tuple[Source, Dataset]:
    """Loads one split of a run's images, or of others.

    Args:
      path: A run directory, its export, or another export.
      metadata: Description of the model.
      split: `"train"`, `"validation"` or `"test"`.
      on_progress: Function that gets a text, the images so far and their number.
      loaded: Images of the same split and options that are not loaded again, by their source.
      **options: Choice of other images.

    Raises:
      UserError: The set cannot be loaded, does not fit the model, or the split is empty.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    with named_arrays(options, metadata, run_config(path).get("data", {}), split) as named:
        source = find_source(path, metadata, **named)
        shared = next((images for known, images in loaded if known == source), None)
        images = read_split(source, split, on_progress) if shared is None else shared
    if not len(images):
        raise UserError(_empty_split(source, split))
    check_compatible(metadata, images, source.name)
    return source, images


def find_source(path: Path, metadata: ModelMetadata, **options: Unpack[DataOptions]) -> Source:
    """Returns the source of a run's images, or of others.

    Args:
      path: A run directory, its export, or another export.
      metadata: Description of the model.
      **options: Choice of other images.

    Raises:
      UserError: No set is named and the run is unknown, the run's folder is missing, or both a
        folder and a set are given.
    """
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    tfds_dir, image_dir, labels = (
        x and expanded_path(x) for x in map(given.get, ("tfds_dir", "image_dir", "labels"))
    )
    config = run_config(path).get("data", {})
    _check_table(config, given)
    name = _dataset_name(path, config, given)
    own_dir = config.get("image_dir", "")
    is_own = _is_same(image_dir, own_dir) and _is_same(labels, config.get("labels", ""))
    fields = {key: config[key] for key in _SOURCE_KEYS & config.keys()}
    fields |= {"stratify": _stratify(path, config), "seed": run_config(path).get("seed", 0)}
    if name == ARRAYS:
        is_own = are_run_arrays(run_directory(path), fields, config.get("classes", ()))
    if name == config.get("name") and is_own:
        if name == "folder" and image_dir is None:
            _check_folder(path, Path(own_dir))
    else:
        fields = {"val_fraction": config.get("val_fraction", 0.0), "test_fraction": 1.0}
        fields["image_dir"] = image_dir or (own_dir if "labels" in given else "")
        fields["labels"] = labels or ""
    if tfds_dir is not None:
        fields["tfds_dir"] = tfds_dir
    fields |= _given_columns(name, fields.get("labels", ""), given)
    decode_config = _decode_config(metadata, name, config | given)
    has_names = name == "folder" or name.startswith(HUGGING_FACE)
    class_names = metadata.class_names if has_names else ()
    return Source(
        name,
        **fields,
        decode_config=decode_config,
        class_names=class_names,
        flags=OPTIONS,
        classes=tuple(config.get("classes", ())),
    )


def _dataset_name(path: Path, config: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Returns the name of the dataset; `folder` for a given folder or table.

    Args:
      path: A run directory, its export, or another export.
      config: Data configuration of the run.
      given: Given options.
    """
    of_folder = [key for key in ("image_dir", "labels") if given.get(key)]
    name = given.get("data") or ("folder" if of_folder else config.get("name"))
    if name is None:
        raise UserError(
            f"{str(path)!r} has no config.json with the name of its dataset; give --data NAME, "
            "such as --data mnist_5k, or --image-dir DIR with a folder of images for each class."
        )
    if of_folder and name != "folder":
        key = of_folder[0]
        raise UserError(
            f"{getattr(OPTIONS, key)}is {given[key]!r}, and --data is {name!r}; give one of them."
        )
    return str(name)


def _stratify(path: Path, config: Mapping[str, Any]) -> str:
    """Returns the `stratify` of a `Source` with the run's own splits.

    Args:
      path: A run directory, its export, or another export.
      config: Data configuration of the run.
    """
    recorded = read_dataset(run_directory(path), "delete it to evaluate without its splits")
    if config.get("stratify", "auto") != "auto" or not recorded:
        return str(config.get("stratify", "auto"))
    return "always" if is_stratified(recorded) else "never"


def _check_table(config: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises a UserError for another folder without its labels, if the run's are in a table."""
    own, folder = config.get("labels"), given.get("image_dir")
    if not own or not folder or "labels" in given:
        return
    if not _is_same(expanded_path(folder), config["image_dir"]):
        raise UserError(
            f"the labels of the run are in the table {own!r}, and {OPTIONS.image_dir}{folder} is "
            f"another folder; give {OPTIONS.labels}{own} for the same images, the table of other "
            f"images, or {OPTIONS.labels.strip()}= for a folder for each class."
        )


def _given_columns(name: str, labels: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Returns the columns that options name; a UserError for a dataset without columns."""
    columns = {key: given[key] for key in sorted(_COLUMNS & given.keys())}
    if columns and not labels and not name.startswith(HUGGING_FACE):
        key, column = next(iter(columns.items()))
        raise UserError(
            f"{getattr(OPTIONS, key)}{column} is for a table, and there is none; give --labels "
            f"FILE or --data {HUGGING_FACE}PATH, or leave it out."
        )
    return columns


def _is_same(given: str | None, own: str) -> bool:
    """Returns whether a given path is the run's own one, as is a path that is not given."""
    return given is None or Path(given).resolve() == Path(own).resolve()


def _check_folder(path: Path, folder: Path) -> None:
    """Raises a UserError if the training folder of a run is missing."""
    if not folder.is_dir():
        where = "" if folder.is_absolute() else ", relative to the directory of the training"
        raise UserError(
            f"the training folder of {str(path)!r} is missing: {str(folder)!r}{where}; give "
            "--image-dir DIR."
        )


def _decode_config(
    metadata: ModelMetadata, name: str, settings: Mapping[str, Any]
) -> DecodeConfig | None:
    """Returns how to decode the images of a set; None for small images in memory."""
    crop = crop_policy(metadata) if name == "folder" else metadata.crop
    if crop is None or in_memory(name):
        return None
    on_error, threads = settings.get("on_error", "stop"), settings.get("num_threads", 0)
    return DecodeConfig(crop, on_error, threads, OPTIONS, settings.get("max_pixels", MAX_PIXELS))


def crop_policy(metadata: ModelMetadata) -> CropPolicy:
    """Returns the crop of image files, also for a model trained on small images.

    Raises:
      UserError: The small images were not square.
    """
    height, width, channels = metadata.image_shape
    if metadata.crop is None and height != width:
        raise UserError(
            f"{metadata.name} was trained on images of {height}x{width}, and image files get a "
            "square crop; give --data NAME, with images of that size."
        )
    return metadata.crop or CropPolicy(height, height, (height, height), channels=channels)


def run_config(path: Path) -> dict[str, Any]:
    """Returns the configuration of a run, from its directory or its export.

    Returns:
      Nested dictionaries; empty for an export outside a run directory.

    Raises:
      UserError: The configuration cannot be read.
    """
    run = run_directory(path)
    config = read_config(run)
    if config:
        data = config.get("data", {})
        required = _REQUIRED | ({"image_dir"} if data.get("name") == "folder" else set())
        if missing := required - data.keys():
            raise UserError(f"{run / CONFIG} is damaged (data has no {min(missing)}); {RESTORE}.")
    return config


def run_directory(path: Path) -> Path:
    """Returns the directory of a run, from its own path or from the path of its export."""
    path = path.absolute()
    return path.parent if path.name == "export" and (path / "model.json").exists() else path


def _empty_split(source: Source, split: str) -> str:
    """Returns the reason why a split of a set has no images."""
    if source.labels:
        return f"the table {source.labels!r} has no {split} images; choose another --split."
    if source.name == ARRAYS:
        return f"data has no {split} images; give a dictionary with a pair for {split!r}."
    if source.name == "folder" and source.test_fraction == 1:
        return (
            f"{source.image_dir!r} has no {split} images, because it has no folder {split}/; "
            "without a folder train/ all of it is --split test. Choose another --split."
        )
    if split == "test":
        return f"{source.name!r} has no test images. Choose another --split."
    return (
        f"{source.name!r} has no {split} images: val_fraction, the share of the training set for "
        f"validation, is {source.val_fraction:g}. Choose --split train or test."
    )


def check_compatible(metadata: ModelMetadata, images: Dataset, name: str) -> None:
    """Checks the number of classes and channels of a set.

    Args:
      metadata: Description of the model.
      images: The images.
      name: Name of the dataset.

    Raises:
      UserError: The model has other classes or channels.
    """
    known, given = len(metadata.class_names), len(images.class_names)
    if known != given:
        raise UserError(
            f"{metadata.name} has {counted(known, 'class', 'classes')}, and {name!r} has "
            f"{given:,}; give a set with the same classes."
        )
    repeats = metadata.preprocessing.channels
    shapes = metadata.image_shape, images.image_shape
    ours, theirs = (repeats if repeats and shape[-1] == 1 else shape[-1] for shape in shapes)
    if ours != theirs:
        raise UserError(
            f"{metadata.name} was trained on images of {counted(ours, 'channel')}, and the images "
            f"of {name!r} have {theirs}; give a set with as many channels."
        )
