import pytest
from written_runs import EPOCHS, RESULT, write_run

from flax_vision.errors import UserError
from flax_vision.papers.experiment import FULL, Experiment, Training
from flax_vision.papers.measures import compare, training_images
from flax_vision.papers.runs import ExperimentOptions, common_overrides, read_run, reductions, train
from flax_vision.training.sweep import SweepObserver

TRAINING = Training(
    "t",
    "lenet5",
    {"a": {}, "b": {"epochs": 3}},
    full="mnist",
    reduced={"epochs": 2, "schedule.lr": 0.25},
    common={"test_every_epochs": 1},
)
EXPERIMENT = Experiment(compare, TRAINING)


@pytest.fixture
def run(tmp_path):
    return read_run(write_run(tmp_path / "run"), "a", 4)


def test_runs_are_read(run):
    assert (run.label, run.seed) == ("a", 4)
    assert run.result == RESULT
    assert run.records == EPOCHS
    assert run.config["model.name"] == "lenet5_modern"
    assert training_images([run]) == [8]


def test_common_overrides():
    assert common_overrides(TRAINING, ExperimentOptions(tfds_dir="data")) == {
        "epochs": 2,
        "schedule.lr": 0.25,
        "test_every_epochs": 1,
        "write_report": False,
        "data.tfds_dir": "data",
    }


def test_reductions_are_differences_from_the_papers_training(run):
    lines = reductions(EXPERIMENT, ExperimentOptions(), [run])
    assert lines[:2] == ["8 training images", "1 seed"]
    assert {"epochs is 2, not 20", 'data.name is "mnist_5k", not "mnist"'} <= set(lines)
    assert "schedule.lr is 0.25, not 0.001" in lines
    assert not any("test_every_epochs" in line or "write_report" in line for line in lines)


def test_full_size_has_no_reductions(run):
    assert reductions(EXPERIMENT, ExperimentOptions(FULL), [run]) == ["8 training images", "1 seed"]


def test_experiment_without_training():
    experiment = Experiment(compare)
    assert train(experiment, ExperimentOptions()) == []
    assert reductions(experiment, ExperimentOptions(), []) == []


def test_missing_dataset_is_one_error_before_any_run(tmp_path):
    ended = []

    class Observer(SweepObserver):
        def end(self, number, run, error):
            ended.append(number)

    options = ExperimentOptions(FULL, tfds_dir=str(tmp_path / "data"), workdir=tmp_path)
    with pytest.raises(UserError, match="flax-vision prepare mnist") as raised:
        train(EXPERIMENT, options, Observer())
    assert ended == [1]
    assert "--tfds-dir=DIR" in str(raised.value)
    assert "--data=mnist_5k" in str(raised.value)
    assert "--config" not in str(raised.value)
