import errno
import multiprocessing
import os
import warnings

import pytest
from tensorboard_events import read_events

from flax_vision.training import tensorboard
from flax_vision.training.tensorboard import Events


def test_numbers_are_written_at_once(tmp_path):
    Events(tmp_path).add({"step": 10, "train/loss": 0.5})
    assert read_events(tmp_path) == [("train/loss", 10, 0.5)]


def test_first_record_replaces_an_earlier_file(tmp_path):
    for step in (10, 20):
        Events(tmp_path).add({"step": step, "a": 1.0})
    assert read_events(tmp_path) == [("a", 20, 1.0)]


def test_shared_memory_is_not_needed(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(multiprocessing, "Queue", fail)
    Events(tmp_path).add({"step": 10, "a": 1.0})
    assert read_events(tmp_path) == [("a", 10, 1.0)]


@pytest.mark.parametrize("method", ["__init__", "write_event", "flush", "close"])
def test_events_that_cannot_be_written_are_one_warning(method, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tensorboard.EventsWriter, method, fail)
    written = Events(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in (10, 20):
            written.add({"step": step, "a": 1.0})
        written.close()
    (warning,) = (warning for warning in caught if warning.category is UserWarning)
    assert "no further events for TensorBoard" in str(warning.message)
    assert "(Read-only file system); the run continues" in str(warning.message)
