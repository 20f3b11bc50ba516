"""Images per second of an epoch, and the share of its time that waits for images."""

import time
from collections.abc import Callable, Iterator

from flax_vision.data.batches import Batch


class ThroughputMeter:
    """Clock of an epoch, which starts when it is constructed."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._wait_seconds = 0.0
        self._images = 0

    def timed(
        self, batches: Iterator[Batch], is_idle: Callable[[], bool] = lambda: True
    ) -> Iterator[Batch]:
        """Yields the batches, and adds up the time that the devices wait for them.

        Args:
          batches: Batches of an epoch.
          is_idle: Function that returns whether the devices have finished their work. A batch that
            arrives before does not count as waiting.
        """
        while True:
            start = time.monotonic()
            batch = next(batches, None)
            if is_idle():
                self._wait_seconds += time.monotonic() - start
            if batch is None:
                return
            self._images += batch.labels.size
            yield batch

    def record(self) -> dict[str, float]:
        """Returns the entries of a record; empty if there was no batch."""
        if not self._images:
            return {}
        names = ("images_per_second", "input_wait_fraction")
        return {name: getattr(self, name) for name in names}

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def images_per_second(self) -> float:
        """Images in each second since the start."""
        return self._images / self.seconds

    @property
    def input_wait_fraction(self) -> float:
        """Share of the time, 0 to 1, in which the devices waited for a batch."""
        return self._wait_seconds / self.seconds
