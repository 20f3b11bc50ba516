"""Folders of small photographs of several sizes, for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.image_folder import ALL, check_headers, find_folder
from flax_vision.data.splits import PARTS

VIEW = CropPolicy(size=8, eval_resize=10, resize_range=(9, 12))


def ignore(what, done, total):
    """No one is watching."""


def write(
    folder: Path, classes: Sequence[str] = "ab", count: int = 6, suffix: str = ".png"
) -> Path:
    """Writes so many photographs of each class, all different."""
    random = np.random.default_rng(len(str(folder.name)))
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            height, width = random.integers(9, 30, 2)
            pixels = random.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}{suffix}")
    return folder


def write_sizes(folder: Path, classes: str, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Writes photographs of each class of those widths and heights, and returns all pixels."""
    random = np.random.default_rng(0)
    found = []
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index, (width, height) in enumerate(sizes):
            found.append(random.integers(0, 256, (height, width, 3), np.uint8))
            Image.fromarray(found[-1]).save(folder / name / f"{index}.png")
    return found


def load(folder: Path, **settings):
    """Returns the three parts of a folder, None for those that it has not."""
    found = find_folder(str(folder), DecodeConfig(VIEW, **settings))
    parts = [found[part]() if part in found else None for part in PARTS]
    if ALL in found:
        parts[0] = found[ALL]()
    for name, part in zip(PARTS, parts, strict=True):
        if part is not None and part.reading.on_error == "stop":
            check_headers(part, name, ignore)
    return parts
