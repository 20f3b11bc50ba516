"""Images in a folder that has a subfolder for each class."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from flax_vision.data.class_subset import check_classes
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import ProgressFn
from flax_vision.data.file_list import (
    SUFFIXES,
    FileList,
    PathList,
    has_image_extension,
    is_image,
    natural,
    skipped_files,
)
from flax_vision.data.flags import DataFlags
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.errors import UserError
from flax_vision.text import counted, listed, nfc

ALL = "all"
"""Name of the only split of a folder without split folders."""

SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Names of each split, in any case."""

_MAX_NAMED = 8
"""Number of classes or folders that a message names."""

_CHECKED = 10_000
"""Number of headers per split that are checked before a run, in about a second."""


def image_folder_loaders(
    path: str,
    decode_config: DecodeConfig,
    class_names: Sequence[str] = (),
    class_order: str = "natural",
    classes: Sequence[str] = (),
) -> Mapping[str, Callable[[], ImageFileDataset]]:
    """Returns a function for each split of a folder that lists the split's images.

    The folder has a subfolder for each class, or a folder `train` with such subfolders, and
    optionally `val` and `test` (or other names of `SPLIT_FOLDERS`). Classes and files are in
    natural order (`9.jpg` before `10.jpg`), and links are followed. The `warnings` of a split name
    unused files and folders, except hidden ones.

    Args:
      path: Path of the folder.
      decode_config: Settings for reading its images.
      class_names: Names of the model's classes, in its order; empty for the classes of `train`.
      class_order: One of `CLASS_ORDERS`; unused with `class_names` or `classes`.
      classes: Names of the classes to read, in the order of their labels; empty for all.

    Returns:
      Functions by `"train"`, `"validation"` and `"test"`; or one by `ALL`, for a folder without
      `train`.

    Raises:
      UserError: The folder does not exist, or two folders are the same split. The functions raise
        it too: there are no classes, a class is empty, or a split has an unknown class.
    """
    content = "a folder of images for each class, or train/ and val/ with such folders in them"
    root = image_root(path, decode_config.flags, content)
    folders, warnings = _split_folders(root)
    first = next(iter(folders.values()))
    origin = "the model" if class_names else f"{first.name}/"
    known = class_names or _class_names(first, class_order, classes)
    return {
        split: partial(_load_split, folder, known, origin, decode_config, warnings, bool(classes))
        for split, folder in folders.items()
    }


def image_root(path: str, flags: DataFlags, content: str) -> Path:
    """Returns the path of a folder of images.

    Args:
      path: Path of the folder.
      flags: Flags that error messages name.
      content: Content of a valid folder DIR.

    Raises:
      UserError: The folder does not exist.
    """
    root = Path(path)
    if not path or not root.is_dir():
        found = "is not a directory" if root.exists() else "does not exist"
        problem = f"is {path!r}, which {found}" if path else "is not given"
        flag = flags.image_dir
        raise UserError(f"{flag.rstrip(' =')} {problem}; give {flag}DIR, where DIR has {content}.")
    return root


def split_of(name: str) -> str:
    """Returns the split that a name means, in any case; empty for none."""
    name = nfc(name).casefold()
    return next((split for split, names in SPLIT_FOLDERS.items() if name in names), "")


def check_headers(dataset: ImageFileDataset, split: str, on_progress: ProgressFn) -> None:
    """Reads the headers of the first 10,000 images of a split.

    Args:
      dataset: Images of the split.
      split: Name of the split.
      on_progress: Function that gets a text, the headers read and the total.

    Raises:
      UserError: A header is unreadable and `on_error` is `"stop"`, or all are unreadable.
    """
    first = dataset.take(np.arange(min(len(dataset), _CHECKED)))
    first.sizes(on_progress)
    if len(first) and len(first.skipped) == len(first):
        name, reason = next(iter(first.unreadable.items()))
        kind = "training" if split == "train" else split
        raise UserError(
            f"none of the first {counted(len(first), f'{kind} image')} can be read, such as "
            f"{name!r} ({reason}); repair them or give others."
        )


