"""Text that is safe to show, with any name of a file, a class or a tensor."""

import unicodedata

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
