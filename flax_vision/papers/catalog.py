"""The five papers: every table and figure exactly once, with its state."""

from collections.abc import Iterable

from flax_vision.errors import UserError, unknown
from flax_vision.papers.items import alexnet, googlenet, lenet5, resnet, vgg
from flax_vision.papers.items.item import NEEDS_IMAGENET, Item, Paper, normalized

PAPERS = {
    paper.name: paper
    for paper in (lenet5.PAPER, alexnet.PAPER, vgg.PAPER, googlenet.PAPER, resnet.PAPER)
}
"""The papers by name, the oldest first."""


def find_paper(name: str) -> Paper:
    """Returns a paper.

    Raises:
      UserError: There is no such paper; the nearest one is offered.
    """
    if name not in PAPERS:
        raise unknown("paper", name, PAPERS)
    return PAPERS[name]


def find_item(paper: Paper, name: str) -> Item:
    """Returns an item of a paper; `Figure 6`, `fig. 6` and `fig6` are the same.

    Raises:
      UserError: There is no such item; the nearest one is offered.
    """
    items = {item.name: item for item in paper.items}
    if normalized(name) not in items:
        raise unknown(f"item of {paper.name}", name, items)
    return items[normalized(name)]


def find_experiment(paper: Paper, name: str) -> Item:
    """Returns an item that has an experiment.

    Raises:
      UserError: There is no such item, or it has no experiment.
    """
    item = find_item(paper, name)
    if item.runnable:
        return item
    valid = ", ".join(other.name for other in runnable(paper.items))
    reason = {NEEDS_IMAGENET: f"it needs ImageNet: {item.note}"}.get(
        item.state, f"it is {item.state}: {item.note}"
    )
    raise UserError(
        f"{item.long_name} of {paper.name} has no experiment ({reason}). Experiments of "
        f"{paper.name}: {valid}."
    )


def runnable(items: Iterable[Item]) -> list[Item]:
    """Returns the items with an experiment."""
    return [item for item in items if item.runnable]
