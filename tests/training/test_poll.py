import types

import pytest

from flax_vision.training import poll as module
from flax_vision.training.poll import Poll


@pytest.fixture
def clock(monkeypatch):
    """A clock whose `seconds` the test sets."""
    clock = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: clock.seconds))
    return clock


def processes(monkeypatch, all_max, is_primary=True):
    fake = types.SimpleNamespace(
        process_count=lambda: 2, is_primary=lambda: is_primary, all_max=all_max
    )
    monkeypatch.setattr(module, "multihost", fake)


def decisions(clock, step_seconds, steps):
    """Returns the steps, from 1, at which a poll decides."""
    poll, found = Poll(), []
    for step in range(1, steps + 1):
        if poll.is_due():
            found.append(step)
            poll.decide(0)
        clock.seconds += step_seconds
    return found


def test_one_process_decides_at_every_step_without_a_collective(clock, monkeypatch):
    monkeypatch.setattr(module.multihost, "all_max", pytest.fail)
    assert decisions(clock, 0.001, 5) == [1, 2, 3, 4, 5]
    assert Poll().decide(15) == 15


def test_several_processes_decide_twice_a_second(clock, monkeypatch):
    processes(monkeypatch, lambda *values: values)
    assert decisions(clock, 0.125, 24) == [1, 3, 7, 11, 15, 19, 23]


def test_several_processes_decide_at_every_slow_step(clock, monkeypatch):
    processes(monkeypatch, lambda *values: values)
    assert decisions(clock, 2.0, 6) == [1, 3, 4, 5, 6]


def test_other_processes_take_the_steps_of_the_first(clock, monkeypatch):
    sent = []

    def all_max(value, steps):
        sent.append((value, steps))
        return 15, 3

    processes(monkeypatch, all_max, is_primary=False)
    poll = Poll()
    assert poll.is_due()
    assert poll.decide(2) == 15
    assert sent == [(2, 1)]
    assert [poll.is_due() for _ in range(3)] == [False, False, True]
