"""The memory that a program takes while it runs, if XLA heeds barriers."""

import pytest
from quick_jit import quick_jit

from flax_vision.runtime import xla_flags

_, _, EXPANDER = xla_flags.BARRIERS.partition("=")

can_be_heeded = pytest.mark.skipif(
    not xla_flags.accepted([xla_flags.BARRIERS]), reason="this jaxlib cannot heed them"
)


def temporary_bytes(function, *operands) -> int:
    compiled = quick_jit(function).lower(*operands).compile({"xla_disable_hlo_passes": EXPANDER})
    return compiled.memory_analysis().temp_size_in_bytes
