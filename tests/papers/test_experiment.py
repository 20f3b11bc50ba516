import pytest

from flax_vision.papers.experiment import FULL, REDUCED, SMOKE, Training
from flax_vision.papers.experiments import EXPERIMENTS
from flax_vision.papers.measures import compare
from flax_vision.papers.runs import ExperimentOptions, make_config

TRAINING = Training(
    "t",
    "lenet5",
    {"a": {}, "b": {"epochs": 7}},
    full="mnist",
    reduced={"epochs": 2, "batch_size": 8},
    smoke={"epochs": 1},
    full_settings={"b": {"epochs": 70}},
)
ALL = {f"{p} {i}": x for p, items in EXPERIMENTS.items() for i, x in items.items()}
TRAINED = {name: x for name, x in ALL.items() if x.training}


def test_overrides_of_sizes():
    assert TRAINING.overrides(SMOKE) == {"epochs": 1, "batch_size": 8}
    assert TRAINING.overrides(REDUCED) == {"epochs": 2, "batch_size": 8}
    assert TRAINING.overrides(FULL) == {}
    assert TRAINING.own_settings("b", REDUCED) == {"epochs": 7}
    assert TRAINING.own_settings("b", FULL) == {"epochs": 70}


@pytest.mark.parametrize(
    ("size", "data", "spec"),
    [
        (REDUCED, "", "lenet5"),
        (SMOKE, "mnist_5k", "lenet5"),
        (REDUCED, "fashion_mnist", "lenet5:fashion_mnist"),
        (REDUCED, "imagenet2012", "lenet5:imagenet"),
        (FULL, "", "lenet5:mnist"),
        (FULL, "mnist_5k", "lenet5"),
        (FULL, "cifar10", "lenet5:cifar10"),
    ],
)
def test_recipes_of_datasets(size, data, spec):
    assert TRAINING.spec(size, data) == spec


def test_names_of_directories():
    assert ExperimentOptions(FULL, "cifar10").name("t") == "t-cifar10-full"
    assert ExperimentOptions().name("t") == "t"


def test_seeds():
    assert list(ExperimentOptions().seeds_of(Training("t", "lenet5", {}, "mnist", seeds=3))) == [
        0,
        1,
        2,
    ]
    assert list(ExperimentOptions(seeds=(5,)).seeds_of(TRAINING)) == [5]
    assert list(
        ExperimentOptions(FULL).seeds_of(Training("t", "lenet5", {}, "mnist", seeds=3))
    ) == [0]


@pytest.mark.parametrize("name", TRAINED)
def test_settings_exist(name):
    experiment = TRAINED[name]
    for size in (SMOKE, REDUCED):
        for label in experiment.chosen_labels(size):
            assert label in experiment.training.settings
    for numbers in experiment.paper.values():
        for row in numbers:
            assert row.split(", ")[0] in experiment.training.settings or row in numbers


@pytest.mark.parametrize("name", TRAINED)
def test_tables_have_columns_and_a_figure(name):
    experiment = TRAINED[name]
    if experiment.analyze is compare:
        assert experiment.columns
        assert experiment.draw is not None
        assert experiment.paper.keys() <= experiment.columns.keys()


TRAININGS = {x.training.name: x.training for x in TRAINED.values()}
SETTINGS = [(name, label) for name, x in TRAININGS.items() for label in x.settings]


@pytest.mark.parametrize("name", TRAININGS)
def test_configurations_of_first_settings_are_valid(name):
    config = make_config(TRAININGS[name], next(iter(TRAININGS[name].settings)), ExperimentOptions())
    assert not config.write_report


@pytest.mark.slow
@pytest.mark.parametrize(("name", "label"), SETTINGS)
def test_configurations_are_valid(name, label):
    for size in (SMOKE, FULL):
        config = make_config(TRAININGS[name], label, ExperimentOptions(size))
        assert not config.write_report
        assert config.epochs == 1 or size != SMOKE
