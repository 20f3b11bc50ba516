"""The forms of an operation."""

import jax
import pytest

from flax_vision.ops import backend
from flax_vision.ops.cpu import onednn_library


@pytest.fixture
def use_reference_ops(monkeypatch):
    """Returns a function that selects the reference operations from then on."""

    def use():
        monkeypatch.setattr(backend, "use_cpu_kernels", lambda: False)

    return use


@pytest.fixture
def without_onednn(monkeypatch):
    """Makes oneDNN unavailable."""
    monkeypatch.setattr(onednn_library, "unavailable_reason", lambda: "a test disables it")
    jax.clear_caches()
    yield
    jax.clear_caches()
