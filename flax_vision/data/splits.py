"""Datasets by name, divided into training, validation and test splits."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flax_vision.data.class_subset import loaders_of_classes
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.custom_datasets import custom_loaders, is_registered
from flax_vision.data.dataset import Dataset, ProgressFn, random_split, stratified_split
from flax_vision.data.flags import HUGGING_FACE, TRAIN_FLAGS, DataFlags
from flax_vision.data.label_noise import add_label_noise
from flax_vision.data.limit import limit_classes
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.errors import UserError
from flax_vision.text import counted, listed

SPLITS = ("train", "validation", "test")

_FRACTION_KEYS = {"validation": "val_fraction", "test": "test_fraction"}
"""Keys of `config.data`, by split."""

_MAX_NAMED = 3
"""Number of images that a warning names."""


@dataclass(frozen=True)
class Source:
    """Origin of a dataset, as in `config.data`.

    Attributes:
      name: `"mnist_5k"`, `"folder"`, `hf:` and a dataset of Hugging Face, a registered name, or the
        TFDS name of a set.
      tfds_dir: Directory of prepared TFDS sets; empty for its default.
      image_dir: Path of the folder.
      val_fraction: Share of the training set for validation, 0 to below 1, if there is no
        validation split.
      test_fraction: Share of the folder for the test, 0 to below 1, if there is no test split.
        With 1 a folder without `train` is a test split as a whole.
      decode_config: Settings for reading image files; None to read images into memory.
      class_names: Names of the model's classes, for a folder or Hugging Face, in the model's order;
        empty for the dataset's own classes.
      flags: Flags that error messages name.
      class_order: Order of a folder's classes, one of `CLASS_ORDERS`.
      labels: Path of a table with the labels of the images in the folder; empty for a folder with
        a subfolder for each class.
      image_column: Column of a table with the images or their paths; empty to find it.
      label_column: Column of a table with the labels; empty to find it.
      classes: Names of the classes to read, in the order of their labels; empty for all.
      stratify: Whether a split taken from the training images keeps its share of each class:
        `"always"`, `"never"`, or `"auto"` if the labels are known without a long pass.
      limit: Number of training images of each class; 0 for all.
      label_noise: Share of the training labels to replace by another class.
      seed: Seed of `limit` and `label_noise`.
    """

    name: str
    tfds_dir: str = ""
    image_dir: str = ""
    val_fraction: float = 0.0
    test_fraction: float = 0.0
    decode_config: DecodeConfig | None = None
    class_names: Sequence[str] = ()
    flags: DataFlags = TRAIN_FLAGS
    class_order: str = "natural"
    labels: str = ""
    image_column: str = ""
    label_column: str = ""
    classes: Sequence[str] = ()
    stratify: str = "auto"
    limit: int = 0
    label_noise: float = 0.0
    seed: int = 0


class Splits(NamedTuple):
    """The splits of a dataset.

    Attributes:
      train: Images for training.
      validation: Images for choosing the best model; may be empty.
      test: Images for one test at the end.
    """

    train: Dataset
    validation: Dataset
    test: Dataset

    def warnings(self) -> list[str]:
        """Returns sentences about the images, such as unused files or classes without images."""
        texts = [text for dataset in self for text in dataset.warnings]
        return list(dict.fromkeys([*texts, *_empty_classes(self.train)]))


def _empty_classes(train: Dataset) -> list[str]:
    """Returns a sentence about the classes without training images, if there are any."""
    if not train.labels_known:
        return []  # to count them, all records would be read before the first step
    counts = np.bincount(train.labels, minlength=len(train.class_names))
    names = [repr(train.class_names[label]) for label in np.flatnonzero(counts == 0).tolist()]
    classes = counted(len(names), "class has", "classes have")
    return [f"{classes} no training images: {listed(names, _MAX_NAMED)}"] if names else []


def unreadable_warning(datasets: Iterable[Dataset]) -> str:
    """Returns a sentence about the images that were skipped so far; empty for none."""
    unreadable = {name: reason for x in datasets for name, reason in x.unreadable.items()}
    if not unreadable:
        return ""
    names = listed([f"{name} ({reason})" for name, reason in unreadable.items()], _MAX_NAMED)
    images = counted(len(unreadable), "image")
    return f"{images} so far cannot be read and will not count: {names}"


def read_splits(source: Source, on_progress: ProgressFn) -> Splits:
    """Reads a dataset: small images into memory, and the list of larger images.

    Args:
      source: Origin of the dataset.
      on_progress: Function that gets a text, the images read and the total.

    Raises:
      UserError: The set is unavailable, or a split is empty.
    """
    splits = _read(source, SPLITS, on_progress)
    if source.name == "folder":
        from flax_vision.data.duplicates import duplicates_warning

        if text := duplicates_warning(splits, source.image_dir, on_progress):
            warnings = [*splits["train"].warnings, text]
            splits["train"] = dataclasses.replace(splits["train"], warnings=warnings)  # type: ignore[type-var]
    return Splits(**splits)


def read_split(source: Source, split: str, on_progress: ProgressFn) -> Dataset:
    """Reads one of `SPLITS`, and the training set if the split is taken out of it.

    Args:
      source: Origin of the dataset.
      split: Name of the split.
      on_progress: Function that gets a text, the images read and the total.

    Raises:
      UserError: As in `read_splits`.
    """
    return _read(source, (split,), on_progress)[split]


def _read(source: Source, wanted: Sequence[str], on_progress: ProgressFn) -> dict[str, Dataset]:
    loaders = _loaders(source, on_progress)
    if source.classes:
        loaders = loaders_of_classes(loaders, source.classes)
    splits = {split: loaders[split]() for split in wanted if split in loaders and split != "train"}
    if len(splits) < len(wanted):
        splits = _divide(loaders, source) | splits
    if "train" in wanted:
        limited = limit_classes(splits["train"], source.limit, source.seed)
        splits["train"] = add_label_noise(limited, source.label_noise, source.seed)
    is_hugging_face = source.name.startswith(HUGGING_FACE)
    if source.name == "folder" or (is_hugging_face and source.decode_config):
        from flax_vision.data.image_folder import check_headers

        for split in wanted:
            check_headers(splits[split], split, on_progress)  # type: ignore[arg-type]
    return {split: splits[split] for split in wanted}


def has_lazy_labels(source: Source) -> bool:
    """Returns whether a source has `LazyLabels` with `stratify="auto"`.

    Raises:
      UserError: The set is unavailable.
    """
    name, decode_config = source.name, source.decode_config
    is_other = name == "folder" or in_memory(name) or name.startswith(HUGGING_FACE)
    if decode_config is None or is_other:
        return False
    from flax_vision.data import tfds

    return tfds.has_lazy_labels(name, source.tfds_dir, decode_config, source.flags)


def in_memory(name: str) -> bool:
    """Returns whether a dataset has its images in memory, and so cannot crop image files."""
    return name == "mnist_5k" or is_registered(name)


def _loaders(source: Source, on_progress: ProgressFn) -> Mapping[str, Callable[[], Dataset]]:
    """Returns a function for each split of the source that reads it."""
    name, decode_config = source.name, source.decode_config
    if in_memory(name) and decode_config is not None:
        raise UserError(
            f"config.crop.size is {decode_config.crop.size}, and the images of {name} are "
            "small and in memory; give --config.crop.size=0 (config.data.resize enlarges them)."
        )
    if is_registered(name):
        return custom_loaders(name, source.flags)
    if name == "mnist_5k":
        train, test = load_mnist_5k()
        return {"train": lambda: train, "test": lambda: test}
    if name == "folder":
        if decode_config is None:
            raise UserError(
                "config.data.name is 'folder', and config.crop.size is 0; give the height and "
                "width of a crop, such as --config.crop.size=224, or the recipe `folder` of a "
                "config file."
            )
        return _folder_loaders(source, decode_config)
    if name.startswith(HUGGING_FACE):
        from flax_vision.data.hugging_face import hugging_face_loaders

        columns = source.image_column, source.label_column
        classes = source.class_names, source.class_order
        settings = decode_config, source.flags, *columns, *classes
        return hugging_face_loaders(name, on_progress, *settings)
    # TFDS takes most of a second to import.
    from flax_vision.data.tfds import tfds_loaders

    set_of_source = name, source.tfds_dir
    return tfds_loaders(*set_of_source, on_progress, decode_config, source.flags, source.stratify)


def _folder_loaders(
    source: Source, decode_config: DecodeConfig
) -> Mapping[str, Callable[[], Dataset]]:
    """Returns a function for each split of a folder, with or without a table of labels."""
    from flax_vision.data.image_folder import image_folder_loaders
    from flax_vision.data.image_table import image_table_loaders
    from flax_vision.data.label_table import TableFile

    options = decode_config, source.class_names, source.class_order, source.classes
    if source.labels:
        table = TableFile(source.labels, source.image_column, source.label_column)
        return image_table_loaders(table, source.image_dir, *options)
    return image_folder_loaders(source.image_dir, *options)


def _divide(loaders: Mapping[str, Callable[[], Dataset]], source: Source) -> dict[str, Dataset]:
    """Returns the training split, and the missing splits, which are taken out of it."""
    is_undivided = "train" not in loaders
    if is_undivided and len(loaders) > 1:
        raise UserError(f"{source.name!r} has no training images; give some.")
    (load,) = loaders.values() if is_undivided else (loaders["train"],)
    train = load()
    splits = {}
    if "test" not in loaders:
        if source.test_fraction == 1:
            empty = train.take(np.arange(0))
            train, test = (empty, train) if is_undivided else (train, empty)
            return {"train": train, "validation": empty, "test": test}
        train, splits["test"] = _take_out(train, "test", source.test_fraction, source)
        if not len(splits["test"]):
            is_folder = source.name == "folder" and not source.labels
            place = source.labels or source.name
            location, kind = (source.image_dir, "folder") if is_folder else (place, "split")
            raise UserError(
                f"config.data.test_fraction is {source.test_fraction}, and {location!r} has no "
                f"{kind} test{'/' * is_folder}, so there is no test image; give a "
                f"share above 0, or such a {kind}."
            )
    if "validation" not in loaders:
        fraction = source.val_fraction
        train, splits["validation"] = _take_out(train, "validation", fraction, source)
    return {"train": train, **splits}


def _take_out(train: Dataset, split: str, share: float, source: Source) -> tuple[Dataset, Dataset]:
    """Splits a share of each class, or of all images, off the training set."""
    name, is_random = source.name, source.stratify == "never" or not train.labels_known
    rest, taken = (random_split if is_random else stratified_split)(train, share)
    option = f"config.data.{_FRACTION_KEYS[split]} is {share}"
    if not len(rest) or (share and not len(taken)):
        raise UserError(
            f"{option}, which divides the {counted(len(train), 'training image')} of {name!r} "
            f"into {len(rest)} and {len(taken)}; each split needs at least one: give another "
            "share, or more images."
        )
    if not train.labels_known:
        return _with_note(rest, split, len(taken), name), taken
    lost = np.setdiff1d(train.labels, rest.labels)
    if len(lost):
        raise UserError(
            f"{option}, which takes all images of the class {train.class_names[lost[0]]!r} of "
            f"{name!r} and leaves none for training; give a smaller share, or more images."
        )
    return rest, taken


def _with_note(rest: Dataset, split: str, count: int, name: str) -> Dataset:
    """Returns the training images with a warning that a split is not stratified."""
    note = f"{split}: {counted(count, 'random image')}; labels of {name} are not indexed, so it is "
    note += "not stratified (config.data.stratify=always reads all labels once)"
    return dataclasses.replace(rest, warnings=[*rest.warnings, note] if count else rest.warnings)  # type: ignore[type-var]
