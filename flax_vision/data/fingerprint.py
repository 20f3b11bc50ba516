"""What tells the images of a part from others, so that a run knows its own again."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from flax_vision.data.dataset import Dataset
from flax_vision.data.splits import PARTS, Splits
from flax_vision.text import counted, nfc

Fingerprint = Mapping[str, Any]
"""The pair `[images, digest]` of each class, by its name in NFC."""

_NAMED = 3
"""Classes that a person is told of."""


def identities(parts: Splits) -> dict[str, Fingerprint]:
    """Returns the identity of each of `PARTS`."""
    return {part: identity(getattr(parts, part)) for part in PARTS}


def brief(parts: Mapping[str, Fingerprint]) -> dict[str, str]:
    """Returns the identity of each part in a few words."""
    texts = {}
    for part, classes in parts.items():
        number = sum(count for count, _ in classes.values())
        digest = hashlib.sha256(json.dumps(classes).encode()).hexdigest()[:8]
        texts[part] = f"{counted(number, 'image')}, {digest}"
    return texts


def identity(images: Dataset) -> Fingerprint:
    """Returns the number of images of each class, and a digest of what they are.

    That is the names of their files, so that a damaged one may be mended while a run stands still;
    or the pixels of those in memory. What its class is called and which images it has also say
    where an image is in its part, and that decides its order and its augmentation.
    """
    counts = np.bincount(images.labels, minlength=len(images.class_names))
    by_class = np.argsort(images.labels, kind="stable")
    members = np.split(by_class, np.cumsum(counts)[:-1])
    return {
        nfc(name): [len(places), _digest(images.take(places))]
        for name, places in zip(images.class_names, members, strict=True)
    }


def _digest(images: Dataset) -> str:
    digest = hashlib.sha256()
    for fingerprint in images.fingerprints():
        digest.update(fingerprint)
    return digest.hexdigest()[:16]


def changes(kept: Fingerprint, found: Fingerprint) -> str:
    """Returns what has become of the images of a part, for a person; empty for nothing.

    Args:
      kept: what the part was.
      found: what it is.
    """
    texts = [
        _change(name, *kept.get(name, [0, ""]), *found.get(name, [0, ""]))
        for name in {**kept, **found}
        if kept.get(name) != found.get(name)
    ]
    more = len(texts) - _NAMED
    rest = f", and {counted(more, 'more class', 'more classes')}" if more > 0 else ""
    return ", ".join(texts[:_NAMED]) + rest


def _change(name: str, before: int, old: str, now: int, new: str) -> str:
    if before == now:
        return f"the {counted(now, 'image')} of {name!r} are others"
    return f"{name!r} had {counted(before, 'image')} and has {now:,}"
