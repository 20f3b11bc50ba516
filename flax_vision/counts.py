"""Text of counts, lists and names."""

import unicodedata
from collections.abc import Sequence


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
