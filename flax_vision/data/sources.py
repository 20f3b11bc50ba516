"""Every data set by its name, divided into its three parts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flax_vision.data.image_set import Images, Report, stratified_split
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.data.view import Reading
from flax_vision.errors import UserError

_NAMED = 3
"""Images that a warning names."""


@dataclass(frozen=True)
class Parts:
    """A data set.

    Attributes:
      train: what the network learns from.
      validation: to choose the best model with; may be empty.
      test: for one use, at the end.
    """

    train: Images
    validation: Images
    test: Images

    def left_out(self) -> str:
        """Returns a sentence about the images that could not be read so far; empty for none."""
        parts = (self.train, self.validation, self.test)
        found = {name: reason for part in parts for name, reason in part.unreadable.items()}
        if not found:
            return ""
        first = [f"{name} ({reason})" for name, reason in list(found.items())[:_NAMED]]
        rest = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
        return (
            f"{len(found):,} images so far cannot be read and do not count: "
            f"{', '.join(first)}{rest}"
        )


def load_parts(
    name: str,
    directory: str,
    validation: float,
    report: Report,
    *,
    path: str = "",
    test: float = 0.0,
    reading: Reading | None = None,
) -> Parts:
    """Reads a data set: small images into memory, of photographs what there are.

    Args:
      name: `"mnist_5k"`, `"folder"`, or the TFDS name of a set.
      directory: where TFDS keeps its sets; empty for its default.
      validation: share of the training set, 0 to below 1, that chooses the best model, where there
        is no part for it.
      report: called with a text, the images read so far and their number.
      path: of the folder.
      test: share of the folder, 0 to below 1, that is tested, where there is no part for it.
      reading: how photographs are read; None for images that are read into memory.

    Raises:
      UserError: the set cannot be had, or no image is left for a part.
    """
    train, own_validation, own_test = _load(name, directory, path, reading, report)
    if own_test is None:
        train, own_test = _divide(train, "test", test, name)
        if not len(own_test):
            raise UserError(
                f"config.data.test is {test}, and {path!r} has no folder test/, so that there is "
                "nothing to test; give a share above 0, or such a folder."
            )
    if own_validation is None:
        train, own_validation = _divide(train, "validation", validation, name)
    return Parts(train, own_validation, own_test)


def _load(
    name: str, directory: str, path: str, reading: Reading | None, report: Report
) -> tuple[Images, Images | None, Images | None]:
    """Returns the training, the validation and the test part, None for what there is not."""
    if name == "mnist_5k":
        if reading is not None:
            raise UserError(
                f"config.view.size is {reading.view.size}, and the images of mnist_5k are small "
                "and in memory; give --config.view.size=0 (config.data.resize makes them larger)."
            )
        train, test = load_mnist_5k()
        return train, None, test
    if name == "folder":
        from flax_vision.data.folder import load_folder

        if reading is None:
            raise UserError(
                "config.data.name is 'folder', and config.view.size is 0; give the size of the "
                "part that the network sees, such as --config.view.size=224, or the recipe "
                "`folder` of a config file."
            )
        return load_folder(path, reading, report)
    # TFDS takes most of a second to import.
    from flax_vision.data.tfds import load_tfds

    images, tested = load_tfds(name, directory, report, reading)
    return images, None, tested


def _divide(train: Images, part: str, share: float, name: str) -> tuple[Images, Images]:
    """Takes a share of each class out of the training set."""
    rest, taken = stratified_split(train, share)
    if not len(rest) or (share and not len(taken)):
        raise UserError(
            f"config.data.{part} is {share}, which divides the {len(train)} training "
            f"images of {name!r} into {len(rest)} and {len(taken)}; each part needs one at least."
        )
    lost = _classes(train) - _classes(rest)
    if lost:
        class_name = train.class_names[min(lost)]
        raise UserError(
            f"config.data.{part} is {share}, which takes all images of the class {class_name!r} "
            f"of {name!r} and leaves none to learn from; give a smaller share, or more images."
        )
    return rest, taken


def _classes(images: Images) -> set[int]:
    found: Sequence[int] = np.unique(images.labels).tolist()
    return set(found)
