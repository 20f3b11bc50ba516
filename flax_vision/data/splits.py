"""Every data set by its name, divided into its three parts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import Dataset, ProgressFn, stratified_split
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.data.options import TRAINING, Options
from flax_vision.errors import UserError
from flax_vision.text import counted

PARTS = ("train", "validation", "test")

_SHARES = {"validation": "val_fraction", "test": "test_fraction"}
"""Keys of `config.data`, by split."""

_NAMED = 3
"""Images that a warning names."""


@dataclass(frozen=True)
class Source:
    """Where images come from, as `config.data` says it.

    Attributes:
      name: `"mnist_5k"`, `"folder"`, or the TFDS name of a set.
      tfds_dir: where TFDS keeps its sets; empty for its default.
      image_dir: of the folder.
      val_fraction: Share of the training set for validation, 0 to below 1, if there is no
        validation split.
      test_fraction: Share of the folder for the test, 0 to below 1, if there is no test split;
        1 for a folder to test on alone: all of it, if it has no `train`.
      reading: how photographs are read; None for images that are read into memory.
      class_names: of a folder, in the order in which a network knows them; empty for those that
        it has.
      options: of the program, which errors name.
      class_order: Order of a folder's classes, one of `CLASS_ORDERS`.
    """

    name: str
    tfds_dir: str = ""
    image_dir: str = ""
    val_fraction: float = 0.0
    test_fraction: float = 0.0
    reading: DecodeConfig | None = None
    class_names: Sequence[str] = ()
    options: Options = TRAINING
    class_order: str = "natural"


@dataclass(frozen=True)
class Splits:
    """A data set.

    Attributes:
      train: what the network learns from.
      validation: to choose the best model with; may be empty.
      test: for one use, at the end.
    """

    train: Dataset
    validation: Dataset
    test: Dataset

    def notes(self) -> list[str]:
        """Returns sentences about unused files and folders beside the images."""
        sets = (self.train, self.validation, self.test)
        return list(dict.fromkeys(note for images in sets for note in images.notes))

    def left_out(self) -> str:
        """Returns a sentence about the images that could not be read so far; empty for none."""
        return left_out((self.train, self.validation, self.test))


def left_out(sets: Iterable[Dataset]) -> str:
    """Returns a sentence about the images of sets that could not be read so far."""
    found = {name: reason for images in sets for name, reason in images.unreadable.items()}
    if not found:
        return ""
    first = [f"{name} ({reason})" for name, reason in list(found.items())[:_NAMED]]
    rest = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    images = counted(len(found), "image")
    return f"{images} so far cannot be read and will not count: {', '.join(first)}{rest}"


def load_parts(source: Source, on_progress: ProgressFn) -> Splits:
    """Reads a data set: small images into memory, of photographs what there are.

    Args:
      source: the set.
      on_progress: called with a text, the images read so far and their number.

    Raises:
      UserError: the set cannot be had, or no image is left for a part.
    """
    return Splits(**_load(source, PARTS, on_progress))


def load_part(source: Source, part: str, on_progress: ProgressFn) -> Dataset:
    """Reads one of `PARTS`, and of the others what is needed to know what belongs to it.

    Args:
      source: the set.
      part: its name.
      on_progress: called with a text, the images read so far and their number.

    Raises:
      UserError: as from `load_parts`.
    """
    return _load(source, (part,), on_progress)[part]


def _load(source: Source, wanted: Sequence[str], on_progress: ProgressFn) -> dict[str, Dataset]:
    found = _find(source, on_progress)
    parts = {part: found[part]() for part in wanted if part in found and part != "train"}
    if len(parts) < len(wanted):
        parts = _divided(found, source) | parts
    if source.name == "folder":
        from flax_vision.data.image_folder import check_headers

        for part in wanted:
            check_headers(parts[part], part, on_progress)  # type: ignore[arg-type]
    return {part: parts[part] for part in wanted}


def _find(source: Source, on_progress: ProgressFn) -> Mapping[str, Callable[[], Dataset]]:
    """Returns what reads each part that the set itself has."""
    name, reading = source.name, source.reading
    if name == "mnist_5k":
        if reading is not None:
            raise UserError(
                f"config.crop.size is {reading.crop.size}, and the images of mnist_5k are small "
                "and in memory; give --config.crop.size=0 (config.data.resize makes them larger)."
            )
        train, test = load_mnist_5k()
        return {"train": lambda: train, "test": lambda: test}
    if name == "folder":
        from flax_vision.data.image_folder import find_folder

        if reading is None:
            raise UserError(
                "config.data.name is 'folder', and config.crop.size is 0; give the size of the "
                "part that the network sees, such as --config.crop.size=224, or the recipe "
                "`folder` of a config file."
            )
        return find_folder(source.image_dir, reading, source.class_names, source.class_order)
    # TFDS takes most of a second to import.
    from flax_vision.data.tfds import find_tfds

    return find_tfds(name, source.tfds_dir, on_progress, reading, source.options)


def _divided(found: Mapping[str, Callable[[], Dataset]], source: Source) -> dict[str, Dataset]:
    """Returns the training part, and those that are taken out of it because there are none."""
    is_whole = "train" not in found
    (whole,) = found.values() if is_whole else (found["train"],)
    train = whole()
    parts = {}
    if "test" not in found:
        if source.test_fraction == 1:
            nothing = train.take(np.arange(0))
            train, test = (nothing, train) if is_whole else (train, nothing)
            return {"train": train, "validation": nothing, "test": test}
        train, parts["test"] = _divide(train, "test", source.test_fraction, source.name)
        if not len(parts["test"]):
            raise UserError(
                f"config.data.test_fraction is {source.test_fraction}, and {source.image_dir!r} "
                "has no folder test/, so that there is nothing to test; give a share above 0, or "
                "such a folder."
            )
    if "validation" not in found:
        train, parts["validation"] = _divide(train, "validation", source.val_fraction, source.name)
    return {"train": train, **parts}


def _divide(train: Dataset, part: str, share: float, name: str) -> tuple[Dataset, Dataset]:
    """Takes a share of each class out of the training set."""
    rest, taken = stratified_split(train, share)
    if not len(rest) or (share and not len(taken)):
        raise UserError(
            f"config.data.{_SHARES[part]} is {share}, which divides the "
            f"{counted(len(train), 'training image')} of {name!r} into {len(rest)} and "
            f"{len(taken)}; each part needs one at least: give another share, or more images."
        )
    lost = _classes(train) - _classes(rest)
    if lost:
        class_name = train.class_names[min(lost)]
        raise UserError(
            f"config.data.{_SHARES[part]} is {share}, which takes all images of the class "
            f"{class_name!r} of {name!r} and leaves none to learn from; "
            "give a smaller share, or more images."
        )
    return rest, taken


def _classes(images: Dataset) -> set[int]:
    found: Sequence[int] = np.unique(images.labels).tolist()
    return set(found)
