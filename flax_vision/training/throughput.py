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

    def timed(self, batches: Iterator[Batch], is_idle: Callable[[], bool]) -> Iterator[Batch]:
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
        """Returns the entries of a record; empty if there was no batch.

        These are the images in each second since the start, and the share of the time, 0 to 1, in
        which the devices waited for a batch.
        """
        if not self._images:
            return {}
        seconds = time.monotonic() - self._start
        return {
            "images_per_second": self._images / seconds,
            "input_wait_fraction": self._wait_seconds / seconds,
        }
