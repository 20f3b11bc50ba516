import contextlib
from pathlib import Path

from flax_vision.runtime.files import expanded_path, replaced_file, to_path


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


def test_file_is_replaced_at_the_end(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    with replaced_file(file) as unfinished:
        unfinished.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_old_file_remains_after_an_error(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    with contextlib.suppress(KeyError), replaced_file(file) as unfinished:
        unfinished.write_text("new")
        raise KeyError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
