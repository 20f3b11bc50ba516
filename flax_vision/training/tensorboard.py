"""TensorBoard event file of a run."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar

from flax_vision.runtime.terminal import warn

PATTERN = "events.out.tfevents.*"
"""Pattern for the names of event files."""


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
        if self._has_failed:
            return
        with self._warn_of_errors():
            self._writer = self._writer or self._begin()
            for name, value in record.items():
                if name != "step" and not isinstance(value, str):
                    event = Event(step=record["step"], summary=scalar(name, value))
                    event.wall_time = time.time()
                    self._writer.write_event(event)
            self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with self._warn_of_errors():
                writer.close()

    def _begin(self) -> EventsWriter:
        for file in self._directory.glob(PATTERN):
            file.unlink()
        return EventsWriter(str(self._directory / "events"))

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
