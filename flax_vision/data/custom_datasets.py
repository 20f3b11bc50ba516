"""Datasets that users register by name, and arrays in memory for one call."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

from flax_vision.data.arrays import WHOLE, array_datasets
from flax_vision.data.dataset import ArrayDataset
from flax_vision.data.flags import TRAIN_FLAGS, DataFlags
from flax_vision.errors import UserError

ARRAYS = "arrays"
"""Name of the dataset of arrays in memory."""

BUILT_IN = ("mnist_5k", "folder", ARRAYS)
"""Names that users cannot register."""

LoadFn = Callable[[], Mapping[str, Any]]
"""Function that returns pairs of images and labels by split, and perhaps `class_names`."""

ArrayData = tuple[Any, Any] | Mapping[str, Any]
"""A pair of images and labels; or such pairs by split, optionally with `class_names`."""

_DATASETS: dict[str, tuple[LoadFn, Sequence[str] | None]] = {}

_ARRAYS: ContextVar[Mapping[str, ArrayDataset]] = ContextVar("arrays")
"""The datasets by split of `arrays_in_memory`, for the current call in the current thread."""


def register_dataset(name: str, load: LoadFn, class_names: Sequence[str] | None = None) -> None:
    """Registers a custom dataset, for the trainer, `evaluate` and `report`.

    ```python
    fv.register_dataset("stars", lambda: {"train": (images, labels)}, ["dwarf", "giant"])
    ```

    Then `--config.data.name=stars` trains on it. A share of the training images replaces missing
    validation or test images, as for folders. The name takes precedence over a dataset of TFDS.

    Args:
      name: New name, of letters, digits and the signs `_.-`.
      load: Function that returns the pair of images and labels of `"train"` and perhaps of
        `"validation"` and `"test"`, as in `array_datasets`: images [N, H, W] or [N, H, W, C], all
        of one size, uint8 or floats from 0 to 1; labels [N], integers from 0 or names. It may also
        return `"class_names"`.
      class_names: Names of the classes, in the order of the labels; None for those that `load`
        returns, for the names among the labels, or for the numbers.

    Raises:
      UserError: The name exists or is not valid. Images and labels are checked when they are used.
    """
    if not isinstance(name, str) or not name or not callable(load):
        raise UserError(
            f"register_dataset got {name!r} and {load!r}; give a name and a function that returns "
            "images and labels by split."
        )
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"the dataset's name is {name!r}; give letters, digits and the signs _.-")
    if name in BUILT_IN or name in _DATASETS:
        raise UserError(f"a dataset {name!r} exists already; give another name.")
    _DATASETS[name] = (load, class_names)


@contextlib.contextmanager
def arrays_in_memory(
    data: ArrayData, class_names: Sequence[str] | None = None, split: str = "train"
) -> Iterator[None]:
    """Makes arrays the dataset `ARRAYS` within a block.

    Args:
      data: Pair `(images, labels)`, or a dictionary of such pairs by split.
      class_names: Names of the classes, in the order of the labels; None to find them.
      split: Split that is needed. It may be a share of the training images.

    Raises:
      UserError: The images or labels are not valid.
    """
    content = data if isinstance(data, Mapping) else {WHOLE: data}
    if not {WHOLE, "train", split} & content.keys():
        raise UserError(
            f"data has {', '.join(map(repr, content)) or 'nothing'}; give (images, labels), or a "
            f"dictionary with such a pair for {split!r}."
        )
    token = _ARRAYS.set(array_datasets("data", content, class_names))
    try:
        yield
    finally:
        _ARRAYS.reset(token)


def has_arrays() -> bool:
    """Returns whether the caller is within a block of `arrays_in_memory`."""
    return _ARRAYS.get(None) is not None


def is_registered(name: str) -> bool:
    """Returns whether images of this name are arrays: a registered dataset, or `ARRAYS`."""
    return name == ARRAYS or name in _DATASETS


def custom_loaders(
    name: str, flags: DataFlags = TRAIN_FLAGS
) -> dict[str, Callable[[], ArrayDataset]]:
    """Loads a registered dataset, and returns functions by split that return its images.

    Args:
      name: Name of the dataset.
      flags: Flags that error messages name.

    Raises:
      UserError: The images or labels are not valid, or the arrays of `ARRAYS` are not in memory.
    """
    datasets = _given_arrays(flags) if name == ARRAYS else _load(name)
    return {split: partial(datasets.__getitem__, split) for split in datasets}


def _given_arrays(flags: DataFlags) -> Mapping[str, ArrayDataset]:
    if not has_arrays():
        raise UserError(
            f"the dataset {ARRAYS!r} was in memory and is not saved; give the same arrays in "
            f"Python, {flags.arrays}, or {flags.name}NAME for another dataset."
        )
    return _ARRAYS.get()


def _load(name: str) -> Mapping[str, ArrayDataset]:
    load, class_names = _DATASETS[name]
    content = load()
    if not isinstance(content, Mapping) or "train" not in content:
        given = list(content) if isinstance(content, Mapping) else type(content).__name__
        raise UserError(
            f"dataset {name!r} returns {given}; its function must return a dictionary with the "
            "images and labels of 'train'."
        )
    return array_datasets(f"dataset {name!r}", content, class_names)
