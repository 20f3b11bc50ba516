"""One page with the outcomes of all experiments, as HTML and as Markdown."""

import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from flax_vision.analysis.report import html
from flax_vision.papers.items.item import Item, Paper
from flax_vision.papers.outcome import Outcome, directory, picture_path, table_rows
from flax_vision.papers.runs import ExperimentOptions
from flax_vision.runtime.files import replaced_file
from flax_vision.text import markdown_table

_WIDTH = 614
"""Width of a figure in CSS pixels."""


def write_gallery(
    outcomes: Sequence[tuple[Paper, Item, Outcome]], options: ExperimentOptions, paper: str = ""
) -> Path:
    """Writes the page, and returns its path.

    Args:
      outcomes: Outcomes with their papers and items, in the order of the page.
      options: Choices of the experiments.
      paper: Name of the only paper, for a page of its own; empty for the page of all papers.
    """
    sections = [_section(paper, item, outcome, options) for paper, item, outcome in outcomes]
    seconds = sum(outcome.seconds for _, _, outcome in outcomes)
    facts = {"experiments": str(len(outcomes)), "time": _duration(seconds), "size": options.size}
    text = html.page(
        "The papers' tables and figures",
        "Each section has the paper's numbers beside the measured ones.",
        facts,
        sections,
        f"Written by `flax-vision paper {paper} --all`.".replace("  ", " "),
    )
    name = options.name(f"gallery-{paper}" if paper else "gallery")
    path = options.workdir / f"{name}.html"
    with replaced_file(path) as file:
        file.write_text(text, "utf-8")
    return path


def _section(
    paper: Paper, item: Item, outcome: Outcome, options: ExperimentOptions
) -> html.Section:
    """Returns the section of an outcome."""
    text = " ".join(f"{name}: {line}." for name, line in _facts(outcome).items())
    folder = directory(paper, item, options)
    pngs = [(folder / name).read_bytes() for name in outcome.pictures]
    height = round(_WIDTH * outcome.height / outcome.width)
    figure = html.Figure(item.name, pngs, outcome.alternative, "", _WIDTH, height)
    return html.Section(_title(paper, item), text, [figure], html.table(table_rows(outcome.rows)))


def write_markdown(
    outcomes: Sequence[tuple[Paper, Item, Outcome]], options: ExperimentOptions, path: Path
) -> None:
    """Writes a Markdown page, and its pictures into the folder of the same name.

    Args:
      outcomes: Outcomes with their papers and items, in the order of the page.
      options: Choices of the experiments.
      path: File of the page.
    """
    pictures = path.with_suffix("")
    pictures.mkdir(exist_ok=True)
    parts = ["# The papers' tables and figures", _introduction(outcomes, options)]
    for paper, item, outcome in outcomes:
        picture = pictures / f"{paper.name}-{item.name}.png"
        shutil.copyfile(picture_path(outcome, paper, item, options), picture)
        facts = [f"- {name}: {line}" for name, line in _facts(outcome, code="`").items()]
        image = f"![{outcome.alternative}]({pictures.name}/{picture.name})"
        table = markdown_table(table_rows(outcome.rows))
        parts += [f"## {_title(paper, item)}", image, table, "\n".join(facts)]
    with replaced_file(path) as file:
        file.write_text("\n\n".join(parts) + "\n", "utf-8")


def _introduction(
    outcomes: Sequence[tuple[Paper, Item, Outcome]], options: ExperimentOptions
) -> str:
    """Returns the first paragraph of the Markdown page."""
    seconds = sum(outcome.seconds for _, _, outcome in outcomes)
    return (
        f"Each of the {len(outcomes)} sections has the paper's numbers beside the measured ones. "
        f"The experiments have the size `{options.size}`, and took {_duration(seconds)} in all."
    )


def _title(paper: Paper, item: Item) -> str:
    return f"{paper.name}, {item.long_name}: {item.title}"


def _facts(outcome: Outcome, code: str = "") -> dict[str, str]:
    """Returns how an outcome was made, by name.

    Args:
      outcome: The outcome.
      code: Mark before and after a command.
    """
    training = f"; training {_duration(outcome.train_seconds)}" if outcome.train_seconds else ""
    facts = {
        "Reduced": "; ".join(outcome.reduced),
        "Note": outcome.note,
        "Command": f"{code}{outcome.command}{code}",
        "Seeds": ", ".join(map(str, outcome.seeds)),
        "Time": f"{_duration(outcome.seconds)}{training}",
    }
    return {name: fact for name, fact in facts.items() if fact}


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
