"""The memory that a program takes while it runs, by whether XLA heeds barriers."""

import pytest
from quick_jit import quick_jit

from flax_vision import xla_flags

_, _, EXPANDER = xla_flags.BARRIERS.partition("=")

can_be_heeded = pytest.mark.skipif(
    not xla_flags.accepted([xla_flags.BARRIERS]), reason="this jaxlib cannot heed them"
)


def temporary_bytes(function, *operands, heeds_barriers=True) -> int:
    disabled = EXPANDER if heeds_barriers else "none"
    compiled = quick_jit(function).lower(*operands).compile({"xla_disable_hlo_passes": disabled})
    return compiled.memory_analysis().temp_size_in_bytes
