"""Where the time of a step goes: by layer of the network and by operation."""

import gzip
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
from flax import linen as nn

from flax_vision.analysis.benchmark import Mode, compile_step, network_and_batch
from flax_vision.analysis.hlo_scopes import own_names, place_of


@dataclass
class Time:
    """Milliseconds of a step.

    Attributes:
      forward: of the network's forward pass, or of anything that is not backward.
      backward: of the gradients.
      calls: how many times something ran.
    """

    forward: float = 0.0
    backward: float = 0.0
    calls: float = 0.0

    @property
    def total(self) -> float:
        """Forward and backward."""
        return self.forward + self.backward


@dataclass
class Profile:
    """Where the time of a step went.

    Attributes:
      layers: the network's layers, in no order.
      operations: by the name of the operation in JAX; a fusion counts as its last one.
    """

    layers: dict[str, Time] = field(default_factory=lambda: defaultdict(Time))
    operations: dict[str, Time] = field(default_factory=lambda: defaultdict(Time))

    def add(self, name: str, network: str, milliseconds: float, calls: float) -> None:
        """Adds what one instruction of the program took.

        Args:
          name: its place in the program, such as `jit(f)/transpose(jvp(VGG))/conv1_1/add`.
          network: class of the network.
          milliseconds: that it took.
          calls: how many times it ran.
        """
        place = place_of(name, network)
        for time in (self.layers[place.layer], self.operations[place.operation]):
            if place.is_backward:
                time.backward += milliseconds
            else:
                time.forward += milliseconds
            time.calls += calls


def profile(
    name: str,
    mode: Mode,
    batch_size: int,
    image_size: int | None,
    options: Mapping[str, Any],
    steps: int = 3,
) -> Profile:
    """Profiles the trainer's own step of a network on random images.

    Operations that run side by side on several threads each count in full, so that the times may
    add up to more than the step took.

    Args:
      name: the network.
      mode: `"training"` or `"inference"`.
      batch_size: images in a step.
      image_size: their height and width; the paper's for None.
      options: of the network.
      steps: to take the mean of.
    """
    model, batch = network_and_batch(name, batch_size, image_size, options)
    with own_names():
        step, compiled = compile_step(model, mode, batch)
    step()
    places = dict(_places(compiled.as_text() or ""))
    return _collect(places, model, lambda: [step() for _ in range(steps)], steps)


def _places(program: str) -> Iterator[tuple[str, str]]:
    """Yields the name of each instruction of a compiled program and its place in JAX's."""
    for line in program.splitlines():
        found = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = .*op_name=\"([^\"]*)\"", line)
        if found:
            yield found[1], found[2]


def _collect(
    places: Mapping[str, str], model: nn.Module, run: Callable[[], Any], steps: int
) -> Profile:
    result = Profile()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        # `jax.profiler.ProfileData` warns on Python 3.13, and crashes where warnings are errors.
        (file,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    for event in events:
        if "hlo_op" in event.get("args", {}):
            place = places.get(event["name"], event["name"])
            milliseconds = event["dur"] / 1e3 / steps
            result.add(place, type(model).__name__, milliseconds, 1 / steps)
    return result
