"""Callbacks, with a recorder in place of the display and without a run."""

import pytest

from flax_vision.errors import UserError
from flax_vision.training import callbacks
from flax_vision.training.callbacks import Callback, CallbackObserver, StopTraining
from flax_vision.training.progress import TrainingObserver

RECORD = {"loss": 0.5, "top1": 0.25}


class Calls(Callback):
    """Keeps its calls, and raises an exception in one method."""

    def __init__(self, every_steps=50, failing="", error=None):
        self.calls, self.every_steps = [], every_steps
        self._failing, self._error = failing, error

    def _add(self, name, *args):
        self.calls.append((name, *args))
        if name == self._failing:
            raise self._error

    def on_start(self, config):
        self._add("start", config)

    def on_step(self, step, record):
        self._add("step", step, record)

    def on_epoch_end(self, epoch, record):
        self._add("epoch", epoch, record)

    def on_end(self, result):
        self._add("end", result)


class Shown(TrainingObserver):
    """Keeps the steps at which progress is shown."""

    is_due = False

    def __init__(self):
        self.steps = []

    def training(self, epoch, step, total, record):
        self.steps.append(step)


def observe(*given, shown=None) -> tuple[CallbackObserver, list[str]]:
    observer, requests = CallbackObserver(shown or TrainingObserver(), given), []
    observer.start({"epochs": 3}, lambda: requests.append("stop"))
    return observer, requests


def train(observer, steps):
    for step in steps:
        if observer.due_at(step):
            observer.training("1/3", step, 100, RECORD)


def steps_of(callback) -> list[int]:
    return [call[1] for call in callback.calls if call[0] == "step"]


def test_callbacks_receive_the_run_in_order(tmp_path):
    callback = Calls(2)
    observer, requests = observe(callback)
    train(observer, [1, 2])
    observer.epoch({"epoch": 1, "step": 2}, 3, 6)
    observer.result("lenet5", {"test/top1": 1.0}, tmp_path, None)
    observer.raise_error(tmp_path)
    assert requests == []
    assert callback.calls == [
        ("start", {"epochs": 3}),
        ("step", 2, RECORD),
        ("epoch", 1, {"epoch": 1, "step": 2}),
        ("end", {"test/top1": 1.0}),
    ]


@pytest.mark.parametrize(
    ("every_steps", "done", "steps", "called"),
    [
        (3, 0, range(1, 10), [3, 6, 9]),
        (1, 0, range(1, 4), [1, 2, 3]),
        (3, 4, range(5, 10), [6, 9]),  # resumed
        (4, 0, range(3, 20, 3), [6, 9, 12, 18]),  # three steps a call
    ],
)
def test_steps_are_received_where_a_multiple_is_passed(every_steps, done, steps, called):
    callback = Calls(every_steps)
    observer, _ = observe(callback)
    observer.begin(done)
    train(observer, steps)
    assert steps_of(callback) == called


def test_each_callback_has_its_own_steps_and_the_display_its_own_time():
    often, rarely, shown = Calls(2), Calls(4), Shown()
    observer, _ = observe(often, rarely, shown=shown)
    train(observer, range(1, 5))
    shown.is_due = True
    train(observer, range(5, 7))
    assert (steps_of(often), steps_of(rarely), shown.steps) == ([2, 4, 6], [4], [5, 6])


def test_devices_are_not_waited_for_without_callbacks():
    observer, _ = observe()
    assert not any(observer.due_at(step) for step in range(200))


def test_callback_cannot_change_the_record_of_the_run():
    class Clear(Callback):
        def on_epoch_end(self, epoch, record):
            record.clear()

    observer, _ = observe(Clear())
    observer.epoch(record := {"epoch": 1}, 3, 6)
    assert record == {"epoch": 1}


@pytest.mark.parametrize("failing", ["start", "step", "epoch", "end"])
def test_first_error_stops_the_run_and_ends_the_calls(failing, tmp_path):
    error = KeyError("no such run")
    first, second = Calls(1, failing, error), Calls(1)
    observer, requests = observe(first, second)
    train(observer, [1])
    observer.epoch({"epoch": 1}, 3, 6)
    observer.result("lenet5", {}, tmp_path, None)
    assert requests == ["stop"]
    assert first.calls[-1][0] == failing
    assert failing not in [call[0] for call in second.calls]
    with pytest.raises(KeyError) as raised:
        observer.raise_error(tmp_path)
    assert raised.value is error
    (note,) = error.__notes__
    assert note.startswith("Calls.on_")
    assert note.endswith(f"To resume: fv.train(config, workdir={str(tmp_path)!r})")


def test_callback_ends_the_run_after_the_epoch():
    callback = Calls(1, "step", StopTraining())
    observer, requests = observe(callback)
    assert not observer.ends_run
    train(observer, [1, 2])
    assert observer.ends_run
    assert requests == []
    assert steps_of(callback) == [1, 2]


def test_finished_run_calls_no_callback(tmp_path):
    callback = Calls()
    CallbackObserver(TrainingObserver(), [callback]).result("lenet5", {}, tmp_path, None)
    assert callback.calls == []


def test_only_the_first_process_calls(monkeypatch):
    monkeypatch.setattr(callbacks.multihost, "is_primary", lambda: False)
    observer, _ = observe(callback := Calls(1))
    train(observer, [1])
    assert callback.calls == []


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (Calls, "callbacks contains <class .*Calls'>; each must be an instance"),
        (print, "callbacks contains <built-in function print>"),
        (Calls(0), "every_steps of Calls is 0; it must be a whole number from 1"),
        (Calls(2.5), "every_steps of Calls is 2.5"),
    ],
)
def test_invalid_callbacks_are_user_errors(callback, message):
    with pytest.raises(UserError, match=message):
        CallbackObserver(TrainingObserver(), [callback])


def test_callback_in_no_list():
    with pytest.raises(UserError, match=r"one Calls; give a list .* such as \[Calls\(\)\]"):
        CallbackObserver(TrainingObserver(), Calls())


def test_everything_else_is_passed_on():
    class Recorder(TrainingObserver):
        def __getattribute__(self, name):
            received.append(name)
            return super().__getattribute__(name)

    received = []
    observer, _ = observe(shown=Recorder())
    received.clear()
    observer.begin(0)
    observer.line("a")
    observer.warning("")
    observer.imbalance(3.5)
    observer.compiling()
    observer.reading("a", 1, 2)
    assert received == ["begin", "line", "warning", "imbalance", "compiling", "reading"]


def test_observer_of_callbacks_passes_on_each_method():
    names = {name for name in vars(TrainingObserver) if not name.startswith("_")}
    assert names - vars(CallbackObserver).keys() == {"left_out"}  # it gives its text to `warning`
