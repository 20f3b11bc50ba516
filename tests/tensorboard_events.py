"""TensorBoard's event files, read without TensorBoard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event


def read_events(folder: Path) -> list[tuple[str, int, float]]:
    """Returns the numbers: tag, step and value."""
    values = read_values(folder)
    return [(x.tag, step, x.simple_value) for step, x in values if x.HasField("simple_value")]


def read_values(folder: Path) -> Iterator[tuple[int, Any]]:
    """Yields steps and values from TFRecords: length, its checksum, data, its checksum."""
    (file,) = folder.glob("events.out.tfevents.*")
    content = file.read_bytes()
    while content:
        length = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + length])
        yield from ((event.step, value) for value in event.summary.value)
        content = content[16 + length :]
