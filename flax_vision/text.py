"""Text that is safe to show, whatever a file, a class or a tensor is called."""

import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of controls, of formats, of bytes that are not UTF-8, and of line ends."""

_JOINERS = frozenset("\u200c\u200d")
"""Formats that Persian, Indian scripts and emoji are written with."""


def printable(text: object) -> str:
    r"""Returns a text on one line, with control characters escaped as in Python (`\x1b`).

    Escape codes would command the terminal, and marks of direction would rearrange a line. Bytes of
    a file's name that are not UTF-8 are escaped too.

    Args:
      text: Any value; `str` makes a text of it.
    """
    return "".join(_escaped(character) for character in str(text))


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode("ascii")
