from pathlib import Path

from flax_vision.runtime.files import expanded_path, to_path


def test_tilde_is_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded_path("~/a") == "/home/me/a"
    assert expanded_path("a/~") == "a/~"
    assert expanded_path("") == ""


def test_only_text_has_a_home_directory(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert to_path("~/a") == Path("/home/me/a")
    assert to_path("~nouser/a") == Path("~nouser/a")
    assert to_path(Path("~/a")) == Path("~/a")
