"""Photographs in a folder that has a folder for each class."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import ProgressFn
from flax_vision.data.file_list import SUFFIXES, Paths, is_image, natural, skipped_files
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.errors import UserError
from flax_vision.text import counted, listed, nfc

ALL = "all"
"""Names what a folder has that is not divided into parts."""

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Folder names of each split, in any case."""

_NAMED = 8
"""Number of classes or folders that a message names."""

_CHECKED = 10_000
"""Files of a part whose headers are looked at before a run: about a second's worth."""


def find_folder(
    path: str, reading: DecodeConfig, class_names: Sequence[str] = (), class_order: str = "natural"
) -> Mapping[str, Callable[[], ImageFileDataset]]:
    """Returns what finds the images of each part that a folder has.

    It has a folder for each class, or a folder `train` with such folders, and optionally `val` and
    `test` (or other names of `_SPLITS`). Classes and files are in natural order (`9.jpg` before
    `10.jpg`), and links are followed. The `notes` of a split name unused files and folders, except
    hidden ones.

    Args:
      path: of the folder.
      reading: how its photographs are read.
      class_names: in the order in which a network knows them; empty for those of `train`.
      class_order: One of `CLASS_ORDERS`; unused with `class_names`.

    Returns:
      Functions by `"train"`, `"validation"` and `"test"`; or one by `ALL`, where there is no
      folder `train`.

    Raises:
      UserError: The folder does not exist, or two folders are the same split. The functions raise
        it too: there are no classes, a class is empty, or a part has an unknown class.
    """
    root = Path(path)
    if not path or not root.is_dir():
        found = "is not a directory" if root.exists() else "does not exist"
        problem = f"is {path!r}, which {found}" if path else "is not given"
        option = reading.options.image_dir
        raise UserError(
            f"{option.rstrip(' =')} {problem}; give {option}DIR, where DIR has a folder of images "
            "for each class, or train/ and val/ with such folders in them."
        )
    folders, notes = _split_folders(root)
    first = next(iter(folders.values()))
    origin = "the network" if class_names else f"{first.name}/"
    known = class_names or _class_names(first, class_order)
    return {
        split: partial(_part, folder, known, origin, reading, notes)
        for split, folder in folders.items()
    }


