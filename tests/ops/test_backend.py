import jax.numpy as jnp

from flax_vision.ops import activations, backend
from flax_vision.ops.cpu import onednn_library


def test_only_a_cpu_uses_the_kernels(monkeypatch):
    assert backend.use_cpu_kernels()
    monkeypatch.setattr(backend.jax, "default_backend", lambda: "gpu")
    assert not backend.use_cpu_kernels()


def test_reference_ops_are_temporary():
    with backend.reference_ops():
        assert not backend.use_cpu_kernels()
    assert backend.use_cpu_kernels()


def test_a_kernel_replaces_the_reference_of_its_name(monkeypatch):
    monkeypatch.setattr("flax_vision.ops.cpu.tanh", lambda x: x + 1)
    assert activations.tanh(jnp.zeros(())) == 1
    with backend.reference_ops():
        assert activations.tanh(jnp.zeros(())) == 0


def test_description(monkeypatch):
    assert backend.describe() == onednn_library.describe()
    monkeypatch.setattr(backend.jax, "default_backend", lambda: "gpu")
    assert backend.describe() == "convolutions: XLA"
