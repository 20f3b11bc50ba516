"""The progress of a training run on the terminal or in a notebook."""

import html
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import TextColumn
from rich.table import Table
from rich.text import Text

from flax_vision.cli.console import progress_bar
from flax_vision.data.dataset import Dataset
from flax_vision.runtime import multihost
from flax_vision.text import counted, printable
from flax_vision.training.progress import TrainingObserver
from flax_vision.weights.best_epoch import IMBALANCE_THRESHOLD


class TrainingDisplay(TrainingObserver):
    """A live line on a terminal; elsewhere a plain line every ten seconds.

    Attributes:
      test_images: Test images of a run that this process has tested, else None.
    """

    _LIVE_SECONDS = 0.5
    _PLAIN_SECONDS = 10.0

    def __init__(self, console: Console | None = None) -> None:
        # Only the first process prints progress. Each prints warnings about its own images.
        quiet = not multihost.is_primary()
        self._console = console or Console(highlight=False, markup=False, quiet=quiet)
        self._is_live = self._console.is_terminal
        status = TextColumn("{task.fields[status]}", markup=False)
        self._progress = progress_bar(self._console, status, auto_refresh=False)
        self._task = self._progress.add_task("", status="", visible=False)
        self.test_images: Dataset | None = None
        self._is_unbalanced = False
        self.begin(0)

    def __enter__(self) -> "TrainingDisplay":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    @property
    def is_due(self) -> bool:
        """Whether the last status is old enough to be replaced."""
        interval = self._LIVE_SECONDS if self._is_live else self._PLAIN_SECONDS
        return time.monotonic() - self._shown_at >= interval

    def begin(self, done: int) -> None:
        """Starts the clock of the time left, with `done` steps finished."""
        self._shown_at = self._began_at = time.monotonic()
        self._done_before = done

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        self._console.print(Text(printable(text)), soft_wrap=True)

    def imbalance(self, ratio: float) -> None:
        """Shows balanced accuracies if the classes differ by more than a factor of three."""
        self._is_unbalanced = ratio > IMBALANCE_THRESHOLD

    def compiling(self) -> None:
        """Shows on the live line that the steps are being compiled."""
        if self._is_live:
            self._show("compiling", 0, 1, "")

    def reading(self, what: str, done: int, total: int) -> None:
        """Shows the number of images that have been read, if the display is due."""
        if self.is_due:
            status = f"{done:,} of {counted(total, 'image')}  {self._time_left(done, total)}"
            self._show(f"reading {what}", done, total, status)
        if done == total:
            self.begin(0)

    def training(self, epoch: str, step: int, total: int, record: Mapping[str, float]) -> None:
        """Shows the progress within an epoch."""
        status = (
            f"loss {record['loss']:.4f}  top-1 {record['top1']:.2%}  "
            f"{record['images_per_second']:,.0f} images/s  "
            f"waiting {record['input_wait_fraction']:.1%}  {self._time_left(step, total)}"
        )
        self._show(f"epoch {epoch}", step, total, status)

    def epoch(self, record: Mapping[str, Any], epochs: int, total: int) -> None:
        """Prints the line of a finished epoch."""
        words = [f"epoch {record['epoch']:>{len(str(epochs))}}/{epochs}"]
        for split in ("train", "validation"):
            if f"{split}/loss" in record:
                loss, top1 = record[f"{split}/loss"], record[f"{split}/top1"]
                words.append(f"{split} loss {loss:.4f} top-1 {top1:.2%}")
        if self._is_unbalanced and "validation/majority_share" in record:
            words[-1] += _largest_class(record, "validation")
            words.append(f"balanced {record['validation/balanced_accuracy']:.2%}")
        if "images_per_second" in record:
            words.append(f"{record['images_per_second']:,.0f} images/s")
            words.append(f"waiting {record['input_wait_fraction']:.1%}")
        words.append(self._time_left(record["step"], total))
        self.line("  ".join(words))
        self._shown_at = time.monotonic()

    def result(
        self, title: str, result: Mapping[str, Any], export: Path, test_images: Dataset | None
    ) -> None:
        """Prints the table of a finished run."""
        self.test_images = test_images
        heading = Text(printable(title), "table.title")
        table = Table(title=heading, title_justify="left", show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in _result_rows(result).items():
            table.add_row(name, text)
        table.add_row("exported to", Text(printable(export)))
        self._progress.stop()
        self._console.print(table)

    def _show(self, what: str, done: int, total: int, status: str) -> None:
        self._shown_at = time.monotonic()
        if not self._is_live:
            self.line(f"{what}  {status}")
            return
        self._progress.update(
            self._task,
            description=printable(what),
            completed=done,
            total=total,
            status=printable(status),
            visible=True,
        )
        self._progress.refresh()

    def _time_left(self, done: int, total: int) -> str:
        """Returns the time left at the speed since `begin`; empty before the first step."""
        if done == self._done_before:
            return ""
        elapsed = time.monotonic() - self._began_at
        seconds = elapsed / (done - self._done_before) * (total - done)
        return f"{format_duration(seconds)} left"


class NotebookDisplay(TrainingDisplay):
    """A bar and a line that change in place in a notebook, and plain lines below them.

    It needs IPython, which every notebook has, but no widgets.
    """

    def __init__(self) -> None:
        quiet = not multihost.is_primary()
        console = Console(
            force_jupyter=False, force_terminal=False, highlight=False, markup=False, quiet=quiet
        )
        super().__init__(console)
        self._is_live, self._handle = not quiet, None

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)

    def _show(self, what: str, done: int, total: int, status: str) -> None:
        from IPython.display import display

        self._shown_at = time.monotonic()
        text = printable(f"{what}  {status}")
        bar = f'<progress value="{done}" max="{total}"></progress>'
        content = {"text/plain": text, "text/html": f"<pre>{bar} {html.escape(text)}</pre>"}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


def make_display() -> TrainingDisplay:
    """Returns the display of this process, for a notebook or a terminal."""
    return NotebookDisplay() if Console().is_jupyter else TrainingDisplay()


def _result_rows(result: Mapping[str, Any]) -> dict[str, str]:
    images = result["test/images"]
    wrong = images - round(result["test/top1"] * images)
    shown = result if result.get("train/imbalance", 1) > IMBALANCE_THRESHOLD else {}
    rows = {
        "best epoch": str(result["best_epoch"]),
        "validation top-1": _percent(result.get("validation/top1"))
        + _largest_class(shown, "validation"),
        "validation balanced": _percent(shown.get("validation/balanced_accuracy")),
        "test top-1": f"{result['test/top1']:.2%}  ({wrong:,} of {counted(images, 'image')} wrong)"
        + _largest_class(shown, "test"),
        "test balanced": _percent(shown.get("test/balanced_accuracy")),
        "test top-5": _percent(result.get("test/top5")),
        "test loss": f"{result['test/loss']:.4f}",
        "stopped early": printable(result.get("stopped_early", "")),
        "training time": format_duration(result["train_seconds"]),
        "waiting for input": f"{result['input_wait_fraction']:.1%}",
    }
    return {name: text for name, text in rows.items() if text}


def _largest_class(record: Mapping[str, Any], split: str) -> str:
    """Returns text with the share of the largest class, as a baseline of the accuracy; or empty."""
    share = record.get(f"{split}/majority_share")
    return "" if share is None else f", largest class {share:.2%}"


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.2%}"


def format_duration(seconds: float) -> str:
    """Returns a duration such as 0:07, 12:30 or 3:05:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
