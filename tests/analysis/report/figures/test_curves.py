import numpy as np
import pytest

from flax_vision.analysis.report.figures import curves
from flax_vision.analysis.report.figures.drawing import DARK

RECORDS = [
    {"epoch": 1, "train/loss": 100.0, "train/top1": 0.5, "learning_rate": 0.1},
    {"epoch": 2, "train/loss": 10.0, "train/top1": 0.75, "learning_rate": 0.1},
    {"epoch": 3, "train/loss": 1.0, "train/top1": 0.875, "learning_rate": 0.01},
    {"epoch": 4, "train/loss": 1.0, "train/top1": 0.875, "learning_rate": 0.01},
    {"best_epoch": 3, "test/top1": 0.8},
]
VALIDATED = [
    record | {"validation/loss": 2.0, "validation/top1": 0.25} if "epoch" in record else record
    for record in RECORDS
]


def drawn(picture):
    return {line.get_label(): line.get_xydata().tolist() for line in picture.axes[0].lines}


def test_curves_are_those_of_the_records():
    found = drawn(curves.accuracy(VALIDATED))
    assert found["training"] == [[1, 0.5], [2, 0.75], [3, 0.875], [4, 0.875]]
    assert found["validation"] == [[epoch, 0.25] for epoch in (1, 2, 3, 4)]
    assert [x for x, _ in found["best epoch"]] == [3, 3]


def test_without_validation_there_is_no_curve_of_it():
    assert set(drawn(curves.loss(RECORDS))) == {"training", "best epoch"}


def test_tests_during_training_have_a_curve():
    tested = [VALIDATED[0], VALIDATED[1] | {"test/top1": 0.3}, *VALIDATED[2:]]
    assert drawn(curves.accuracy(tested))["test"] == [[2, 0.3]]
    (axes,) = curves.accuracy({"a": tested}).axes
    styles = {line.get_label(): line.get_linestyle() for line in axes.lines}
    assert (styles["training"], styles["test"], styles["validation"]) == ("--", ":", "-")


@pytest.mark.parametrize(("losses", "scale"), [((100.0, 1.0), "log"), ((40.0, 1.0), "linear")])
def test_a_loss_that_falls_far_has_a_logarithmic_axis(losses, scale):
    records = [{"epoch": i, "train/loss": loss} for i, loss in enumerate(losses, 1)]
    assert curves.loss(records).axes[0].get_yscale() == scale


def test_rates_that_drop_to_a_share_have_a_logarithmic_axis():
    assert curves.learning_rate(RECORDS).axes[0].get_yscale() == "log"
    smooth = [{"epoch": i, "learning_rate": 1 / i} for i in range(1, 9)]
    assert curves.learning_rate(smooth).axes[0].get_yscale() == "linear"


def test_theme_is_that_of_the_picture():
    assert curves.loss(RECORDS, DARK).get_facecolor() != curves.loss(RECORDS).get_facecolor()


def ticks(axis):
    least, greatest = axis.get_view_interval()
    return [place for place in axis.get_majorticklocs() if least <= place <= greatest]


def test_a_single_epoch_has_an_axis_with_that_epoch():
    for draw in (curves.loss, curves.accuracy, curves.learning_rate):
        (axes,) = draw(VALIDATED[:1]).axes
        assert ticks(axes.xaxis) == [1]


def test_a_rate_that_stays_is_beside_zero():
    (axes,) = curves.learning_rate(RECORDS[:2]).axes
    assert axes.get_ylim() == (0, 0.2)
    assert ticks(axes.xaxis) == [1, 2]
    assert curves.learning_rate([{"epoch": 1, "learning_rate": 0.0}]).axes[0].get_ylim() == (0, 1)


def test_several_runs_have_a_color_and_a_mark_each():
    unfinished = [{"epoch": 1, "train/top1": 0.25}, {"epoch": 2, "train/top1": 0.375}]
    (axes,) = curves.accuracy({"runs/a": VALIDATED, "runs/b": unfinished, "new": []}).axes
    lines = [(x.get_color(), x.get_linestyle(), x.get_marker()) for x in axes.lines]
    assert len({color for color, *_ in lines}) == 4  # those of the runs, and the legend's
    assert lines[0][1:] == ("--", "None")
    assert lines[1][1:] == ("-", "None")
    drawn_lines = [line.get_xydata().tolist() for line in axes.lines]
    assert drawn_lines[1] == [[epoch, 0.25] for epoch in (1, 2, 3, 4)]
    marks = {x.get_label(): (x.get_marker(), x.get_xydata().tolist()) for x in axes.lines}
    assert marks["runs/a"] == ("o", [[3, 0.25]])
    assert marks["runs/b (unfinished)"] == ("x", [[2, 0.375]])
    assert marks["new (unfinished)"] == ("x", [])


def test_many_runs_have_different_colors():
    (axes,) = curves.accuracy({f"runs/{i}": VALIDATED for i in range(12)}).axes
    assert len({line.get_color() for line in axes.lines}) == 13


def test_setting_has_its_mean_and_the_range_of_its_seeds():
    runs = [[{"epoch": i, "validation/top1": x + i / 8} for i in (1, 2)] for x in (0.25, 0.5)]
    picture = curves.settings({"a": runs, "b": runs[:1]}, "top1")
    (axes,) = picture.axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.625]]
    band, alone = (np.unique(x.get_paths()[0].vertices, axis=0) for x in axes.collections)
    assert band.tolist() == [[1, 0.375], [1, 0.625], [2, 0.5], [2, 0.75]]
    assert alone.tolist() == [[1, 0.375], [2, 0.5]]
    titles = [text.get_text() for text in picture.legends[0].get_texts()]
    assert titles == ["a (2 runs)", "b (1 run)", "validation"]


def test_mean_is_that_of_the_epochs_that_all_seeds_have():
    runs = [[{"epoch": i, "train/loss": 1.0} for i in range(1, n)] for n in (3, 4)]
    (axes,) = curves.settings({"a": runs}, "loss").axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 1], [2, 1]]


def test_setting_without_a_split_of_the_others():
    tested = [{"epoch": 1, "validation/top1": 0.5, "test/top1": 0.25}]
    groups = {"a": [tested], "b": [[{"epoch": 1, "validation/top1": 0.5}]], "c": [[]]}
    (axes,) = curves.settings(groups, "top1").axes
    assert [line.get_xydata().tolist() for line in axes.lines[:2]] == [[[1, 0.25]], [[1, 0.5]]]