def _split_folders(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Returns the folder of each split, training first, and notes about unused entries."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in _folders(root):
        found[_split_of(name)].append(name)
    others = found.pop("", [])
    # A class may be named train too: then it contains images and stands beside other classes.
    if not found["train"] or (others and not any(_folders(root / x) for x in found["train"])):
        _check_no_splits(root, found, others)
        return {ALL: root}, []
    _check_one_each(root, found)
    notes = _notes(root, [root / name for name in others], f"beside {found['train'][0]}/")
    folders = {split: root / found[split][0] for split in _SPLITS if found[split]}
    return folders, notes


def _split_of(name: str) -> str:
    """Returns the split that a folder name means; empty for none."""
    name = nfc(name).casefold()
    return next((split for split, names in _SPLITS.items() if name in names), "")


def _check_one_each(root: Path, found: Mapping[str, list[str]]) -> None:
    """Raises a UserError if two folders are the same split."""
    for split, names in found.items():
        if len(names) > 1:
            raise UserError(
                f"{str(root)!r} has {'/ and '.join(names)}/ for the {split} images; rename or "
                "remove all but one of them."
            )


def _check_no_splits(root: Path, found: Mapping[str, list[str]], others: Sequence[str]) -> None:
    """Raises a UserError if all folders are splits, but none is the training split."""
    names = [name for names in found.values() for name in names]
    if names and not others:
        raise UserError(
            f"{str(root)!r} has {'/ and '.join(names)}/ but no train/; add one with a folder of "
            "images for each class."
        )


def check_headers(photographs: ImageFileDataset, part: str, on_progress: ProgressFn) -> None:
    """Looks at the headers of the first 10,000 images of a part.

    Args:
      photographs: the images.
      part: its name.
      on_progress: called with a text, the images looked at so far and their number.

    Raises:
      UserError: one cannot be read and that is an error, or none can.
    """
    first = photographs.take(np.arange(min(len(photographs), _CHECKED)))
    first.sizes(on_progress)
    if len(first) and len(first.skipped) == len(first):
        name, reason = next(iter(first.unreadable.items()))
        what = "training" if part == "train" else part
        raise UserError(
            f"none of the first {counted(len(first), f'{what} image')} can be read, such as "
            f"{name!r} ({reason}); mend them or give others."
        )


def _class_names(folder: Path, class_order: str) -> list[str]:
    """Returns the classes of a training part."""
    found = _folders(folder)
    if len(found) < 2:
        raise UserError(_too_few_classes(folder, found))
    return sorted(found) if class_order == "sorted" else found


def _part(
    folder: Path, known: Sequence[str], origin: str, reading: DecodeConfig, notes: Sequence[str]
) -> ImageFileDataset:
    """Returns the images of a part.

    Args:
      folder: that has the classes.
      known: names of classes, in their order.
      origin: what these are the classes of.
      reading: how its photographs are read.
      notes: Sentences about unused files and folders beside it.
    """
    found, number = _folders(folder), {nfc(name): label for label, name in enumerate(known)}
    unknown = [name for name in found if nfc(name) not in number]
    if unknown or not found:
        problem = f"the class {unknown[0]!r}, which {origin} has not" if found else "no classes"
        raise UserError(
            f"{str(folder)!r} has {problem}; it has a folder of images for each class, with the "
            f"names that {origin} has ({listed(known, _NAMED)})."
        )
    _check_distinct(folder, found)
    unused: list[Path] = []
    images = {name: _images(folder / name, unused) for name in found}
    paths = [path for name in found for path in images[name]]
    labels = [number[nfc(name)] for name in found for _ in images[name]]
    return ImageFileDataset(
        Paths(paths, reading.max_pixels),
        np.arange(len(paths)),
        np.array(labels, np.int32),
        known,
        reading,
        notes=[note for note in (*notes, *_notes(folder, unused, "in class folders")) if note],
    )


def _check_distinct(folder: Path, names: Iterable[str]) -> None:
    """Raises a UserError if two classes have the same name in two Unicode forms."""
    seen: set[str] = set()
    for name in names:
        if nfc(name) in seen:
            raise UserError(
                f"{str(folder)!r} has two folders of the class {name!r}, whose names differ only "
                "in their Unicode form (NFC and NFD); move all images into one of them."
            )
        seen.add(nfc(name))


def _notes(folder: Path, unused: Sequence[Path], where: str) -> list[str]:
    """Returns sentences about unused files and folders; empty ones for none.

    Args:
      folder: Folder whose own files are unused, because they have no class.
      unused: Other unused files and folders in it.
      where: Place of the folders among them.
    """
    files = sorted(path for path in (*unused, *_files(folder)) if not path.is_dir())
    return [
        skipped_files([path for path in files if not is_image(path)]),
        _skipped_folders([path for path in unused if path.is_dir()], where),
        _skipped_images([path for path in files if is_image(path)]),
    ]


def _skipped_images(images: Sequence[Path]) -> str:
    """Returns a sentence about images without a class; empty for none."""
    if not images:
        return ""
    return (
        f"skipped {counted(len(images), 'image')} outside class folders, such as "
        f"{str(min(images))!r}"
    )


def _skipped_folders(folders: Sequence[Path], where: str) -> str:
    """Returns a sentence about skipped folders; empty for none."""
    if not folders:
        return ""
    names = listed([repr(str(folder)) for folder in folders], _NAMED)
    return f"skipped {counted(len(folders), 'folder')} {where}: {names}"


def _folders(folder: Path) -> list[str]:
    return natural(entry.name for entry in _visible(folder) if entry.is_dir())


def _images(folder: Path, unused: list[Path]) -> list[Path]:
    """Returns the image files of a class, and adds all other entries to `unused`."""
    # A link that leads nowhere is listed, so that it is an error when it is read.
    names, others = [], []
    for entry in _visible(folder):
        if is_image(entry) and not entry.is_dir():
            names.append(entry.name)
        else:
            others.append(entry)
    unused += others
    if not names:
        inner, files = _folders(folder), [entry for entry in others if not entry.is_dir()]
        hint = f", but folders, such as {inner[0]!r}, which are not looked into" if inner else ""
        hint = hint or (f" ({skipped_files(files)})" if files else "")
        raise UserError(
            f"the folder of the class {folder.name!r} has no images in it{hint} ({str(folder)!r}); "
            f"put some there ({', '.join(SUFFIXES)}), or take the folder away."
        )
    return [folder / name for name in natural(names)]


def _files(folder: Path) -> list[Path]:
    return [entry for entry in _visible(folder) if not entry.is_dir()]


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(
            f"folder {str(folder)!r} cannot be read ({error.strerror}); mend that."
        ) from error


def _too_few_classes(folder: Path, found: Sequence[str]) -> str:
    count = f"only one class, {found[0]!r}" if found else "no classes"
    loose = sum(map(is_image, _files(folder)))
    hint = f" It has {counted(loose, 'image')} outside of such folders." if loose else ""
    return (
        f"{str(folder)!r} has {count}; it must have a folder of images for each of two classes or "
        f"more, named after it.{hint}"
    )
