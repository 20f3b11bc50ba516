"""The same operation in its forms."""

import jax
import pytest

from flax_vision.ops import activations, convolution, epilogue, pooling, response_normalization
from flax_vision.ops.cpu import onednn_library


@pytest.fixture
def use_plain_forms(monkeypatch):
    """Returns a function that makes the operations take their plain forms from then on."""

    def use():
        modules = (activations, convolution, epilogue, pooling, response_normalization)
        for module in modules:
            monkeypatch.setattr(module, "prefers_fast_forms", lambda: False)

    return use


@pytest.fixture
def without_onednn(monkeypatch):
    """Convolutions as where there is no oneDNN."""
    monkeypatch.setattr(onednn_library, "absence", lambda: "a test wants none")
    jax.clear_caches()
    yield
    jax.clear_caches()
