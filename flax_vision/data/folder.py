"""Photographs in folders, one for each class."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from flax_vision.data.decoding import FORMATS, SUFFIXES, Unreadable, check
from flax_vision.data.encoded_set import EncodedSet
from flax_vision.data.image_set import Report
from flax_vision.data.views import View
from flax_vision.errors import UserError

Sets = tuple[EncodedSet, EncodedSet | None, EncodedSet | None]


def load_folder(path: str, view: View, skips: bool, report: Report) -> Sets:
    """Returns the training, validation and test photographs of a folder.

    With folders `train` and `val` in it, and perhaps `test`, each with a folder a class, these are
    the parts; with `val` alone, it is the test. Otherwise the folders in it are the classes, and
    the parts are still to be made.

    Args:
      path: the folder.
      view: what is seen of a photograph.
      skips: leaves out what cannot be read.
      report: called with a text, the files looked at so far and their number.

    Raises:
      UserError: there is no folder, or no class, or a class without photographs; a class is missing
        in training; a file cannot be used.
    """
    root = Path(path)
    if not path or not root.is_dir():
        raise UserError(
            f"config.data.path is {path!r}, which is no folder; give one with a folder for each "
            "class, or with train/ and val/ that have them."
        )
    if not (root / "train").is_dir():
        return _read(root, _classes(root), view, skips, report), None, None
    names = _classes(root / "train")
    parts = {
        part: _read(root / part, names, view, skips, report)
        for part in ("train", "val", "test")
        if (root / part).is_dir()
    }
    if "val" in parts and "test" in parts:
        return parts["train"], parts["val"], parts["test"]
    return parts["train"], None, parts.get("test", parts.get("val"))


def _classes(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if _is_class(entry))
    if len(names) < 2:
        raise UserError(
            f"{folder} has {len(names)} folders for classes; put the images of each class into a "
            "folder of its own, for example "
            f"{folder / 'cat'} and {folder / 'dog'}."
        )
    return names


def _is_class(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _read(folder: Path, names: list[str], view: View, skips: bool, report: Report) -> EncodedSet:
    surplus = sorted(
        entry.name for entry in folder.iterdir() if _is_class(entry) and entry.name not in names
    )
    if surplus:
        raise UserError(
            f"{folder} has the class {surplus[0]!r}, which the training images do not have; they "
            f"have {', '.join(names)}. Rename or remove {folder / surplus[0]}."
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = _images(folder / name)
        if not found:
            raise UserError(
                f"class {name!r} has no image in {folder / name} ({', '.join(SUFFIXES)}); add "
                "some, or remove the folder."
            )
        files += found
        labels += [label] * len(found)
    bad = _find_unreadable(files, f"{folder}", report)
    if bad and not skips:
        path, reason = next(iter(bad.items()))
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise UserError(
            f"{path}: {reason}{more}. Mend or remove it, or leave such out with "
            "--config.data.on_error=skip."
        )
    kept = np.array([i for i, path in enumerate(files) if path not in bad], np.int64)
    return EncodedSet(
        read=_reader(files, labels),
        name=lambda number: str(files[number]),
        numbers=kept,
        labels=np.array(labels, np.int32)[kept],
        class_names=names,
        view=view,
        skips=skips,
        skipped={str(path) for path in bad},
    )


def _reader(files: list[Path], labels: list[int]) -> Callable[[int], tuple[bytes, int]]:
    return lambda number: (files[number].read_bytes(), labels[number])


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in found if path.is_file())


def _find_unreadable(files: list[Path], what: str, report: Report) -> dict[Path, Unreadable]:
    """Returns why files cannot be used, as far as their beginnings tell."""

    def problem(path: Path) -> Unreadable | None:
        try:
            check(lambda: Image.open(path, formats=FORMATS))
        except Unreadable as error:
            return error
        return None

    bad = {}
    with ThreadPoolExecutor() as pool:
        for done, (path, error) in enumerate(zip(files, pool.map(problem, files), strict=True), 1):
            if error is not None:
                bad[path] = error
            report(what, done, len(files))
    return bad
