from pathlib import Path

import pytest

from flax_vision import processor


@pytest.fixture
def flags():
    processor.flags.cache_clear()
    yield processor.flags
    processor.flags.cache_clear()


def test_flags_of_linux(flags, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: True)
    monkeypatch.setattr(Path, "read_text", lambda self: "model: 1\nflags\t\t: fpu sse2\nother: 1\n")
    assert flags() == "flags\t\t: fpu sse2"


def test_flags_elsewhere(flags, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: False)
    monkeypatch.setattr(processor.platform, "processor", lambda: "arm")
    assert flags() == "arm"
