"""How fast an epoch goes, and how much of its time is spent waiting for images."""

import time
from collections.abc import Callable, Iterator

from flax_vision.data.batches import Batch


class ThroughputMeter:
    """A clock that starts when it is made."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._waited = 0.0
        self._images = 0

    def clocked(
        self, batches: Iterator[Batch], is_idle: Callable[[], bool] = lambda: True
    ) -> Iterator[Batch]:
        """Yields the batches, and counts the time that each is waited for.

        Args:
          batches: of an epoch.
          is_idle: whether the devices are through with what they were given. A batch that comes
            before they are was not waited for.
        """
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            if is_idle():
                self._waited += time.monotonic() - asked
            if batch is None:
                return
            self._images += batch.labels.size
            yield batch

    def record(self) -> dict[str, float]:
        """Returns `images_per_second` and `waiting`; nothing where there was no batch."""
        if not self._images:
            return {}
        return {"images_per_second": self.images_per_second, "input_wait_fraction": self.waiting}

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def images_per_second(self) -> float:
        """Images handed out in each second."""
        return self._images / self.seconds

    @property
    def waiting(self) -> float:
        """Share of the time, 0 to 1, in which the next batch was waited for."""
        return self._waited / self.seconds
