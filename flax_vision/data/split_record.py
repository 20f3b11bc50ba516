"""Record of the split and the class of each file in an image folder."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from flax_vision.data.dataset import Dataset
from flax_vision.data.file_list import FileList
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.data.splits import SPLITS, Splits
from flax_vision.text import encodable


def relative_paths(images: Dataset, folder: str) -> Sequence[str]:
    """Returns the paths of the images of a folder, relative to it, with `/` on every system.

    Args:
      images: Images of a split.
      folder: Path of the folder, as in the `Source` of the images.

    Returns:
      The path of each image; empty for images that are not from a folder.
    """
    if not isinstance(images, ImageFileDataset) or not isinstance(images.files, FileList):
        return []
    names = map(images.files.name, images.indices.tolist())
    prefix = f"{Path(folder)}{os.sep}"
    return [
        name[len(prefix) :].replace(os.sep, "/")
        if name.startswith(prefix)
        else Path(name).relative_to(folder).as_posix()
        for name in names
    ]


def splits_csv(splits: Splits, folder: str) -> str:
    """Returns a CSV file with the columns `path`, `label` and `split`.

    Args:
      splits: Splits of an image folder.
      folder: Path of the folder; the paths are relative to it.

    Returns:
      The text of the file; empty if the images are not from a folder.
    """
    rows = [
        (path, images.class_names[label], split)
        for split, images in zip(SPLITS, splits, strict=True)
        if (paths := relative_paths(images, folder))
        for path, label in zip(paths, images.labels.tolist(), strict=True)
    ]
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("path", "label", "split"), *(map(encodable, row) for row in rows)])
    return text.getvalue()
