"""How far a command has come, on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flax_vision.text import printable

if TYPE_CHECKING:
    from flax_vision.data.dataset import ProgressFn


@contextmanager
def progress() -> Iterator["ProgressFn"]:
    """Yields what shows how far it has come: a live line, where there is a terminal for it."""
    console = Console(stderr=True)
    live = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("images "),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )

    def report(what: str, done: int, total: int) -> None:
        what = printable(what)
        if not live.tasks or live.tasks[0].description != what:
            for task in live.task_ids:
                live.remove_task(task)
            live.add_task(what, total=total or None)
        live.update(live.task_ids[0], completed=done)

    with live:
        console.show_cursor()  # Ctrl-C would leave none
        yield report
