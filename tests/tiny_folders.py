"""Folders of small images of several sizes, for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.image_folder import ALL, check_headers, image_folder_loaders
from flax_vision.data.splits import SPLITS

CROP_POLICY = CropPolicy(size=8, eval_resize=10, resize_range=(9, 12))


def ignore(task, done, total):
    """Ignores progress."""


def write(
    folder: Path, classes: Sequence[str] = "ab", count: int = 6, suffix: str = ".png"
) -> Path:
    """Writes `count` different images of each class."""
    random = np.random.default_rng(len(str(folder.name)))
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            height, width = random.integers(9, 30, 2)
            pixels = random.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}{suffix}")
    return folder


def write_sizes(folder: Path, classes: str, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Writes images of these widths and heights for each class, and returns all pixels."""
    random = np.random.default_rng(0)
    found = []
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index, (width, height) in enumerate(sizes):
            found.append(random.integers(0, 256, (height, width, 3), np.uint8))
            Image.fromarray(found[-1]).save(folder / name / f"{index}.png")
    return found


def load(folder: Path, **settings):
    """Returns the three splits of a folder, None for missing ones."""
    found = image_folder_loaders(str(folder), DecodeConfig(CROP_POLICY, **settings))
    splits = [found[split]() if split in found else None for split in SPLITS]
    if ALL in found:
        splits[0] = found[ALL]()
    for split, dataset in zip(SPLITS, splits, strict=True):
        if dataset is not None and dataset.decode_config.on_error == "stop":
            check_headers(dataset, split, ignore)
    return splits
