from flax_vision.ops import backend


def test_a_cpu_prefers_the_fast_forms_and_nothing_else_does(monkeypatch):
    assert backend.prefers_fast_forms()
    monkeypatch.setattr(backend.jax, "default_backend", lambda: "gpu")
    assert not backend.prefers_fast_forms()
