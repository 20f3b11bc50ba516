"""A table for a person to read or a program to parse."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

FORMATS = ("table", "markdown", "json")


def print_table(rows: Sequence[Mapping[str, Any]], form: str, totals: int = 0) -> None:
    """Prints rows that have the same keys, which become the headings.

    Args:
      rows: numbers are printed with separators and to the right, fractions with two places, tuples
        of numbers as 28x28x6, lists of texts a line each; in JSON everything is what it is.
      form: one of `FORMATS`; `"json"` prints one array of objects.
      totals: how many rows at the end are sums, to be set apart.
    """
    if form == "json":
        print(json.dumps(rows, indent=2))
    elif form == "markdown":
        print(_markdown(rows))
    else:
        # Into a file or a pipe as wide as it needs, on a terminal as wide as that is.
        Console(width=None if sys.stdout.isatty() else 200).print(_table(rows, totals))


def _table(rows: Sequence[Mapping[str, Any]], totals: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, value in rows[0].items():
        numeric = isinstance(value, int | float)
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric)
    for i, row in enumerate(rows):
        if totals and i == len(rows) - totals:
            table.add_section()
            table.add_row()
        table.add_row(*(text_of(value, "\n") for value in row.values()))
    return table


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    ruler = ["--:" if isinstance(value, int | float) else "---" for value in rows[0].values()]
    cells = [list(rows[0]), ruler, *([text_of(v, "<br>") for v in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def text_of(value: Any, newline: str) -> str:
    """Returns a value as a table has it, several lines of it separated by `newline`."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return newline.join(value) if isinstance(value, list) else str(value)
