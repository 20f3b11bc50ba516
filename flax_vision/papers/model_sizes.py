"""Tables of parameters and multiply-adds, without training."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from flax_vision.models.catalog import CATALOG
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.papers.figures import bar_chart
from flax_vision.papers.measures import PAPER


def analyze(
    experiment: Experiment,
    runs: Sequence[Run],
    models: Sequence[str],
    paper: Mapping[str, Mapping[str, float]],
) -> Analysis:
    """Returns the size of each model beside the paper's numbers, at the paper's image size.

    Args:
      experiment: The experiment.
      runs: No runs.
      models: Names of the models.
      paper: The paper's numbers: by `parameters` or `multiply-adds`, and by model.
    """
    del experiment, runs
    rows: list[Row] = []
    for name in models:
        entry = CATALOG[name]
        row: Row = {"model": name}
        for heading in ("parameters", "multiply-adds"):
            row[heading] = getattr(entry, heading.replace("-", "_"))
            if heading in paper:
                row[f"{heading}, {PAPER}"] = paper[heading].get(name)
        rows.append(row)
    heading = next(iter(paper))
    values: dict[str, list[Any]] = {row["model"]: [row[heading]] for row in rows}
    return Analysis(
        rows,
        partial(bar_chart, values, heading=heading),
        f"Bars of the {heading} of {', '.join(models)}.",
    )
