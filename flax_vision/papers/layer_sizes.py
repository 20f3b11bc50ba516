"""Tables of the layers of one model beside the paper's numbers."""

from collections.abc import Mapping, Sequence
from functools import partial

from flax_vision.models.registry import create_model
from flax_vision.models.summary import summarize
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.papers.figures import bar_chart
from flax_vision.papers.measures import PAPER


def analyze(
    experiment: Experiment,
    runs: Sequence[Run],
    model: str,
    shape: tuple[int, int, int],
    paper: Mapping[str, Mapping[str, float]],
) -> Analysis:
    """Returns the layers with parameters of a model beside the paper's numbers.

    Args:
      experiment: The experiment.
      runs: No runs.
      model: Name of the model.
      shape: Height, width and channels of the images.
      paper: The paper's numbers: by `parameters` or `multiply-adds`, and by layer. The figure draws
        the first of them, which may be empty.
    """
    del experiment, runs
    rows: list[Row] = []
    for layer in summarize(create_model(model), shape):
        if not layer.parameters or layer.is_auxiliary:
            continue
        row: Row = {"layer": layer.layer, "output": "x".join(map(str, layer.output))}
        for heading in ("parameters", "multiply-adds"):
            row[heading] = getattr(layer, heading.replace("-", "_"))
            if paper.get(heading):
                row[f"{heading}, {PAPER}"] = paper[heading].get(layer.layer)
        rows.append(row)
    heading = next(iter(paper))
    values = {row["layer"]: [float(row[heading])] for row in rows}
    draw = partial(bar_chart, values, heading=heading)
    return Analysis(rows, draw, f"Bars of the {heading} of the layers of {model}.")
