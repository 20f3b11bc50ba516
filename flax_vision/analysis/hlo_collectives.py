"""What the devices of a mesh send each other, read from a compiled program of XLA's."""

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Bytes that each of n devices sends, of the bytes of the result that it has. A sum over all devices
# takes the sum of a part by each of them and a gathering of these parts: no way sends less.
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
      kind: XLA's name of it, such as `all-gather`.
      name: where it comes from in JAX, such as `jit(f)/jvp(AlexNet)/conv3/shard_map/all_gather`.
      sent: bytes that each device sends to others.
    """

    kind: str
    name: str
    sent: int


def collectives(program: str, devices: int) -> Iterator[Collective]:
    """Yields the collectives of a program, in the order in which they are printed.

    Args:
      program: the text of one compiled for CPU devices, on which no collective is in two parts.
      devices: that it runs on.

    Raises:
      ValueError: it has an instruction of which it is not known here what it sends.
    """
    for line in program.splitlines():
        found = _INSTRUCTION.search(line)
        if found is None:
            continue
        if found["kind"] not in _SENT:
            raise ValueError(f"what {found['kind']} sends is not known; known: {', '.join(_SENT)}.")
        name = re.search(r'op_name="([^"]*)"', line)
        sent = _SENT[found["kind"]](_bytes(found["result"]), _group(line, devices))
        yield Collective(found["kind"], name[1] if name else "", sent)


def _bytes(shapes: str) -> int:
    """Returns the bytes of a result such as `f32[2,3]{1,0}` or `(f32[2], bf16[])`."""
    arrays = re.findall(r"([a-z]+)(\d*)\w*\[([\d,]*)\]", shapes)
    bits = [
        int(width or 8) * math.prod(map(int, filter(None, sizes.split(","))))  # pred has no width
        for _, width, sizes in arrays
    ]
    return sum(bits) // 8


def _group(line: str, devices: int) -> int:
    """Returns how many devices communicate with each other, from any form of `replica_groups`."""
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return len(listed[1].split(","))
    if shape := re.search(r"replica_groups=\[\d+,(\d+)\]", line):
        return int(shape[1])
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", mesh[2]))
    return devices
