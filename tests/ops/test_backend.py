from flax_vision.ops import backend


def test_a_cpu_prefers_the_fast_forms_and_nothing_else_does(monkeypatch):
    assert backend.use_cpu_kernels()
    monkeypatch.setattr(backend.jax, "default_backend", lambda: "gpu")
    assert not backend.use_cpu_kernels()
