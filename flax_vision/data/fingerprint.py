"""Fingerprints of the images of a split, by which a run recognizes its data."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from flax_vision.data.dataset import Dataset
from flax_vision.data.splits import SPLITS, Splits
from flax_vision.text import counted, nfc

Fingerprint = Mapping[str, Any]
"""The pair `[images, digest]` of each class, by its name in NFC; see `ALL_CLASSES`."""

ALL_CLASSES = "*"
"""The only name in the fingerprint of a split with lazy labels."""

_MAX_NAMED = 3
"""Number of classes that a message names."""


def split_fingerprints(splits: Splits) -> dict[str, Fingerprint]:
    """Returns the fingerprint of each of `SPLITS`."""
    return {split: dataset_fingerprint(getattr(splits, split)) for split in SPLITS}


def summaries(fingerprints: Mapping[str, Fingerprint]) -> dict[str, str]:
    """Returns a short text for the fingerprint of each split."""
    texts = {}
    for split, classes in fingerprints.items():
        number = sum(count for count, _ in classes.values())
        digest = hashlib.sha256(json.dumps(classes).encode()).hexdigest()[:8]
        texts[split] = f"{counted(number, 'image')}, {digest}"
    return texts


def dataset_fingerprint(dataset: Dataset) -> Fingerprint:
    """Returns the number of images of each class, and a digest of their identities.

    The digest covers file names, so that a damaged file may be repaired between two runs; for
    images in memory it covers their pixels. Names and counts determine the index of every image,
    and thus its order and its augmentation.
    """
    if not dataset.labels_known:
        return {ALL_CLASSES: [len(dataset), _digest(dataset)]}
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    members = np.split(np.argsort(dataset.labels, kind="stable"), np.cumsum(counts)[:-1])
    return {
        nfc(name): [len(indices), _digest(dataset.take(indices))]
        for name, indices in zip(dataset.class_names, members, strict=True)
    }


def is_stratified(fingerprints: Mapping[str, Fingerprint]) -> bool:
    """Returns whether the recorded images were divided into splits by known labels."""
    return not any(ALL_CLASSES in classes for classes in fingerprints.values())


def _digest(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for fingerprint in dataset.fingerprints():
        digest.update(fingerprint)
    return digest.hexdigest()[:16]


def describe_changes(before: Fingerprint, after: Fingerprint) -> str:
    """Describes the changes of a split's images; empty for none.

    Args:
      before: Fingerprint of the split in the run.
      after: Fingerprint of the split now.
    """
    if (ALL_CLASSES in before) != (ALL_CLASSES in after):
        kinds = "with", "without"
        old, new = kinds if ALL_CLASSES in after else reversed(kinds)
        return f"it was recorded {old} labels, and is read {new} them"
    changed = [x for x in {**before, **after} if before.get(x) != after.get(x)]
    texts = [
        _describe_change(name, before.get(name, [0])[0], after.get(name, [0])[0])
        for name in changed[:_MAX_NAMED]
    ]
    more = len(changed) - _MAX_NAMED
    if more > 0:
        texts.append(f"and {counted(more, 'more class', 'more classes')}")
    return ", ".join(texts)


def _describe_change(name: str, before: int, after: int) -> str:
    if name == ALL_CLASSES:
        same = before == after
        return f"{counted(before, 'image')} {'are others' if same else f'are now {after:,}'}"
    if before == after:
        return f"the {counted(after, 'image')} of {name!r} are others"
    return f"{name!r} had {counted(before, 'image')} and has {after:,}"
