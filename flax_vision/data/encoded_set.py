"""Labelled photographs of any size, decoded when they are needed."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import grain
import numpy as np

from flax_vision.data.decoding import Unreadable, decode
from flax_vision.data.views import View
from flax_vision.errors import UserError

_AHEAD = 512
"""Images that are decoded before they are asked for, at most."""


@dataclass(frozen=True)
class EncodedSet:
    """Photographs in files or records.

    Attributes:
      read: the bytes and the label of the photograph with a number.
      name: what it is called in a message.
      numbers: of the photographs of this set, int64 [N].
      labels: int32 [N], where they are known before the photographs are read.
      class_names: the name of each class.
      view: what is seen of a photograph.
      skips: leaves out what cannot be read, instead of stopping.
      skipped: names of what was left out so far.
    """

    read: Callable[[int], tuple[bytes, int]]
    name: Callable[[int], str]
    numbers: np.ndarray
    labels: np.ndarray | None
    class_names: Sequence[str]
    view: View
    skips: bool
    skipped: set[str]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what is seen of each."""
        return self.view.size, self.view.size, 3

    def take(self, indices: np.ndarray) -> "EncodedSet":
        """Returns the photographs at `indices`, in that order."""
        labels = None if self.labels is None else self.labels[indices]
        return replace(self, numbers=self.numbers[indices], labels=labels)

    def gather(
        self, groups: Iterable[np.ndarray], seed: tuple[int, ...] | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yields images uint8 [n, H, W, 3], labels int32 [n] and mask bool [n] of each group.

        Args:
          groups: indices into this set.
          seed: decides, with the number of each photograph, what is seen of it in training; None
            for what is seen in a test.

        Raises:
          UserError: a photograph cannot be read, and none may be left out.
        """
        groups = list(groups)
        order = np.concatenate(groups) if groups else np.zeros(0, np.int64)
        options = grain.ReadOptions(num_threads=os.cpu_count() or 1, prefetch_buffer_size=_AHEAD)
        load = grain.MapDataset.source(order).map(lambda index: self._load(index, seed))
        loaded = iter(load.to_iter_dataset(options))
        for group in groups:
            images, labels, masks = zip(*(next(loaded) for _ in group), strict=True)
            yield np.stack(images), np.array(labels, np.int32), np.array(masks)

    def _load(self, index: int, seed: tuple[int, ...] | None) -> tuple[np.ndarray, int, bool]:
        number = int(self.numbers[index])
        try:
            data, label = self.read(number)
            image = decode(data)
        except (OSError, Unreadable) as error:
            if not self.skips:
                raise UserError(
                    f"{self.name(number)}: {error}. Mend or remove it, or leave such out with "
                    "--config.data.on_error=skip."
                ) from error
            self.skipped.add(self.name(number))
            return np.zeros(self.shape, np.uint8), 0, False
        if seed is None:
            return self.view.test(image), label, True
        return self.view.train(image, np.random.default_rng((*seed, number))), label, True
