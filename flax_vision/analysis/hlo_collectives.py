"""Reads the collectives of a compiled XLA program, and the bytes that each device sends."""

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Bytes that each of n devices sends, from the bytes of its result. An all-reduce is at least a
# reduce-scatter and an all-gather: no algorithm sends less.
_SENT: dict[str, Callable[[int, int], int]] = {
    "all-gather": lambda result, n: result * (n - 1) // n,
    "reduce-scatter": lambda result, n: result * (n - 1),
    "all-reduce": lambda result, n: 2 * result * (n - 1) // n,
    "all-to-all": lambda result, n: result * (n - 1) // n,
    "collective-permute": lambda result, n: result,
}
_INSTRUCTION = re.compile(
    r" = (?P<result>\S.*?) (?P<kind>(ragged-)?(all|reduce-scatter|collective)[a-z-]*)\("
)


class Collective(NamedTuple):
    """An instruction by which devices communicate.

    Attributes:
      kind: XLA's name of the instruction, such as `all-gather`.
      name: JAX's name, such as `jit(f)/jvp(AlexNet)/conv3/shard_map/all_gather`.
      sent: Bytes that each device sends to others.
    """

    kind: str
    name: str
    sent: int


def collectives(program: str, devices: int) -> Iterator[Collective]:
    """Yields the collectives of a program, in the order of its text.

    Args:
      program: Text of a program for CPU devices, where no collective has two parts.
      devices: Number of devices.

    Raises:
      ValueError: The program has an unsupported collective.
    """
    for line in program.splitlines():
        found = _INSTRUCTION.search(line)
        if found is None:
            continue
        if found["kind"] not in _SENT:
            raise ValueError(f"unsupported collective {found['kind']}; valid: {', '.join(_SENT)}.")
        name = re.search(r'op_name="([^"]*)"', line)
        sent = _SENT[found["kind"]](_bytes(found["result"]), _group(line, devices))
        yield Collective(found["kind"], name[1] if name else "", sent)


def _bytes(shapes: str) -> int:
    """Returns the size in bytes of a result such as `f32[2,3]{1,0}` or `(f32[2], bf16[])`."""
    arrays = re.findall(r"([a-z]+)(\d*)\w*\[([\d,]*)\]", shapes)
    bits = [
        int(width or 8) * math.prod(map(int, filter(None, sizes.split(","))))  # pred has no width
        for _, width, sizes in arrays
    ]
    return sum(bits) // 8


def _group(line: str, devices: int) -> int:
    """Returns the number of devices in a group, from any syntax of `replica_groups`."""
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return len(listed[1].split(","))
    if shape := re.search(r"replica_groups=\[\d+,(\d+)\]", line):
        return int(shape[1])
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", mesh[2]))
    return devices
