"""Labels that are read together with their images."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

ReadLabels = Callable[[np.ndarray], np.ndarray]
"""Function from record numbers, int [...], to labels, int32 [...]."""


class LazyLabels(NDArrayOperatorsMixin):
    """Labels of a set that is too large for a pass over all records.

    It replaces an array int32 [N]. Labels of images that were read are in memory. Code that needs
    all labels, such as `np.bincount(labels)`, reads the missing records.

    Args:
      read: Function that returns the labels of records, and caches them.
      records: int [N], record number of each label.
    """

    dtype = np.dtype(np.int32)
    ndim = 1

    def __init__(self, read: ReadLabels, records: np.ndarray) -> None:
        self._read = read
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    @property
    def shape(self) -> tuple[int]:
        """Number of labels, as a shape."""
        return (len(self),)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Returns some labels, int32 [...]."""
        return self._read(self._records[key])

    def take(self, indices: np.ndarray | Sequence[int]) -> "LazyLabels":
        """Returns the labels at `indices`, without reading them."""
        return LazyLabels(self._read, self._records[indices])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns all labels, int32 [N]."""
        if copy is False:
            raise ValueError("lazy labels have no array to share")
        return self._read(self._records).astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Applies a function of NumPy, such as `==`, to all labels."""
        arrays = [np.asarray(x) if isinstance(x, LazyLabels) else x for x in inputs]
        return getattr(ufunc, method)(*arrays, **options)
