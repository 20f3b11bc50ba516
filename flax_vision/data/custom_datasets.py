"""Custom datasets, which users register by name."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from flax_vision.data.dataset import ArrayDataset
from flax_vision.errors import UserError, unknown

BUILT_IN = ("mnist_5k", "folder")
"""Names that users cannot register."""

_SPLITS = ("train", "validation", "test")


LoadFn = Callable[[], Mapping[str, Any]]
"""Function that returns pairs of images and labels by split, and perhaps `class_names`."""

_DATASETS: dict[str, tuple[LoadFn, Sequence[str] | None]] = {}


def register_dataset(name: str, load: LoadFn, class_names: Sequence[str] | None = None) -> None:
    """Registers a custom dataset, for the trainer, `evaluate` and `report`.

    ```python
    fv.register_dataset("stars", lambda: {"train": (images, labels)}, ["dwarf", "giant"])
    ```

    Then `--config.data.name=stars` trains on it. A share of the training images replaces missing
    validation or test images, as for folders. The name takes precedence over a dataset of TFDS.

    Args:
      name: New name.
      load: Function that returns the pair of images and labels of `"train"` and perhaps of
        `"validation"` and `"test"`. Images are uint8 [N, H, W, C] or [N, H, W], all of one size;
        labels are integers [N] from 0. It may also return `"class_names"`.
      class_names: Names of the classes, in the order of the labels; None for those that `load`
        returns, or for the numbers.

    Raises:
      UserError: The name exists or is not valid. Images and labels are checked when they are used.
    """
    if not isinstance(name, str) or not name or not callable(load):
        raise UserError(
            f"register_dataset got {name!r} and {load!r}; give a name and a function that returns "
            "images and labels by split."
        )
    if name in BUILT_IN or name in _DATASETS:
        raise UserError(f"a dataset {name!r} exists already; give another name.")
    _DATASETS[name] = (load, class_names)


def is_registered(name: str) -> bool:
    """Returns whether a user has registered a dataset of this name."""
    return name in _DATASETS


def custom_loaders(name: str) -> dict[str, Callable[[], ArrayDataset]]:
    """Loads a registered dataset, and returns functions by split that return its images.

    Raises:
      UserError: The images or labels are not valid.
    """
    load, class_names = _DATASETS[name]
    content = load()
    if not isinstance(content, Mapping) or "train" not in content:
        given = list(content) if isinstance(content, Mapping) else type(content).__name__
        raise UserError(
            f"dataset {name!r} returns {given}; its function must return a dictionary with the "
            "images and labels of 'train'."
        )
    for key in content:
        if key not in (*_SPLITS, "class_names"):
            raise unknown(f"split of dataset {name!r}", key, (*_SPLITS, "class_names"))
    splits = {
        split: _check_arrays(name, split, content[split]) for split in _SPLITS if split in content
    }
    _check_same_shape(name, splits)
    names = _class_names(name, class_names or content.get("class_names"), splits)
    return {split: partial(ArrayDataset, *arrays, names) for split, arrays in splits.items()}


_Arrays = tuple[np.ndarray, np.ndarray]
"""Images, uint8 [N, H, W, C], and labels, int32 [N]."""


def _check_arrays(name: str, split: str, pair: Any) -> _Arrays:
    where = f"dataset {name!r}, {split}:"
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise UserError(f"{where} got {type(pair).__name__}; give a pair (images, labels).")
    images, labels = map(np.asarray, pair)
    if images.dtype != np.uint8:
        raise UserError(f"{where} images are {images.dtype}; give uint8 pixels from 0 to 255.")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape or images.shape[3] not in (1, 3):
        raise UserError(
            f"{where} images have the shape {images.shape}; give at least one, [N, H, W] or "
            "[N, H, W, C] with 1 or 3 channels."
        )
    if labels.dtype.kind not in "iu":
        raise UserError(f"{where} labels are {labels.dtype}; give integers from 0.")
    if labels.shape != images.shape[:1]:
        raise UserError(
            f"{where} labels have the shape {labels.shape}, and there are {len(images):,} images; "
            "give one label for each."
        )
    return images, labels


def _check_same_shape(name: str, splits: Mapping[str, _Arrays]) -> None:
    shape = splits["train"][0].shape[1:]
    for split, (images, _) in splits.items():
        if images.shape[1:] != shape:
            raise UserError(
                f"dataset {name!r}, {split}: images are {images.shape[1:]}, and those of train "
                f"{shape}; give images of one size."
            )


def _class_names(
    name: str, given: Sequence[str] | None, splits: dict[str, _Arrays]
) -> Sequence[str]:
    """Returns the names of the classes, and converts the labels in `splits` to int32."""
    highest = max(int(labels.max()) for _, labels in splits.values())
    names = [str(each) for each in given] if given else [str(i) for i in range(highest + 1)]
    for split, (images, labels) in splits.items():
        if labels.min() < 0 or labels.max() >= len(names):
            raise UserError(
                f"dataset {name!r}, {split}: labels are from {labels.min()} to {labels.max()}, and "
                f"there are {len(names)} class names; give labels from 0 to {len(names) - 1}."
            )
        splits[split] = (images, labels.astype(np.int32))
    return names