def _split_folders(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Returns the folder of each split, training first, and warnings about unused entries."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in _folders(root):
        found[split_of(name)].append(name)
    others = found.pop("", [])
    # A class may be named train too: then it contains images and stands beside other classes.
    if not found["train"] or (others and not any(_folders(root / x) for x in found["train"])):
        names = [name for names in found.values() for name in names]
        if names and not others:
            raise UserError(
                f"{str(root)!r} has {'/ and '.join(names)}/ but no train/; add one with a folder "
                "of images for each class."
            )
        return {ALL: root}, []
    for split, names in found.items():
        if len(names) > 1:
            raise UserError(
                f"{str(root)!r} has {'/ and '.join(names)}/ for the {split} images; rename or "
                "remove all but one of them."
            )
    warnings = _warnings(root, [root / name for name in others], f"beside {found['train'][0]}/")
    return {split: root / found[split][0] for split in SPLIT_FOLDERS if found[split]}, warnings


def _class_names(folder: Path, class_order: str, classes: Sequence[str]) -> Sequence[str]:
    """Returns the class names of a training split, or checks the chosen ones."""
    found = _folders(folder)
    if len(found) < 2:
        count = f"only one class, {found[0]!r}" if found else "no classes"
        loose = sum(map(is_image, _files(folder)))
        hint = f" It has {counted(loose, 'image')} outside of such folders." if loose else ""
        raise UserError(
            f"{str(folder)!r} has {count}; it must have a folder of images for each of two "
            f"classes or more, named after it.{hint}"
        )
    if classes:
        check_classes(classes, found)
        return classes
    return sorted(found) if class_order == "sorted" else found


def _load_split(
    folder: Path,
    known: Sequence[str],
    origin: str,
    decode_config: DecodeConfig,
    warnings: Sequence[str],
    known_only: bool,
) -> ImageFileDataset:
    """Lists the images of a split.

    Args:
      folder: Folder of the split.
      known: Names of the known classes, in their order.
      origin: Owner of these classes, for messages.
      decode_config: Settings for reading.
      warnings: Sentences about unused files and folders beside the folder.
      known_only: Whether to ignore unknown classes.
    """
    labels = {nfc(name): label for label, name in enumerate(known)}
    found = [name for name in _folders(folder) if not known_only or nfc(name) in labels]
    unknown = [name for name in found if nfc(name) not in labels]
    if unknown or not found:
        problem = f"the class {unknown[0]!r}, unknown to {origin}" if found else "no classes"
        raise UserError(
            f"{str(folder)!r} has {problem}; give it a folder of images for each class of "
            f"{origin}, with the same names ({listed(known, _MAX_NAMED)})."
        )
    ((twice, count),) = Counter(map(nfc, found)).most_common(1)
    if count > 1:
        raise UserError(
            f"{str(folder)!r} has two folders of the class {twice!r}, whose names differ only "
            "in their Unicode form (NFC and NFD); move all images into one of them."
        )
    unused: list[Path] = []
    paths: list[str] = []
    counts: list[int] = []
    for name in found:
        images = _images(folder / name, unused)
        paths += images
        counts.append(len(images))
    warnings = [*warnings, *_warnings(folder, unused, "in class folders")]
    files = FileList(PathList(paths), decode_config.max_pixels)
    targets = np.repeat(np.array([labels[nfc(name)] for name in found], np.int32), counts)
    indices = np.arange(len(paths))
    return ImageFileDataset(files, indices, targets, known, decode_config, warnings=warnings)


def _warnings(folder: Path, unused: Sequence[Path], where: str) -> list[str]:
    """Returns sentences about unused files and folders.

    Args:
      folder: Folder whose own files are unused, because they have no class.
      unused: Other unused files and folders in it.
      where: Location of the unused folders.
    """
    files = sorted(path for path in (*unused, *_files(folder)) if not path.is_dir())
    folders = [repr(str(path)) for path in unused if path.is_dir()]
    images = [path for path in files if is_image(path)]
    others = [path for path in files if not is_image(path)]
    warnings = [skipped_files(others)] if others else []
    if folders:
        names = listed(folders, _MAX_NAMED)
        warnings.append(f"skipped {counted(len(folders), 'folder')} {where}: {names}")
    if images:
        count = counted(len(images), "image")
        warnings.append(f"skipped {count} outside class folders, such as {str(images[0])!r}")
    return warnings


def _images(folder: Path, unused: list[Path]) -> list[str]:
    """Returns the image files of a class, and adds all other entries to `unused`."""
    # A link that leads nowhere is listed, so that it is an error when it is read.
    names = []
    for entry in _entries(folder):
        if has_image_extension(entry.name) and not _is_folder(entry):
            names.append(entry.name)
        else:
            unused.append(folder / entry.name)
    if not names:
        inner, files = _folders(folder), _files(folder)
        hint = f", but folders, such as {inner[0]!r}, which are not searched" if inner else ""
        hint = hint or (f" ({skipped_files(files)})" if files else "")
        raise UserError(
            f"the folder of the class {folder.name!r} has no images in it{hint} ({str(folder)!r}); "
            f"add some ({', '.join(SUFFIXES)}), or remove the folder."
        )
    return [os.path.join(folder, name) for name in natural(names)]


def _folders(folder: Path) -> list[str]:
    return natural(entry.name for entry in _entries(folder) if _is_folder(entry))


def _files(folder: Path) -> list[Path]:
    return [folder / entry.name for entry in _entries(folder) if not _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Returns whether an entry is a folder or a link to one; without a system call for files."""
    return Path(entry).is_dir() if entry.is_symlink() else entry.is_dir()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Returns the visible entries of a folder."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(
            f"folder {str(folder)!r} cannot be read ({error.strerror}); check its permissions."
        ) from error
