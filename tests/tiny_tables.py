"""Parquet files with small images, for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from encoded_images import encoded
from pyarrow import parquet

LABELS = ["b", "a10", "a9", "b", "a9", "a10"]
"""Labels of `table`'s rows; in natural order the classes are a9, a10 and b."""


def pictures(count: int, shape: tuple[int, ...] = (6, 5, 3), seed: int = 0) -> np.ndarray:
    """Different images, uint8 [N, *shape]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def table(
    images: Sequence[Any] | None = None, labels: Sequence[Any] | None = None, **columns: Any
) -> dict[str, Any]:
    """Returns the columns `image` and `label`; an image is pixels, bytes or None."""
    labels = LABELS if labels is None else labels
    images = pictures(len(labels)) if images is None else images
    content = [encoded(x) if isinstance(x, np.ndarray) else x for x in images]
    return {"image": content, "label": labels, **columns}


def write_parquet(path: Path, columns: dict[str, Any]) -> Path:
    """Writes a file without features of `datasets`, as other libraries do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path)
    return path


def write_dataset(path: Path, columns: dict[str, Any], **features: Any) -> Path:
    """Writes a parquet file with the features of `datasets`."""
    import datasets

    image = [{"bytes": x, "path": f"{i}.png"} for i, x in enumerate(columns["image"])]
    dataset = datasets.Dataset.from_dict(columns | {"image": image})
    for name, feature in {"image": datasets.Image(), **features}.items():
        dataset = dataset.cast_column(name, feature)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.to_parquet(str(path))
    return path
