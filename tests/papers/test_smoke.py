"""Experiments at smoke size, with LeNet-5 and ResNet: the other models compile for minutes."""

import json

import pytest

from flax_vision.papers.catalog import PAPERS, find_item
from flax_vision.papers.experiment import SMOKE
from flax_vision.papers.experiments import EXPERIMENTS
from flax_vision.papers.outcome import directory, read_outcome, run_experiment
from flax_vision.papers.runs import ExperimentOptions

NAMES = [(paper, item) for paper in ("lenet5", "resnet") for item in EXPERIMENTS[paper]]
PNG = b"\x89PNG"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("full_optimization", "quick_generator"),
]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A directory that the experiments share, with their runs."""
    return tmp_path_factory.mktemp("papers")


@pytest.mark.parametrize(("paper", "item"), NAMES)
def test_smoke(paper, item, workdir):
    options = ExperimentOptions(SMOKE, workdir=workdir)
    experiment = EXPERIMENTS[paper][item]
    paper = PAPERS[paper]
    item = find_item(paper, item)
    outcome, _ = run_experiment(paper, item, experiment, options)
    labels = experiment.chosen_labels(SMOKE)
    assert outcome.rows
    if labels:
        assert outcome.train_seconds > 0
        assert "1 seed" in outcome.reduced
    folder = directory(paper, item, options)
    for name in outcome.pictures:
        assert (folder / name).read_bytes().startswith(PNG)
    json.dumps(outcome.rows, allow_nan=False)
    read = read_outcome(paper, item, options)
    assert read is not None
    assert read.command == f"flax-vision paper {paper.name} {item.name} --smoke"
