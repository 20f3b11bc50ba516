"""Splits of datasets from the Hugging Face Hub, parquet files and `save_to_disk`."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NoReturn

import numpy as np

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import ArrayDataset, Dataset, ProgressFn
from flax_vision.data.flags import TRAIN_FLAGS, DataFlags
from flax_vision.data.hub import open_tables, signals_first
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.data.image_folder import ALL, split_of
from flax_vision.data.table_columns import Columns, LabelColumn, find_columns, known_classes
from flax_vision.data.table_images import ImageColumn, common_shape, read_pixels
from flax_vision.errors import UserError
from flax_vision.text import counted, listed

_SPLITS = ("train", "validation", "test")

_MAX_NAMED = 8
"""Number of splits that a message names."""


def hugging_face_loaders(
    name: str,
    on_progress: ProgressFn,
    decode_config: DecodeConfig | None = None,
    flags: DataFlags = TRAIN_FLAGS,
    image_column: str = "",
    label_column: str = "",
    class_names: Sequence[str] = (),
    class_order: str = "natural",
) -> Mapping[str, Callable[[], Dataset]]:
    """Returns a function for each split of a dataset that reads the split.

    Splits without rows or without labels, such as the `test` of ImageNet, are left out.

    Args:
      name: `hf:OWNER/NAME`, `hf:OWNER/NAME:CONFIG`, or `hf:PATH` of a parquet file, of a folder
        with such files, or of a dataset saved by `save_to_disk`.
      on_progress: Function that gets a text, the images read and the total.
      decode_config: Settings for reading images on demand; None to read all images, of one size,
        into memory.
      flags: Flags that error messages name.
      image_column: Column of the images; empty to find it.
      label_column: Column of the labels; empty to find it.
      class_names: Names of the model's classes, in its order; empty for the dataset's own classes.
      class_order: One of `CLASS_ORDERS`, for labels without a `ClassLabel`.

    Returns:
      Functions by `"train"`, `"validation"` and `"test"`; or one by `ALL`, for a dataset without
      splits.

    Raises:
      UserError: The dataset cannot be read; the functions raise it for a label or an image.
    """
    images, labels, warnings = _open(name, (image_column, label_column), flags, on_progress)
    first = next(iter(labels.values()))
    known = known_classes(first, class_names, class_order)
    origin = "the model" if known is class_names else first.title
    shape = cache(partial(common_shape, next(iter(images.values()))))
    advice = f"dataset {name!r} has images of several sizes, and {flags.one_size}"

    def load(split: str) -> Dataset:
        files, targets = images[split], labels[split].encode(known, origin)
        if decode_config is None:
            with signals_first(name, on_progress):
                pixels = read_pixels(files, shape(), advice, on_progress)
            return ArrayDataset(pixels, targets, known, warnings)
        indices = np.arange(len(targets))
        return ImageFileDataset(files, indices, targets, known, decode_config, warnings=warnings)

    return _with_labels(name, labels, load, warnings)


def _open(
    name: str, given: tuple[str, str], flags: DataFlags, on_progress: ProgressFn
) -> tuple[dict[str, ImageColumn], dict[str, LabelColumn], list[str]]:
    """Returns the images and the labels of each split, and sentences about unused data."""
    opened, warnings = open_tables(name, on_progress)
    tables = _by_split(name, opened, warnings)
    columns = find_columns(name, next(iter(tables.values())), Columns(*given), flags)
    titles = {split: name if split == ALL else f"{name}, {split}" for split in tables}
    images = {x: ImageColumn(titles[x], tables[x], columns.image) for x in tables}
    labels = {x: LabelColumn(titles[x], tables[x], columns.label) for x in tables}
    return images, labels, warnings


def _by_split(name: str, tables: Mapping[str, Any], warnings: list[str]) -> dict[str, Any]:
    """Returns the tables with rows by `_SPLITS`, or the only one by `ALL`.

    Args:
      name: Name of the dataset.
      tables: Tables by their own names.
      warnings: List that gets a sentence about unused tables.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for own_name, table in tables.items():
        if len(table):
            found[split_of(own_name)].append(own_name)
    others = found.pop("", [])
    if not found and len(others) == 1:
        return {ALL: tables[others[0]]}
    if not found:
        raise UserError(
            f"dataset {name!r} has {_names('split', others)} with rows; one must be named train."
            if others
            else f"dataset {name!r} has no rows; give one with images."
        )
    for split, names in found.items():
        if len(names) > 1:
            raise UserError(
                f"dataset {name!r} has the splits {' and '.join(names)} for the {split} images; "
                "rename or remove all but one of them."
            )
    if others:
        warnings.append(f"{name}: skipped {_names('split', others)}")
    return {split: tables[found[split][0]] for split in _SPLITS if split in found}


def _names(kind: str, names: Sequence[str]) -> str:
    return f"{counted(len(names), kind)} ({listed(names, _MAX_NAMED)})"


def _with_labels(
    name: str,
    labels: Mapping[str, LabelColumn],
    load: Callable[[str], Dataset],
    warnings: list[str],
) -> dict[str, Callable[[], Dataset]]:
    """Returns functions for the first split and all others with labels; warns of the rest.

    Without a split for training there is a function `"train"` that raises a UserError.
    """
    loaders: dict[str, Callable[[], Dataset]] = {}
    for split, column in labels.items():
        if not loaders or column.has_labels:
            loaders[split] = partial(load, split)
        else:
            warnings.append(f"{column.title}: skipped this split, which has no labels")
    if not {"train", ALL} & loaders.keys():
        loaders["train"] = partial(_no_training_split, name, list(loaders))
    return loaders


def _no_training_split(name: str, splits: Sequence[str]) -> NoReturn:
    raise UserError(f"dataset {name!r} has no split train, only {', '.join(splits)}; add one.")
