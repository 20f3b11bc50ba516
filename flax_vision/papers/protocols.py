"""Tests trained runs under several protocols."""

from collections.abc import Mapping, Sequence
from functools import partial

from flax_vision.evaluation.evaluate import evaluate
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.papers.figures import bar_chart
from flax_vision.papers.measures import PAPER, TEST_ERROR

_CROPS = "crops"


def analyze(
    experiment: Experiment,
    runs: Sequence[Run],
    protocols: Sequence[str],
    flip_key: str = "augmentation.flip",
) -> Analysis:
    """Returns the test error of each run under each protocol.

    Mirror images are left out for models that were trained without them.

    Args:
      experiment: Experiment whose paper numbers are under `TEST_ERROR`, by row name.
      runs: Finished runs.
      protocols: Names for `evaluate`.
      flip_key: Configuration key that tells whether a model was trained with mirror images.
    """
    errors: dict[str, list[float]] = {}
    crops: dict[str, int] = {}
    for run in runs:
        for protocol in protocols:
            name = f"{run.label}, {protocol}"
            result = evaluate(run.path, protocol=protocol, flip=bool(run.config[flip_key]))
            errors.setdefault(name, []).append(100 * (1 - result.top1))
            crops[name] = result.crops
    return _analysis(experiment.paper.get(TEST_ERROR, {}), errors, crops)


def _analysis(
    paper: Mapping[str, float], errors: Mapping[str, Sequence[float]], crops: Mapping[str, int]
) -> Analysis:
    rows: list[Row] = [
        {
            "setting": name,
            _CROPS: crops[name],
            TEST_ERROR: list(numbers),
            f"{TEST_ERROR}, {PAPER}": paper.get(name),
        }
        for name, numbers in errors.items()
    ]
    return Analysis(rows, partial(bar_chart, errors), f"Bars of the test errors of {list(errors)}.")
