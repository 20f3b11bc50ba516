import pytest
from abstract import rows_of

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models.summary import Row, summarize, totals


def test_rows_of_lenet():
    rows = rows_of("lenet5")
    assert list(rows) == ["C1", "S2", "C3", "S4", "C5", "F6", "OUT"]
    assert rows["C1"] == Row("C1", ("5x5 6",), (28, 28, 6), 156, 117_600, ("C1",))
    # 60 links of table I, each of 5x5 weights at 10x10 positions.
    assert rows["C3"] == Row("C3", ("5x5 16",), (10, 10, 16), 1_516, 150_000, ("C3",))
    assert rows["F6"] == Row("F6", ("84",), (84,), 10_164, 10_080, ("F6",))


def test_layers_without_parameters_are_rows():
    rows = rows_of("alexnet")
    assert rows["max pool"].kernels == ("3x3/2",)
    assert rows["local response norm"].parameters == 0
    assert rows["dropout"].kernels == ("50%",)


def test_blocks_of_a_stage_are_a_row():
    row = rows_of("resnet50")["conv3_x"]
    assert row.modules == ("conv3_1", "conv3_2", "conv3_3", "conv3_4")
    assert row.kernels == (
        "1x1/2 128, 3x3 128, 1x1 512, shortcut 1x1/2 512",
        "[1x1 128, 3x3 128, 1x1 512] x 3",
    )
    assert row.output == (28, 28, 512)


def test_a_layer_that_extends_another_counts_once():
    assert rows_of("resnet50")["bn1"].parameters == 128


@pytest.mark.slow
def test_inception_module_is_a_row():
    assert rows_of("googlenet")["inception_3a"].kernels == (
        "1x1 64, 1x1 96, 3x3 128, 1x1 16, 5x5 32, max pool 3x3, 1x1 32",
    )


def test_totals():
    rows = list(rows_of("googlenet").values())
    total, main = totals(rows)
    assert (total.layer, total.parameters) == ("total", 13_378_280)
    assert (main.layer, main.parameters) == ("without auxiliary heads", 6_998_552)
    assert main.multiply_adds == 1_582_671_872
    assert [row.layer for row in totals(list(rows_of("resnet18").values()))] == ["total"]


def test_error_for_images():
    with pytest.raises(UserError, match="at least 32x32"):
        summarize(fv.create_model("vgg16"), (31, 31, 3))
