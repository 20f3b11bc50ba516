"""The outcome of an experiment: numbers beside the paper's, a figure, and how it was made."""

import dataclasses
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax_vision.analysis.report.html import THEMES
from flax_vision.papers.experiment import REDUCED, Analysis, Experiment, Row
from flax_vision.papers.items.item import REPRODUCED, Item, Paper
from flax_vision.papers.runs import ExperimentOptions, reductions, train
from flax_vision.runtime.files import replaced_file
from flax_vision.training.sweep import SweepObserver

_OUTCOME = "outcome.json"


@dataclass(frozen=True)
class Outcome:
    """The outcome of an experiment.

    Attributes:
      paper: Name of the paper.
      item: Name of the item.
      title: Content of the item.
      rows: Rows of the table.
      reduced: Differences from the paper's training, one line each.
      note: Difference from the paper at every size; empty for none.
      command: Command that repeats the experiment.
      seeds: Seeds of the runs.
      train_seconds: Training time of all runs in seconds.
      seconds: Duration of the command that finished it; runs of earlier commands do not count.
      pictures: Names of the PNG files, in the order of the themes.
      width: Width of the figure in inches.
      height: Height of the figure in inches.
      alternative: Alternative text of the figure.
    """

    paper: str
    item: str
    title: str
    rows: Sequence[Row]
    reduced: Sequence[str]
    note: str
    command: str
    seeds: Sequence[int]
    train_seconds: float
    seconds: float
    pictures: Sequence[str]
    width: float
    height: float
    alternative: str


def directory(paper: Paper, item: Item, options: ExperimentOptions) -> Path:
    """Returns the directory of an outcome."""
    return options.workdir / "items" / options.name(f"{paper.name}-{item.name}")


def run_experiment(
    paper: Paper,
    item: Item,
    experiment: Experiment,
    options: ExperimentOptions,
    observer: SweepObserver | None = None,
) -> tuple[Outcome, Analysis]:
    """Trains, measures, draws, and writes the outcome.

    Args:
      paper: The paper.
      item: Item of the paper.
      experiment: Its experiment.
      options: Choices of the experiment.
      observer: Receiver of the progress; None for warnings only.

    Returns:
      The outcome, and the findings with the function that draws the figure.

    Raises:
      UserError: A run cannot be trained, for example without its dataset.
    """
    began = time.monotonic()
    runs = train(experiment, options, observer)
    analysis = experiment.findings(runs, options.size)
    folder = directory(paper, item, options)
    pictures, size = _draw(analysis, folder)
    outcome = Outcome(
        paper=paper.name,
        item=item.name,
        title=item.title,
        rows=analysis.rows,
        reduced=reductions(experiment, options, runs),
        note=experiment.note or ("" if item.state == REPRODUCED else item.note),
        command=command(paper, item, options),
        seeds=sorted({run.seed for run in runs}),
        train_seconds=sum(run.result.get("train_seconds", 0.0) for run in runs),
        seconds=time.monotonic() - began,
        pictures=pictures,
        width=size[0],
        height=size[1],
        alternative=analysis.alternative,
    )
    with replaced_file(folder / _OUTCOME) as file:
        file.write_text(json.dumps(dataclasses.asdict(outcome), indent=2) + "\n", "utf-8")
    return outcome, analysis


def _draw(analysis: Analysis, folder: Path) -> tuple[list[str], tuple[float, float]]:
    """Writes the figure in each theme; returns the names of the files and its size in inches."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures, size = [], (0.0, 0.0)
    for suffix, theme in THEMES.items():
        picture = analysis.draw(theme=theme)
        width, height = picture.get_size_inches()
        size = (float(width), float(height))
        pictures.append(f"figure{suffix}.png")
        with replaced_file(folder / pictures[-1]) as file:
            file.write_bytes(picture.png())
    return pictures, size


def read_outcome(paper: Paper, item: Item, options: ExperimentOptions) -> Outcome | None:
    """Returns the outcome of an earlier command with the same options; None without one."""
    path = directory(paper, item, options)
    try:
        outcome = Outcome(**json.loads((path / _OUTCOME).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    is_whole = all((path / name).exists() for name in outcome.pictures)
    return outcome if is_whole and outcome.command == command(paper, item, options) else None


def command(paper: Paper, item: Item, options: ExperimentOptions) -> str:
    """Returns the command that runs an experiment."""
    words = ["flax-vision", "paper", paper.name, item.name]
    if options.size != REDUCED:
        words.append(f"--{options.size}")
    if options.data:
        words += ["--data", options.data]
    if options.seeds:
        words += ["--seeds", ",".join(map(str, options.seeds))]
    return " ".join(words)


def table_rows(rows: Sequence[Row]) -> list[Row]:
    """Returns rows to print: several seeds become their mean and standard deviation."""
    return [{heading: _cell(value) for heading, value in row.items()} for row in rows]


def _cell(value: Any) -> Any:
    """Returns a number or a text; whole numbers from 1000 on become int."""
    if isinstance(value, list):
        numbers = [x for x in value if x is not None]
        if len(numbers) > 1:
            deviation = statistics.stdev(numbers)
            return (
                f"{statistics.fmean(numbers):,.2f} ± {deviation:,.2f}" if deviation else numbers[0]
            )
        value = numbers[0] if numbers else None
    if value is None:
        return "-"
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) >= 1000
    return int(value) if is_whole else value


def picture_path(outcome: Outcome, paper: Paper, item: Item, options: ExperimentOptions) -> Path:
    """Returns the path of the light figure."""
    return directory(paper, item, options) / outcome.pictures[0]


def as_json(outcome: Outcome, figure: Path) -> dict[str, Any]:
    """Returns the outcome as a JSON object, with the path of its figure."""
    return {**dataclasses.asdict(outcome), "figure": str(figure)}
