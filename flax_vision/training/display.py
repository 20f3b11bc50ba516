"""What a person sees while a network learns."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from flax_vision.runtime import multihost
from flax_vision.runtime.terminal import print_warning
from flax_vision.text import counted, printable
from flax_vision.training.throughput import ThroughputMeter


class Display:
    """A live line on a terminal; elsewhere a plain line now and then."""

    _LIVE_SECONDS = 0.5
    _PLAIN_SECONDS = 10.0

    def __init__(self, console: Console | None = None) -> None:
        # Of many processes the first speaks; warnings are of each one's own images.
        quiet = not multihost.is_first()
        self._console = console or Console(highlight=False, markup=False, quiet=quiet)
        self._is_live = self._console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[status]}", markup=False),
            console=self._console,
            transient=True,
            auto_refresh=False,
            disable=not self._is_live,
        )
        self._task = self._progress.add_task("", status="", visible=False)
        self._shown_at = time.monotonic()
        self._first = (0, self._shown_at)
        self._left_out = ""

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    @property
    def is_due(self) -> bool:
        """Whether the last status has stood long enough."""
        wait = self._LIVE_SECONDS if self._is_live else self._PLAIN_SECONDS
        return time.monotonic() - self._shown_at >= wait

    def begin(self, done: int) -> None:
        """Starts the clock of the time left, with something done already."""
        self._shown_at = time.monotonic()
        self._first = (done, self._shown_at)

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        self._console.print(Text(printable(text)), soft_wrap=True)

    def warning(self, text: str) -> None:
        """Prints a warning to the error output."""
        print_warning(text)

    def left_out(self, text: str) -> None:
        """Warns of images that do not count, where it is not what was said before."""
        if text not in ("", self._left_out):
            self.warning(text)
        self._left_out = text

    def compiling(self) -> None:
        """Shows on the live line that the steps are being compiled, which has no progress."""
        if self._is_live:
            self._status("compiling", 0, 1, "")

    def reading(self, what: str, done: int, total: int) -> None:
        """Shows how many images of a data set have been read, when it is due."""
        if self.is_due:
            left = self._time_left(done, total)
            self._status(
                f"reading {what}", done, total, f"{done:,} of {counted(total, 'image')}  {left}"
            )
        if done == total:
            self.begin(0)

    def training(
        self,
        epoch: str,
        step: int,
        total: int,
        averages: Mapping[str, float],
        pace: ThroughputMeter,
    ) -> None:
        """Shows how far the training has come.

        Args:
          epoch: for example `"3/25"`.
          step: steps done.
          total: steps of the whole run.
          averages: `loss` and `top1` of the epoch so far.
          pace: of the epoch so far.
        """
        status = (
            f"loss {averages['loss']:.4f}  top-1 {averages['top1']:.2%}  "
            f"{pace.images_per_second:,.0f} images/s  waiting {pace.input_wait_fraction:.1%}  "
            f"{self._time_left(step, total)}"
        )
        self._status(f"epoch {epoch}", step, total, status)

    def epoch(self, record: Mapping[str, Any], epochs: int, total: int) -> None:
        """Prints the line of a finished epoch.

        Args:
          record: of the epoch, as in `metrics.jsonl`.
          epochs: of the whole run.
          total: steps of the whole run.
        """
        parts = [f"epoch {record['epoch']:>{len(str(epochs))}}/{epochs}"]
        for part in ("train", "validation"):
            if f"{part}/loss" in record:
                loss, top1 = record[f"{part}/loss"], record[f"{part}/top1"]
                parts.append(f"{part} loss {loss:.4f} top-1 {top1:.2%}")
        if "images_per_second" in record:
            parts.append(f"{record['images_per_second']:,.0f} images/s")
            parts.append(f"waiting {record['input_wait_fraction']:.1%}")
        parts.append(self._time_left(record["step"], total))
        self.line("  ".join(parts))
        self._shown_at = time.monotonic()

    def result(self, title: str, result: Mapping[str, Any], export: Path) -> None:
        """Prints the table of a finished run."""
        images = result["test/images"]
        wrong = images - round(result["test/top1"] * images)
        rows = {"best epoch": str(result["best_epoch"])}
        if "validation/top1" in result:
            rows["validation top-1"] = f"{result['validation/top1']:.2%}"
        rows["test top-1"] = (
            f"{result['test/top1']:.2%}  ({wrong:,} of {counted(images, 'image')} wrong)"
        )
        if "test/top5" in result:
            rows["test top-5"] = f"{result['test/top5']:.2%}"
        rows |= {
            "test loss": f"{result['test/loss']:.4f}",
            "training time": duration(result["train_seconds"]),
            "waiting for input": f"{result['input_wait_fraction']:.1%}",
            "exported to": str(export),
        }
        table = Table(
            title=Text(printable(title), "table.title"), title_justify="left", show_header=False
        )
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for row in rows.items():
            table.add_row(*(Text(printable(text)) for text in row))
        self._progress.stop()
        self._console.print(table)

    def _status(self, what: str, done: int, total: int, text: str) -> None:
        self._shown_at = time.monotonic()
        if self._is_live:
            self._progress.update(
                self._task,
                description=printable(what),
                completed=done,
                total=total,
                status=printable(text),
                visible=True,
            )
            self._progress.refresh()
        else:
            self.line(f"{what}  {text}")

    def _time_left(self, done: int, total: int) -> str:
        """Returns the time left at the speed since `begin`."""
        first, start = self._first
        if done == first:
            return ""
        seconds = (time.monotonic() - start) / (done - first) * (total - done)
        return f"{duration(seconds)} left"


def duration(seconds: float) -> str:
    """Returns a time as people read it: 0:07, 12:30, 3:05:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
