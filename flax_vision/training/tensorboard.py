"""TensorBoard event files of a run."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event

from flax_vision.runtime.terminal import warn

PATTERN = "events.out.tfevents.*"
"""Pattern for the names of event files."""
_IMAGES = ".images"
"""Suffix of the file with images."""


class Histogram(NamedTuple):
    """The distribution of an array's values.

    Attributes:
      counts: int32 [bins], number of values in each bin.
      edges: float32 [bins + 1], edges of the bins, from the smallest value to the largest.
      size: Number of values.
      total: float32 [], sum of the values.
      total_squares: float32 [], sum of their squares.
    """

    counts: Any
    edges: Any
    size: Any
    total: Any
    total_squares: Any


class Events:
    """The event file of a run.

    A run works without its events: the first error becomes a warning, and no further events are
    written. `tensorboardX.SummaryWriter` is not used, because it needs /dev/shm.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writer: EventsWriter | None = None
        self._has_failed = False

    def add(self, record: Mapping[str, Any]) -> None:
        """Writes the numbers of a record; the first record replaces an older file."""
        self._write(_scalars(record))

    def add_histograms(self, step: int, histograms: Mapping[str, Histogram]) -> None:
        """Writes histograms, by name."""
        self._write([_event(step, _proto(name, x)) for name, x in histograms.items()])

    def add_hparams(
        self, step: int, config: Mapping[str, Any], metrics: Mapping[str, float]
    ) -> None:
        """Writes the configuration and the names of the final metrics, for the HPARAMS tab.

        Args:
          step: Last step of the run.
          config: Values by dotted key.
          metrics: Results of the run; `add` has written them before.
        """
        plain = (bool, int, float, str)
        values = {key: x if isinstance(x, plain) else str(x) for key, x in config.items()}
        self._write([_event(step, part) for part in summary.hparams(values, dict(metrics))])

    def rewind(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Replaces the file with the numbers of a history and the histograms of its steps.

        Args:
          history: Records up to the checkpoint at which the run resumes.
        """
        self.close()
        last = history[-1]["step"] if history else -1
        with self._warn_of_errors():
            kept = [event for event in self._histogram_events() if event.step <= last]
            scalars = [event for record in history for event in _scalars(record)]
            self._write(sorted([*scalars, *kept], key=lambda event: event.step))

    def close(self) -> None:
        """Closes the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with self._warn_of_errors():
                writer.close()

    def _write(self, events: Sequence[Event]) -> None:
        if self._has_failed or not events:
            return
        with self._warn_of_errors():
            self._writer = self._writer or self._begin()
            for event in events:
                self._writer.write_event(event)
            self._writer.flush()

    def _begin(self) -> EventsWriter:
        for file in self._directory.glob(PATTERN):
            file.unlink()
        return EventsWriter(str(self._directory / "events"))

    def _histogram_events(self) -> Iterator[Event]:
        for file in sorted(self._directory.glob(PATTERN)):
            for event in _read(file):
                if any(value.HasField("histo") for value in event.summary.value):
                    yield event

    @contextlib.contextmanager
    def _warn_of_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._has_failed, self._writer = True, None
            warn(
                f"no further events for TensorBoard: {self._directory} cannot be written "
                f"({error.strerror or error}); the run continues",
                stacklevel=4,
            )


def write_images(directory: Path, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Writes images to a separate event file, in place of an older one.

    Args:
      directory: Run directory.
      step: Last step of the run.
      images: uint8 [H, W, C] each, with one or three channels, by name.

    Raises:
      OSError: The file cannot be written.
    """
    for file in directory.glob(f"{PATTERN}{_IMAGES}"):
        file.unlink()
    if not images:
        return
    writer = EventsWriter(str(directory / "events"), filename_suffix=_IMAGES)
    for name, image in images.items():
        writer.write_event(_event(step, summary.image(name, image, dataformats="HWC")))
    writer.close()


def _event(step: int, content: Any) -> Event:
    return Event(step=step, summary=content, wall_time=time.time())


def _scalars(record: Mapping[str, Any]) -> list[Event]:
    return [
        _event(record["step"], summary.scalar(name, value))
        for name, value in record.items()
        if name != "step" and not isinstance(value, str)
    ]


def _proto(name: str, histogram: Histogram) -> Any:
    """Returns a histogram as TensorBoard's protocol buffer, with the upper edges of its bins."""
    edges, counts = (x.astype(np.float64) for x in (histogram.edges, histogram.counts))
    total, squares = float(histogram.total), float(histogram.total_squares)
    size = float(histogram.size)
    return summary.histogram_raw(
        name, edges[0], edges[-1], size, total, squares, edges[1:].tolist(), counts.tolist()
    )


def _read(file: Path) -> Iterator[Event]:
    """Yields the complete events of a file; a kill may have cut off the last one.

    A TFRecord is the length in 8 bytes and its checksum in 4, the data, and their checksum in 4.
    """
    content = file.read_bytes()
    while len(content) >= 16 + (length := int.from_bytes(content[:8], "little")):
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]
