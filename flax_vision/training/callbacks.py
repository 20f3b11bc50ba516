"""Callbacks of a training run, for example loggers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax_vision.data.custom_datasets import has_arrays
from flax_vision.errors import UserError
from flax_vision.runtime import multihost
from flax_vision.training.progress import TrainingObserver

if TYPE_CHECKING:
    from flax_vision.data.dataset import Dataset


class StopTraining(Exception):  # noqa: N818 - not an error
    """Raised by a callback to end the run.

    The run finishes the current epoch. Then it tests and exports the best epoch, as at a normal
    end.
    """


class Callback:
    """Base class of callbacks; override the methods that you need.

    ```python
    class PrintLoss(fv.Callback):
        def on_epoch_end(self, epoch, record):
            print(epoch, record["train/loss"])
    ```

    If a method raises an exception, the run is saved, and `fv.train` raises the exception again.
    `StopTraining` ends the run early. Only the first of several processes calls the methods, and a
    finished run calls none.

    Attributes:
      every_steps: Steps between two calls of `on_step`. Each call waits for the devices.
    """

    every_steps: int = 50

    def on_start(self, config: dict[str, Any]) -> None:
        """Receives the start of training, or of resumed training.

        Args:
          config: All keys of the configuration, as nested dictionaries.
        """

    def on_step(self, step: int, record: dict[str, float]) -> None:
        """Receives the averages of the epoch so far, every `every_steps` steps.

        Args:
          step: Number of finished steps of the run.
          record: `loss`, `top1`, `images_per_second` and `input_wait_fraction`.
        """

    def on_epoch_end(self, epoch: int, record: dict[str, Any]) -> None:
        """Receives the record of a finished epoch.

        Args:
          epoch: Number of the epoch, from 1.
          record: The epoch's line in `metrics.jsonl`, such as `train/loss` and `validation/top1`.
        """

    def on_end(self, result: dict[str, Any]) -> None:
        """Receives the result of the run.

        Args:
          result: Content of `result.json`, such as `best_epoch` and `test/top1`. All are numbers,
            but the text `stopped_early` and the list `test/per_class`.
        """


class CallbackObserver(TrainingObserver):
    """An observer that calls callbacks, and forwards everything to another observer.

    After the first exception it calls no callback, and asks the run to save its state and stop.
    """

    _error: Exception | None = None
    _ends_run = False
    _is_started = False
    _called_at = 0

    def __init__(self, observer: TrainingObserver, callbacks: Sequence[Callback]) -> None:
        """Checks the callbacks.

        Raises:
          UserError: There is no sequence, an entry is not a callback, or its `every_steps` is not
            a positive integer.
        """
        if isinstance(callbacks, Callback):
            name = type(callbacks).__name__
            raise UserError(
                f"callbacks is one {name}; give a list of callbacks, such as [{name}()]."
            )
        for callback in callbacks:
            _check(callback)
        self._observer = observer
        self._callbacks = list(callbacks) if multihost.is_primary() else []

    def raise_error(self, path: Path) -> None:
        """Raises the first exception of a callback again, with a note about the saved run.

        Args:
          path: Run directory.
        """
        if self._error is not None:
            note = f"{self._failed} raised this error, and the run is saved."
            self._error.add_note(f"{note} {resume_advice(path)}")
            raise self._error

    @property
    def is_due(self) -> bool:
        return self._observer.is_due

    def due_at(self, step: int) -> bool:
        return self.is_due or bool(self._due_callbacks(step))

    @property
    def ends_run(self) -> bool:
        return self._ends_run

    def start(self, config: Mapping[str, Any], request_stop: Callable[[], None]) -> None:
        self._request_stop, self._is_started = request_stop, True
        self._observer.start(config, request_stop)
        self._call(self._callbacks, "on_start", config)

    def begin(self, done: int) -> None:
        self._called_at = done
        self._observer.begin(done)

    def line(self, text: str) -> None:
        self._observer.line(text)

    def warning(self, text: str) -> None:
        self._observer.warning(text)

    def imbalance(self, ratio: float) -> None:
        self._observer.imbalance(ratio)

    def compiling(self) -> None:
        self._observer.compiling()

    def reading(self, what: str, done: int, total: int) -> None:
        self._observer.reading(what, done, total)

    def training(self, epoch: str, step: int, total: int, record: Mapping[str, float]) -> None:
        if self.is_due:
            self._observer.training(epoch, step, total, record)
        due, self._called_at = self._due_callbacks(step), step
        self._call(due, "on_step", step, dict(record))

    def epoch(self, record: Mapping[str, Any], epochs: int, total: int) -> None:
        self._observer.epoch(record, epochs, total)
        self._call(self._callbacks, "on_epoch_end", record["epoch"], dict(record))

    def result(
        self, title: str, result: Mapping[str, Any], export: Path, test_images: "Dataset | None"
    ) -> None:
        self._observer.result(title, result, export, test_images)
        if self._is_started:
            self._call(self._callbacks, "on_end", dict(result))

    def _due_callbacks(self, step: int) -> list[Callback]:
        """Returns the callbacks that passed a multiple of `every_steps` since the last call."""
        return [
            callback
            for callback in self._callbacks
            if step // callback.every_steps > self._called_at // callback.every_steps
        ]

    def _call(self, callbacks: Sequence[Callback], method: str, *args: Any) -> None:
        for callback in callbacks:
            if self._error is not None:
                return
            try:
                getattr(callback, method)(*args)
            except StopTraining:
                self._ends_run = True
            except Exception as error:
                self._error, self._failed = error, f"{type(callback).__name__}.{method}"
                self._request_stop()


def resume_advice(path: Path) -> str:
    """Returns the text that shows the call to resume a run.

    Args:
      path: Run directory.
    """
    data = ", data=data" if has_arrays() else ""
    return f"To resume: fv.train(config, workdir={str(path)!r}{data})"


def _check(callback: Any) -> None:
    if not isinstance(callback, Callback):
        raise UserError(
            f"callbacks contains {callback!r}; each must be an instance of a subclass of "
            "fv.Callback, such as MyLogger()."
        )
    steps = callback.every_steps
    if type(steps) is not int or steps < 1:
        raise UserError(
            f"every_steps of {type(callback).__name__} is {steps!r}; it must be a whole number "
            "from 1."
        )
