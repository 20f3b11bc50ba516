"""Text of names, counts, lists and table cells, safe to show on a terminal."""

import unicodedata
from collections.abc import Sequence
from typing import Any

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of control and format characters, line ends, and invalid UTF-8."""

_JOINERS = frozenset("\u200c\u200d")
"""Format characters that Persian, Indian scripts and emoji need."""


def printable(text: object) -> str:
    r"""Returns a text on one line, with control characters escaped as in Python (`\x1b`).

    Escape codes control the terminal, and direction marks reorder a line. Bytes of a file name
    that are not UTF-8 are escaped too.

    Args:
      text: Any value; `str` converts it.
    """
    return "".join(_escaped(character) for character in str(text))


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode("ascii")


def counted(number: int, thing: str, things: str = "") -> str:
    """Returns a number and what it is of, such as `1 image` and `1,200 images`.

    Args:
      number: how many.
      thing: what one of them is called.
      things: what several are; that and an s if not given.
    """
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def listed(things: Sequence[str], most: int, between: str = ", ") -> str:
    """Returns things one after the other, such as `a, b and 1,200 more`.

    Args:
      things: what they are called.
      most: how many are named.
      between: stands between them.
    """
    more = f" and {len(things) - most:,} more" if len(things) > most else ""
    return between.join(things[:most]) + more


def nfc(name: str) -> str:
    """Returns a name in Unicode's form NFC, for comparisons.

    macOS uses another form for file names, in which an accent is a separate character.
    """
    return unicodedata.normalize("NFC", name)


def text_of(value: Any, newline: str) -> str:
    """Returns the text of a value in a table; `newline` separates its lines.

    Control characters and line ends in texts are escaped.
    """
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return newline.join(map(printable, value if isinstance(value, list) else [value]))
