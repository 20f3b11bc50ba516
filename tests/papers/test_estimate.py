import pytest

from flax_vision.papers.estimate import estimate_seconds
from flax_vision.papers.experiment import FULL, Experiment, Training
from flax_vision.papers.experiments import EXPERIMENTS
from flax_vision.papers.measures import compare
from flax_vision.papers.runs import ExperimentOptions

REDUCED_ITEMS = [(p, i) for p, items in EXPERIMENTS.items() for i, x in items.items() if x.training]


def experiment(**overrides):
    return Experiment(compare, Training("t", "lenet5", {"a": overrides}, full="mnist"))


def test_estimate_grows_with_epochs_images_and_seeds():
    one = estimate_seconds(experiment(epochs=1), ExperimentOptions())
    two = estimate_seconds(experiment(epochs=2), ExperimentOptions())
    assert estimate_seconds(experiment(epochs=3), ExperimentOptions()) == pytest.approx(
        2 * two - one
    )
    assert estimate_seconds(experiment(epochs=1), ExperimentOptions(seeds=(0, 1))) == 2 * one
    few = experiment(epochs=1, **{"data.limit": 180})
    assert estimate_seconds(few, ExperimentOptions()) == pytest.approx(one - (two - one) / 2)
    assert estimate_seconds(experiment(epochs=1), ExperimentOptions(FULL)) > one


def test_no_training_takes_no_time():
    assert estimate_seconds(Experiment(compare), ExperimentOptions()) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("paper", "item"), REDUCED_ITEMS)
def test_default_takes_at_most_twenty_minutes(paper, item):
    assert 0 < estimate_seconds(EXPERIMENTS[paper][item], ExperimentOptions()) < 20 * 60
