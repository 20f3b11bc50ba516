"""Images in a folder that a table of labels names."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from flax_vision.data.class_subset import check_classes
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.file_list import SUFFIXES, FileList, natural
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.data.image_folder import ALL, image_root
from flax_vision.data.label_table import Row, TableFile, TableReader
from flax_vision.errors import UserError
from flax_vision.text import counted, listed, nfc

_MAX_NAMED = 10
"""Number of missing files that a message names."""

_MAX_CLASSES = 8
"""Number of classes that a message names."""


def image_table_loaders(
    table: TableFile,
    image_dir: str,
    decode_config: DecodeConfig,
    class_names: Sequence[str] = (),
    class_order: str = "natural",
    classes: Sequence[str] = (),
) -> Mapping[str, Callable[[], ImageFileDataset]]:
    """Returns a function for each split of a table that lists the split's images.

    Images are in the natural order of their classes and paths, as in a folder with a subfolder for
    each class. The order of the rows has no effect.

    Args:
      table: File with the table, in UTF-8, with commas, semicolons or tabs.
      image_dir: Folder of the images; the paths in the table are relative to it.
      decode_config: Settings for reading the images.
      class_names: Names of the model's classes, in its order; empty for the labels of the training
        images.
      class_order: One of `CLASS_ORDERS`; unused with `class_names` or `classes`.
      classes: Names of the classes to read, in the order of their labels; empty for all.

    Returns:
      Functions by `"train"`, `"validation"` and `"test"`; or one by `ALL`, for a table without
      splits.

    Raises:
      UserError: The table cannot be read or a row is invalid. The functions raise it for images
        that do not exist and for classes without training images.
    """
    root = image_root(image_dir, decode_config.flags, "the images of the table")
    reader = TableReader(table, root, decode_config.flags)
    rows, warnings = _distinct(reader, [*reader.rows()])
    by_split = _by_split(rows)
    known = class_names or _class_names(reader, next(iter(by_split.values())), class_order, classes)
    origin = "the model" if class_names else "the training images"
    names = {nfc(name) for name in known}
    return {
        split: partial(
            _load_split,
            reader,
            [row for row in found if not classes or row.label in names],
            known,
            origin,
            decode_config,
            warnings,
        )
        for split, found in by_split.items()
    }


def _by_split(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Returns the rows of each split, or of `ALL`; training comes first and may be empty."""
    found: dict[str, list[Row]] = {} if rows[0].split == ALL else {"train": []}
    for row in rows:
        found.setdefault(row.split, []).append(row)
    return found


def _distinct(reader: TableReader, rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Returns the rows without repetitions, and warnings about these.

    Raises:
      UserError: Two rows give an image different labels.
    """
    first: dict[str, Row] = {}
    for row in rows:
        other = first.setdefault(row.path, row)
        if other.label != row.label:
            raise reader.error(
                row.line,
                f"gives {row.path!r} the label {row.label!r}, and line {other.line:,} the label "
                f"{other.label!r}; remove one of these lines",
            )
    distinct = {(row.path, row.split): row for row in reversed(rows)}
    repeated = len(rows) - len(distinct)
    lines = f"skipped {counted(repeated, 'line')} of {reader.table.path!r} that repeat another line"
    return list(distinct.values()), [lines] if repeated else []


def _class_names(
    reader: TableReader, train: Sequence[Row], class_order: str, classes: Sequence[str]
) -> Sequence[str]:
    """Returns the names of the classes with training images, or checks the chosen ones."""
    found = natural({row.label for row in train})
    if not found:
        raise UserError(f"{reader.name} has no training images; give rows the split train.")
    if classes:
        check_classes(classes, found)
        return classes
    if len(found) < 2:
        raise UserError(
            f"{reader.name} has only one label for training images, {found[0]!r}; it must have two "
            "labels or more."
        )
    return sorted(found) if class_order == "sorted" else found


def _load_split(
    reader: TableReader,
    rows: Sequence[Row],
    known: Sequence[str],
    origin: str,
    decode_config: DecodeConfig,
    warnings: Sequence[str],
) -> ImageFileDataset:
    """Lists the images of a split.

    Args:
      reader: Reader of the table.
      rows: Rows of the split.
      known: Names of the known classes, in their order.
      origin: Owner of these classes, for messages.
      decode_config: Settings for reading.
      warnings: Sentences about unused rows.
    """
    labels = {nfc(name): label for label, name in enumerate(known)}
    unknown_rows = [row for row in rows if row.label not in labels]
    if unknown_rows:
        row = min(unknown_rows)
        raise reader.error(
            row.line,
            f"has the label {row.label!r} of the split {row.split}, unknown to {origin} "
            f"({counted(len(unknown_rows), 'such line')}); use labels of {origin}: "
            f"{listed(known, _MAX_CLASSES)}",
        )
    _check_files(reader, rows)
    class_rank, path_rank = (
        {name: rank for rank, name in enumerate(natural(names))}
        for names in ({row.label for row in rows}, [row.path for row in rows])
    )
    rows = sorted(rows, key=lambda row: (class_rank[row.label], path_rank[row.path]))
    paths = [reader.root / row.path for row in rows]
    targets = np.array([labels[row.label] for row in rows], np.int32)
    files = FileList(paths, decode_config.max_pixels, reader.root)
    indices = np.arange(len(rows))
    return ImageFileDataset(files, indices, targets, known, decode_config, warnings=warnings)


def _check_files(reader: TableReader, rows: Sequence[Row]) -> None:
    """Raises a UserError for images that do not exist. Broken links are reported when read."""
    root = str(reader.root)
    missing = sorted(row for row in rows if not os.path.lexists(os.path.join(root, row.path)))
    if not missing:
        return
    first = missing[0].path
    suffix = next((x for x in SUFFIXES if os.path.lexists(os.path.join(root, first + x))), "")
    hint = f"; {first + suffix!r} exists, so add the extension" if suffix else ""
    if "\\" in first:
        hint = "; write / between folders"
    names = listed([f"{row.path!r} (line {row.line:,})" for row in missing], _MAX_NAMED)
    raise UserError(
        f"{counted(len(missing), 'path')} of {len(rows):,} in {reader.name} are not in {root!r}: "
        f"{names}{hint or '; correct them, or remove these lines'}."
    )
