"""TensorBoard's event files, read without TensorBoard."""

from pathlib import Path

from tensorboardX.proto.event_pb2 import Event


def read_events(folder: Path) -> list[tuple[str, int, float]]:
    """Reads the numbers from TFRecords: length, its checksum, data, its checksum."""
    (file,) = folder.glob("events.out.tfevents.*")
    content, numbers = file.read_bytes(), []
    while content:
        length = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + length])
        numbers += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        content = content[16 + length :]
    return numbers
