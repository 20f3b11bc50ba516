"""One table, figure or section of a paper."""

import re
from dataclasses import dataclass

REPRODUCED = "reproduced"
REDUCED = "reduced"
NEEDS_IMAGENET = "needs ImageNet"
OUT_OF_SCOPE = "out of scope"
STATES = {
    REPRODUCED: "this library reproduces it",
    REDUCED: "an experiment reproduces it with less data; --full has the paper's size",
    NEEDS_IMAGENET: "a command reproduces it with ImageNet",
    OUT_OF_SCOPE: "this library does not reproduce it",
}
"""Meaning of each state."""


@dataclass(frozen=True)
class Item:
    """A table, figure or section.

    Attributes:
      name: Name, such as `fig6`, `table2` or `section3.3`.
      state: One of `STATES`.
      title: Content in a few words.
      note: Command that reproduces it, difference from the paper, or reason for its absence.
      runnable: Whether `flax-vision paper` has an experiment for it.
    """

    name: str
    state: str
    title: str
    note: str = ""
    runnable: bool = False

    @property
    def kind(self) -> str:
        """Kind of the item: `fig`, `table` or `section`."""
        return re.sub("[0-9.]", "", self.name)

    @property
    def long_name(self) -> str:
        """Name for readers, such as `figure 6`."""
        number = self.name.removeprefix(self.kind)
        return f"{'figure' if self.kind == 'fig' else self.kind} {number}"


@dataclass(frozen=True)
class Paper:
    """A paper with all of its tables and figures.

    Attributes:
      name: Name for the command.
      title: Title of the paper.
      authors: Authors and year.
      figures: Number of figures.
      tables: Number of tables.
      items: All tables and figures, and the sections with results of their own.
    """

    name: str
    title: str
    authors: str
    figures: int
    tables: int
    items: tuple[Item, ...]


def normalized(name: str) -> str:
    """Returns the name of an item in its normal form: `Figure 6` and `Fig. 6` become `fig6`."""
    text = re.sub(r"[\s_-]", "", name.lower())
    text = re.sub(r"^(figure|fig)\.?", "fig", text)
    text = re.sub(r"^(table|tab)\.?", "table", text)
    return re.sub(r"^(section|sect|sec)\.?", "section", text)
