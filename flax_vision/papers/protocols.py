"""Evaluates finished runs under several protocols, each alone and averaged."""

from collections.abc import Sequence
from functools import partial

from flax_vision.evaluation.ensemble import evaluate_ensemble
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.papers.figures import bar_chart
from flax_vision.papers.measures import PAPER, TEST_ERROR

_FLIP = "augmentation.flip"


def compare_protocols(
    experiment: Experiment,
    runs: Sequence[Run],
    protocols: Sequence[str],
    averages_protocols: bool = False,
    averages_models: bool = False,
) -> Analysis:
    """Returns the test error of each run under each protocol.

    Mirror images are left out for models that were trained without them.

    Args:
      experiment: Experiment whose paper numbers are under `TEST_ERROR`, by row name.
      runs: Finished runs.
      protocols: Names for `evaluate`.
      averages_protocols: Whether to add the mean posteriors over all protocols (VGG, table 5).
      averages_models: Whether to add the mean posteriors over all seeds of a setting (GoogLeNet,
        table 3).
    """
    errors: dict[str, list[float]] = {}
    crops: dict[str, int] = {}
    for run in runs:
        for protocol in protocols:
            name = f"{run.label}, {protocol}"
            result = evaluate(run.path, protocol=protocol, flip=_is_flipped(run))
            errors.setdefault(name, []).append(100 * (1 - result.top1))
            crops[name] = result.crops
        if averages_protocols:
            name = f"{run.label}, {' and '.join(protocols)}"
            errors.setdefault(name, []).append(_ensemble_error([run], protocols))
    for label in dict.fromkeys(run.label for run in runs):
        own = [run for run in runs if run.label == label]
        for protocol in protocols if averages_models and len(own) > 1 else ():
            errors[f"{label}, {protocol}, {len(own)} models"] = [_ensemble_error(own, [protocol])]
    paper = experiment.paper.get(TEST_ERROR, {})
    rows: list[Row] = [
        {
            "setting": name,
            "crops": crops.get(name),
            TEST_ERROR: numbers,
            f"{TEST_ERROR}, {PAPER}": paper.get(name),
        }
        for name, numbers in errors.items()
    ]
    text = f"Bars of the test errors of {'; '.join(errors)}."
    return Analysis(rows, partial(bar_chart, errors), text)


def _is_flipped(run: Run) -> bool:
    return bool(run.config[_FLIP])


def _ensemble_error(runs: Sequence[Run], protocols: Sequence[str]) -> float:
    """Returns the test error of the mean posteriors in percent."""
    paths = [run.path for run in runs]
    result = evaluate_ensemble(paths, protocols=protocols, flip=_is_flipped(runs[0]))
    return 100 * (1 - result.average.top1)
