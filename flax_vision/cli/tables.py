"""A table for a person to read or a program to parse."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flax_vision.text import printable, text_of

FORMATS = ("table", "markdown", "json")


def print_table(rows: Sequence[Mapping[str, Any]], form: str, totals: int = 0) -> None:
    """Prints rows that have the same keys, which become the headings.

    Args:
      rows: numbers are printed with separators and to the right, fractions with two places, tuples
        of numbers as 28x28x6, lists of texts one a line; control characters are escaped. JSON has
        the exact values.
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
        table.add_column(
            Text(printable(heading)), justify="right" if numeric else "left", no_wrap=numeric
        )
    for i, row in enumerate(rows):
        if totals and i == len(rows) - totals:
            table.add_section()
            table.add_row()
        table.add_row(*(Text(text_of(value, "\n")) for value in row.values()))
    return table


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    ruler = ["--:" if isinstance(value, int | float) else "---" for value in rows[0].values()]
    lines = [[_cell(x) for x in rows[0]], ruler, *([_cell(x) for x in r.values()] for r in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    """Returns a value for a cell of Markdown, with all markup escaped."""
    text = re.sub(r"(\\*)\|", r"\1\1\\|", text_of(value, "\n"))
    return re.sub(r"([*`<])", r"\\\1", text).replace("\n", "<br>")
