"""Tables and progress lines on a terminal."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from flax_vision.text import format_value, markdown_table, printable

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from flax_vision.data.dataset import ProgressFn

FORMATS = ("table", "markdown", "json")


def print_table(rows: Sequence[Mapping[str, Any]], form: str, totals: int = 0) -> None:
    """Prints rows with the same keys, which become the headings.

    Numbers are right-aligned, with separators; fractions have two decimals. Tuples of numbers look
    like 28x28x6, and lists have one line for each entry. Control characters are escaped. JSON has
    the exact values.

    Args:
      rows: Rows of the table.
      form: One of `FORMATS`; `"json"` prints one array of objects.
      totals: Number of sums at the end, to be set apart.
    """
    if form == "json":
        print(json.dumps(rows, indent=2))
    elif form == "markdown":
        print(markdown_table(rows))
    else:
        # A file or pipe gets lines of any length; a terminal wraps them.
        Console(width=None if sys.stdout.isatty() else 200).print(_table(rows, totals))


def _table(rows: Sequence[Mapping[str, Any]], totals: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, value in rows[0].items():
        numeric = isinstance(value, int | float)
        column = Text(printable(heading))
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    for i, row in enumerate(rows):
        if totals and i == len(rows) - totals:
            table.add_row()
        table.add_row(*(Text(format_value(value)) for value in row.values()))
    return table


def progress_bar(console: Console, *columns: "str | ProgressColumn", **settings: Any) -> Progress:
    """Returns a live line with a description and a bar, which only a terminal shows.

    Args:
      console: Console of the line.
      *columns: Columns after the bar.
      **settings: Other arguments of rich's `Progress`.
    """
    description = TextColumn("{task.description}", markup=False)
    settings |= {"console": console, "transient": True, "disable": not console.is_terminal}
    return Progress(description, BarColumn(bar_width=16), *columns, **settings)


@contextmanager
def progress(unit: str = "images") -> Iterator["ProgressFn"]:
    """Yields a function that shows progress as a live line on a terminal, and nothing elsewhere.

    Args:
      unit: Name of the things that are counted.
    """
    console = Console(stderr=True)
    live = progress_bar(console, MofNCompleteColumn(), f"{unit} ", TimeRemainingColumn(), "left")

    def show(what: str, done: int, total: int) -> None:
        what = printable(what)
        if not live.tasks or live.tasks[0].description != what:
            for task in live.task_ids:
                live.remove_task(task)
            live.add_task(what, total=total or None)
        live.update(live.task_ids[0], completed=done)

    with live:
        console.show_cursor()  # Ctrl-C ends the process without showing it again
        yield show
