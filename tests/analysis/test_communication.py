"""What devices send each other, against what follows from the papers' tables."""

from functools import partial

import pytest

import flax_vision as fv
from flax_vision.analysis.communication import LayerBytes, compare_with_data_parallel, table
from flax_vision.errors import UserError
from flax_vision.models.alexnet import AlexNet
from flax_vision.models.summary import Row, summarize

pytestmark = pytest.mark.slow

FLOAT = 4
BATCH = 2


def tables_of(name, axes, image_shape, batch_size=BATCH):
    create = partial(fv.create_model, name)
    layers = summarize(create(), image_shape)
    tables = compare_with_data_parallel(create, axes, layers, image_shape, batch_size)
    of_rows = {mesh: {row["layer"]: row for row in rows} for mesh, rows in tables.items()}
    return of_rows, {row.layer: row.parameters * FLOAT for row in layers if row.parameters}


@pytest.fixture(scope="module")
def alexnet():
    return tables_of("alexnet", {"column": 2}, (224, 224, 3))


def column(rows, heading):
    return {layer: row[heading] for layer, row in rows.items() if row[heading]}


def test_columns_send_what_figure_2_implies(alexnet):
    rows = alexnet[0]["column=2"]
    maps = {"conv3": 13 * 13 * 128, "fc6": 6 * 6 * 128, "fc7": 2048, "fc8": 2048}
    sent = {layer: numbers * FLOAT for layer, numbers in maps.items()}
    assert column(rows, "forward, an image") == sent | {"total": sum(sent.values())}
    del sent["fc8"]  # which every device computes in whole
    assert column(rows, "backward, an image") == sent | {"total": sum(sent.values())}
    for heading in ("forward", "backward"):
        assert column(rows, f"{heading}, bytes") == {
            layer: BATCH * size for layer, size in column(rows, f"{heading}, an image").items()
        }


def test_each_device_has_the_parameters_of_its_column(alexnet):
    tables, whole = alexnet
    shares = {layer: 2 if layer in AlexNet.column_layers else 1 for layer in whole}
    half = {layer: size // shares[layer] for layer, size in whole.items()}
    assert column(tables["column=2"], "parameters, bytes") == half | {"total": sum(half.values())}
    everything = whole | {"total": sum(whole.values())}
    assert column(tables["data=2"], "parameters, bytes") == everything


def test_devices_that_share_a_batch_send_their_gradients_alone(alexnet):
    tables, whole = alexnet
    rows = tables["data=2"]
    assert column(rows, "backward, bytes") == whole | {"total": sum(whole.values())}
    assert not column(rows, "forward, bytes")


def test_batch_normalization_sums_over_all_devices():
    """Two sums of each channel, forwards and backwards; blocks are added up by their row."""
    tables, whole = tables_of("resnet20", {"data": 2}, (32, 32, 3))
    assert list(tables) == ["data=2"]
    rows = tables["data=2"]
    channels = {"bn1": 16, "conv2_x": 6 * 16, "conv3_x": 6 * 32, "conv4_x": 6 * 64}
    sums = {layer: 2 * FLOAT * number for layer, number in channels.items()}
    assert column(rows, "forward, bytes") == sums | {"total": sum(sums.values())}
    assert column(rows, "backward, bytes") == whole | {"total": sum(whole.values())}


def test_bytes_that_are_sent_outside_of_the_layers_are_shown():
    rows = [Row("a", (), (), 1, 0, ("a_1", "a_2")), Row("pool", (), (), 0, 0, ("pool",))]
    sizes = {
        "a_1": LayerBytes(4, 0, 8),
        "a_2": LayerBytes(4, 8, 0),
        "elsewhere": LayerBytes(0, 3, 0),
    }
    shown = table(rows, sizes, 2)
    assert [tuple(row.values()) for row in shown] == [
        ("a", 8, 8, 8, 4, 4),
        ("elsewhere", 0, 3, 0, 2, 0),
        ("total", 8, 11, 8, 6, 4),
    ]


@pytest.mark.parametrize(
    ("name", "axes", "batch_size", "message"),
    [
        ("lenet5", {"column": 2}, 2, "lenet5 has no columns"),
        ("lenet5", {"data": 2}, 3, "a batch of 3 images cannot be divided over 2 devices"),
        ("alexnet", {"column": 2}, 3, "a batch of 3 images cannot be divided over 2 devices"),
        ("lenet5", {"data": 64}, 64, "a mesh of data 64 x column 1 needs 64 devices"),
    ],
)
def test_mistakes(name, axes, batch_size, message):
    with pytest.raises(UserError, match=message):
        compare_with_data_parallel(
            partial(fv.create_model, name), axes, [], (32, 32, 1), batch_size
        )
