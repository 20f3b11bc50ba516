"""The memory that a program takes while it runs, by whether XLA heeds barriers."""

import jaxlib
import pytest
from quick_jit import quick_jit

from flax_vision import process

_, _, EXPANDER = process.BARRIERS.partition("=")

can_be_heeded = pytest.mark.skipif(
    not jaxlib.__version__.startswith(process._KNOWN), reason="barriers of this jaxlib alone"
)


def temporary_bytes(function, *operands, heeds_barriers=True) -> int:
    disabled = EXPANDER if heeds_barriers else "none"
    compiled = quick_jit(function).lower(*operands).compile({"xla_disable_hlo_passes": disabled})
    return compiled.memory_analysis().temp_size_in_bytes
