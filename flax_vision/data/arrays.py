"""Labeled arrays in memory, checked and converted to datasets."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flax_vision.data.dataset import ArrayDataset
from flax_vision.data.file_list import natural
from flax_vision.errors import UserError, unknown
from flax_vision.text import counted, listed, nfc

SPLITS = ("train", "validation", "test")

WHOLE = ""
"""Key of a pair of arrays that is not divided into splits."""

_CHUNK = 1024
"""Images per conversion."""

_MAX_NAMED = 8
"""Number of classes that a message names."""


def array_datasets(
    title: str, content: Mapping[str, Any], class_names: Sequence[str] | None = None
) -> dict[str, ArrayDataset]:
    """Returns the datasets of pairs of images and labels, by split.

    Pixels are integers from 0 to 255, or floats from 0 to 1. Floats are multiplied by 255 and
    rounded, and the dataset gets a warning. Labels are integers from 0, or names.

    Args:
      title: Name of the data, for messages.
      content: Pairs `(images, labels)` by split, or one for `WHOLE`; optionally `"class_names"`.
        Images are [N, H, W] or [N, H, W, C], labels [N] or [N, 1].
      class_names: Names of the classes, in the order of the labels. None to take them from
        `content`, or from the labels: names in natural order, or numbers.

    Raises:
      UserError: The images or labels are not valid.
    """
    for key in content:
        if key not in (*SPLITS, WHOLE, "class_names"):
            raise unknown(f"split of {title}", key, (*SPLITS, "class_names"))
    splits = [split for split in (WHOLE, *SPLITS) if split in content]
    where = {split: title if split == WHOLE else f"{title}, {split}" for split in splits}
    images, labels, warnings = {}, {}, {}
    for split in splits:
        pair = _pair(where[split], content[split])
        images[split], warnings[split] = _pixels(where[split], pair[0])
        labels[split] = _labels(where[split], pair[1], len(images[split]))
    _check_same_shape(where, images)
    given = content.get("class_names") if class_names is None else class_names
    names = _class_names(title, given, labels)
    datasets = {}
    for split in splits:
        indices = _indices(where[split], labels[split], names)
        datasets[split] = ArrayDataset(images[split], indices, names, warnings[split])
    return datasets


def _pair(where: str, pair: Any) -> tuple[Any, Any]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        kind = type(pair).__name__
        number = f" of {len(pair)}" if isinstance(pair, tuple | list) else ""
        raise UserError(f"{where}: got {kind}{number}; give a pair (images, labels).")
    if all(isinstance(item, tuple) and len(item) == 2 for item in pair):
        raise UserError(
            f"{where}: got two pairs; give {{'train': (images, labels), 'test': (images, labels)}}."
        )
    return pair[0], pair[1]


def _array(where: str, what: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: PyTorch's, for a GPU
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{where}: {what} are not an array ({reason}); give a NumPy array."
        ) from error


def _pixels(where: str, values: Any) -> tuple[np.ndarray, Sequence[str]]:
    """Returns images, uint8 [N, H, W, C], and a warning about their conversion."""
    images = _array(where, "images", values)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape or images.shape[3] not in (1, 3):
        is_transposed = images.ndim == 4 and images.shape[1] in (1, 3)
        hint = "; images.transpose(0, 2, 3, 1) moves the channels to the end" * is_transposed
        raise UserError(
            f"{where}: images have the shape {images.shape}; give at least one, [N, H, W] or "
            f"[N, H, W, C] with 1 or 3 channels{hint}."
        )
    if images.dtype == np.uint8:
        return images, ()
    kind, text = images.dtype.kind, f"{images.dtype}"
    if kind in "iuf":
        low, high = images.min(), images.max()
        if low >= 0 and high <= (1 if kind == "f" else 255):
            return _to_uint8(images), [_conversion(text)] if kind == "f" else []
        text += " with NaN" if np.isnan(low) else f" from {low:g} to {high:g}"
    raise UserError(
        f"{where}: images are {text}; give uint8 pixels from 0 to 255, such as "
        "images.astype('uint8'), or floats from 0 to 1 (config.data.mean and config.data.std "
        "normalize them)."
    )


def _conversion(dtype: str) -> str:
    return f"images are {dtype} from 0 to 1; they are multiplied by 255 and rounded to uint8"


def _to_uint8(images: np.ndarray) -> np.ndarray:
    pixels = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        if chunk.dtype.kind == "f":
            chunk = np.rint(chunk.astype(np.float32) * np.float32(255))
        pixels[start : start + _CHUNK] = chunk
    return pixels


def _labels(where: str, values: Any, count: int) -> np.ndarray:
    """Returns labels [N], integers or texts."""
    labels = _array(where, "labels", values)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        hint = " (labels.argmax(1) converts one-hot labels)" if labels.ndim == 2 else ""
        raise UserError(
            f"{where}: labels have the shape {labels.shape}, and there are "
            f"{counted(count, 'image')}; give one label for each{hint}."
        )
    if labels.dtype.kind in "OUT" and all(isinstance(x, str) for x in labels.tolist()):
        return labels.astype(object)
    if labels.dtype.kind not in "iu":
        other = next((x for x in labels.tolist() if not isinstance(x, str)), None)
        example = f", such as {other!r}" if labels.dtype.kind == "O" else ""
        raise UserError(
            f"{where}: labels are {labels.dtype}{example}; give integers from 0, or names."
        )
    if labels.min() < 0:
        raise UserError(f"{where}: labels begin at {labels.min()}; give integers from 0, or names.")
    return labels


def _check_same_shape(where: Mapping[str, str], images: Mapping[str, np.ndarray]) -> None:
    first = next(iter(images), "")
    for split, array in images.items():
        shape, expected = array.shape[1:], images[first].shape[1:]
        if shape != expected:
            raise UserError(
                f"{where[split]}: images are {shape}, and those of {first} {expected}; give images "
                "of one size."
            )


def _class_names(title: str, given: Any, labels: Mapping[str, np.ndarray]) -> Sequence[str]:
    """Returns the names of the classes, given or found in the labels of the first split."""
    try:
        names = [] if given is None else [str(name) for name in given]
    except TypeError as error:
        raise UserError(f"{title}: class_names is {given!r}; give a list of names.") from error
    names = names or _found_names(title, next(iter(labels.values())))
    if len(names) < 2:
        raise UserError(
            f"{title}: there is only the class {names[0]!r}; give images of two classes or more."
        )
    counts = Counter(map(nfc, names))
    name, count = counts.most_common(1)[0]
    if count > 1:
        raise UserError(f"{title}: class_names has {name!r} {count} times; give different names.")
    return names


def _found_names(title: str, labels: np.ndarray) -> list[str]:
    """Returns the different names in natural order, or the numbers up to the largest label."""
    if labels.dtype == object:
        return natural({nfc(name) for name in labels.tolist()})
    highest = int(labels.max())
    if highest >= len(labels):
        raise UserError(
            f"{title}: labels are up to {highest:,}, and there are "
            f"{counted(len(labels), 'image')}; number the classes from 0, or give class_names."
        )
    return [str(number) for number in range(highest + 1)]


def _indices(where: str, labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Returns labels as indices of `names`, int32 [N]."""
    if labels.dtype != object:
        if labels.max() >= len(names):
            raise UserError(
                f"{where}: labels are up to {labels.max():,}, and there are {len(names):,} "
                f"classes; give labels from 0 to {len(names) - 1:,}."
            )
        return labels.astype(np.int32)
    index = {nfc(name): number for number, name in enumerate(names)}
    unknown_names = sorted({nfc(x) for x in labels.tolist()} - index.keys())
    if unknown_names:
        nearest = difflib.get_close_matches(unknown_names[0], index, 1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        raise UserError(
            f"{where}: there is no class {unknown_names[0]!r}{hint} "
            f"Valid: {listed(names, _MAX_NAMED)}."
        )
    return np.array([index[nfc(name)] for name in labels.tolist()], np.int32)
