"""The interface through which a run reports its progress."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax_vision.runtime.terminal import print_warning

if TYPE_CHECKING:
    from flax_vision.data.dataset import Dataset


class TrainingObserver:
    """Receives the progress of a run; this base class prints warnings and nothing else.

    The command line's display is a subclass.
    """

    _last_left_out = ""

    @property
    def is_due(self) -> bool:
        """Whether the observer wants the current averages, which wait for the devices."""
        return False

    def due_at(self, step: int) -> bool:
        """Returns whether the observer wants the current averages after step `step`."""
        del step
        return self.is_due

    @property
    def ends_run(self) -> bool:
        """Whether the current epoch must be the last one of the run."""
        return False

    def start(self, config: Mapping[str, Any], request_stop: Callable[[], None]) -> None:
        """Receives the start of training, or of resumed training.

        Args:
          config: Configuration as nested dictionaries.
          request_stop: Function that asks the run to save its state and stop.
        """

    def begin(self, done: int) -> None:
        """Starts the clock of the time left, with `done` steps finished."""

    def line(self, text: str) -> None:
        """Receives a line about the run."""

    def warning(self, text: str) -> None:
        """Prints a warning."""
        print_warning(text)

    def left_out(self, text: str) -> None:
        """Warns about unreadable images, unless the last warning was the same.

        Args:
          text: The number of unreadable images so far; empty for none.
        """
        if text not in ("", self._last_left_out):
            self.warning(text)
        self._last_left_out = text

    def imbalance(self, ratio: float) -> None:
        """Receives the ratio of the largest training class to the smallest."""

    def compiling(self) -> None:
        """Marks the start of compiling the steps."""

    def reading(self, what: str, done: int, total: int) -> None:
        """Receives the number of images that have been read, of `total`."""

    def training(self, epoch: str, step: int, total: int, record: Mapping[str, float]) -> None:
        """Receives the progress within an epoch.

        Args:
          epoch: Epoch and number of epochs, such as `"3/25"`.
          step: Finished steps of the run.
          total: All steps of the run.
          record: Averages `loss` and `top1` and the throughput of the epoch so far.
        """

    def epoch(self, record: Mapping[str, Any], epochs: int, total: int) -> None:
        """Receives a finished epoch.

        Args:
          record: Record of the epoch, as in `metrics.jsonl`.
          epochs: Number of epochs of the run.
          total: All steps of the run.
        """

    def result(
        self, title: str, result: Mapping[str, Any], export: Path, test_images: "Dataset | None"
    ) -> None:
        """Receives the result of a finished run.

        Args:
          title: Model and dataset.
          result: Last record of `metrics.jsonl`.
          export: Directory of the exported model.
          test_images: Test images, if this call of `fit` tested the model.
        """
