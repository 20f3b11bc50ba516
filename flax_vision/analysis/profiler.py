"""Profiles a training or inference step by layer and by operation."""

import gzip
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax

from flax_vision.analysis.benchmark import Mode, compile_step, create_model_and_batch
from flax_vision.analysis.hlo_scopes import keep_op_names, parse_op_name


@dataclass
class OpTime:
    """Milliseconds in one step.

    Attributes:
      forward: Time in the forward pass, and outside the backward pass.
      backward: Time in the backward pass.
      calls: Number of calls.
    """

    forward: float = 0.0
    backward: float = 0.0
    calls: float = 0.0

    @property
    def total(self) -> float:
        """Sum of forward and backward."""
        return self.forward + self.backward


@dataclass
class Profile:
    """Times of a step.

    Attributes:
      layers: Time of each layer, unordered.
      operations: Time of each JAX operation; a fusion counts as its last operation.
    """

    layers: dict[str, OpTime] = field(default_factory=lambda: defaultdict(OpTime))
    operations: dict[str, OpTime] = field(default_factory=lambda: defaultdict(OpTime))

    def add(self, name: str, model: str, milliseconds: float, calls: float) -> None:
        """Adds the time of one instruction.

        Args:
          name: Its `op_name`, such as `jit(f)/transpose(jvp(VGG))/conv1_1/add`.
          model: Name of the model's class.
          milliseconds: Duration.
          calls: Number of calls.
        """
        scope = parse_op_name(name, model)
        for time in (self.layers[scope.layer], self.operations[scope.operation]):
            if scope.is_backward:
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
    """Profiles the trainer's step of a model on random images.

    Operations that run in parallel on several threads each count in full: the sum of times may
    exceed the duration of the step.

    Args:
      name: Name of the model.
      mode: `"training"` or `"inference"`.
      batch_size: Number of images in a step.
      image_size: Height and width of the images; None for the paper's.
      options: Options of the model.
      steps: Number of averaged steps.
    """
    model, batch = create_model_and_batch(name, batch_size, image_size, options)
    with keep_op_names():
        step, compiled = compile_step(model, mode, batch)
    step()
    pattern = r"^\s*(?:ROOT )?%?([\w.\-]+) = .*op_name=\"([^\"]*)\""
    op_names = dict(re.findall(pattern, compiled.as_text() or "", re.MULTILINE))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(steps):
                step()
        # `jax.profiler.ProfileData` warns on Python 3.13, and crashes where warnings are errors.
        (file,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    result = Profile()
    for event in events:
        if "hlo_op" in event.get("args", {}):
            op_name = op_names.get(event["name"], event["name"])
            result.add(op_name, type(model).__name__, event["dur"] / 1e3 / steps, 1 / steps)
    return result
