"""Text of names, counts, lists and table cells, safe to show on a terminal."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of control and format characters, line ends, and invalid UTF-8."""

_JOINERS = frozenset("\u200c\u200d")
"""Format characters that Persian, Indian scripts and emoji need."""


def printable(text: object) -> str:
    r"""Returns a text on one line, with control characters escaped as in Python (`\x1b`).

    Escape codes would control the terminal, and direction marks would reorder the line. Bytes of a
    file name that are not UTF-8 are escaped too.

    Args:
      text: Any value; `str` converts it.
    """
    return "".join(_escaped(character) for character in str(text))


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode("ascii")


def encodable(text: str) -> str:
    r"""Returns a text for a UTF-8 file; bytes of a file name that are not UTF-8 become `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def counted(number: int, singular: str, plural: str = "") -> str:
    """Returns a number with its noun, such as `1 image` or `1,200 images`.

    Args:
      number: Number of things.
      singular: Noun for one thing.
      plural: Noun for several things; by default the singular and an s.
    """
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def listed(names: Sequence[str], limit: int, separator: str = ", ") -> str:
    """Returns the first names and the number of the others, such as `a, b and 1,200 more`.

    Args:
      names: All names.
      limit: Maximum number of listed names.
      separator: Text between two names.
    """
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return separator.join(names[:limit]) + more


def nfc(name: str) -> str:
    """Returns a name in Unicode's form NFC, for comparisons.

    File names of macOS have another form; there an accent is a separate character.
    """
    return unicodedata.normalize("NFC", name)


def format_value(value: Any) -> str:
    """Returns the text of a table cell; a list has one line for each entry.

    Control characters and line ends in texts are escaped.
    """
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return "\n".join(map(printable, value if isinstance(value, list) else [value]))


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a Markdown table of rows with the same keys, which become the headings.

    Numbers are right-aligned, and markup in texts is escaped.
    """
    ruler = ["--:" if isinstance(value, int | float) else "---" for value in rows[0].values()]
    cells = [[_markdown_cell(x) for x in line] for line in (rows[0], *(r.values() for r in rows))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (cells[0], ruler, *cells[1:]))


def _markdown_cell(value: Any) -> str:
    """Returns a value for a cell of Markdown, with all markup escaped."""
    text = re.sub(r"(\\*)\|", r"\1\1\\|", format_value(value))
    return re.sub(r"([*`<])", r"\\\1", text).replace("\n", "<br>")
