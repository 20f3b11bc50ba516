from functools import partial

import numpy as np
import pytest
from fake_runs import fake_run

from flax_vision.analysis.report.figures.drawing import DARK
from flax_vision.papers import figures
from flax_vision.papers.figures import bar_chart, error_curves, errors_by_size

RUNS = [fake_run("a", [40.0, 20.0]), fake_run("a", [20.0, 10.0], 1), fake_run("b", [60.0, 30.0])]


def lines(picture):
    return {line.get_label(): line.get_data() for line in picture.axes[0].lines}


def test_curves_are_means_over_seeds():
    drawn = lines(error_curves(RUNS))
    assert list(drawn) == ["a, training", "a, test", "b, training", "b, test"]
    np.testing.assert_allclose(drawn["a, test"], [[1, 2], [30, 15]])
    np.testing.assert_allclose(drawn["b, training"], [[1, 2], [30, 15]])


def test_curves_by_iteration_of_one_split():
    picture = error_curves(RUNS, DARK, splits=("train",), by="step", styles={"a": "-", "b": "--"})
    drawn = lines(picture)
    np.testing.assert_allclose(drawn["a"], [[10, 20], [15, 7.5]])
    assert [line.get_linestyle() for line in picture.axes[0].lines] == ["-", "--"]
    assert picture.axes[0].get_xlabel() == "iteration"


def test_errors_by_size(monkeypatch):
    monkeypatch.setattr(figures, "training_images", lambda runs: [100, 100, 400])
    drawn = lines(errors_by_size(RUNS, groups={"a": "plain", "b": "plain"}))
    np.testing.assert_allclose(drawn["test, plain"], [[100, 400], [15, 30]])
    np.testing.assert_allclose(drawn["training, plain"], [[100, 400], [7.5, 15]])


def test_bars():
    picture = bar_chart({"a": [1.0, 3.0], "b": [float("nan")]}, heading="epochs")
    assert [bar.get_width() for bar in picture.axes[0].patches] == [2, 0]
    assert [text.get_text() for text in picture.axes[0].texts] == [" 2", " not reached"]
    assert picture.axes[0].get_xlabel() == "epochs"


@pytest.mark.parametrize("draw", [error_curves, figures.bars])
def test_figures_are_png_files(draw):
    assert partial(draw, RUNS)(theme=DARK).png().startswith(b"\x89PNG")
