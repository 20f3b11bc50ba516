import math

import pytest
from fake_runs import fake_run

from flax_vision.papers import measures
from flax_vision.papers.experiment import Experiment
from flax_vision.papers.figures import bars


def test_errors_in_percent():
    run = fake_run("a", [40.0, 20.0, 30.0])
    assert measures.test_error(run) == pytest.approx(20)
    assert measures.train_error(run) == pytest.approx(15)


def test_first_epoch_with_the_error():
    run = fake_run("a", [80.0, 60.0, 50.0, 40.0])
    assert measures.epochs_to(run) == 3
    assert measures.epochs_to(run, 20) == 4
    assert math.isnan(measures.epochs_to(run, 1))


def test_rows_have_the_papers_numbers_beside_the_seeds():
    experiment = Experiment(
        measures.compare,
        columns={measures.TEST_ERROR: measures.test_error, "epochs": measures.epochs_to},
        paper={measures.TEST_ERROR: {"b": 8.75}},
        draw=bars,
    )
    runs = [fake_run("a", [90.0], 0), fake_run("a", [70.0], 1), fake_run("b", [40.0], 0)]
    analysis = measures.compare(experiment, runs)
    assert [row["setting"] for row in analysis.rows] == ["a", "b"]
    assert analysis.rows[0][measures.TEST_ERROR] == pytest.approx([90, 70])
    assert [row["test error, %, paper"] for row in analysis.rows] == [None, 8.75]
    assert [row["epochs"] for row in analysis.rows] == [[None, None], [1.0]]
    assert analysis.draw().axes[0].get_xlabel() == measures.TEST_ERROR
