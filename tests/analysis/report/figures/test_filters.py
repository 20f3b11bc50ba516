import numpy as np
import pytest

from flax_vision.analysis.report.figures.filters import filters, first_kernels
from flax_vision.errors import UserError


def variables(**shapes):
    random = np.random.default_rng(0)
    layers = {name: {"kernel": random.normal(size=shape)} for name, shape in shapes.items()}
    return {"params": layers}


@pytest.mark.parametrize(
    ("shapes", "first"),
    [
        ({"conv1": (7, 7, 3, 64), "conv2": (3, 3, 64, 64)}, "conv1"),
        ({"conv10": (3, 3, 1, 8), "conv2": (3, 3, 1, 8), "fc": (1, 1, 3, 2)}, "conv2"),
        ({"C3": (5, 5, 6, 16), "C1": (5, 5, 1, 6), "F6": (120, 84)}, "C1"),
    ],
)
def test_first_layer_is_found(shapes, first):
    found = variables(**shapes)
    np.testing.assert_allclose(first_kernels(found)[0], found["params"][first]["kernel"], rtol=1e-6)


def test_kernels_stand_in_their_order():
    found = variables(conv1=(3, 3, 3, 20))
    (axes,) = filters(found).axes
    kernel = found["params"]["conv1"]["kernel"][..., 17]
    expected = (kernel - kernel.min()) / (kernel.max() - kernel.min())
    np.testing.assert_allclose(axes.images[17].get_array(), expected, rtol=1e-5)
    places = [image.get_extent() for image in axes.images]
    assert len(places) == 20
    assert places[16][0] == places[0][0]  # sixteen in a row
    assert places[16][3] > places[0][2]


def test_columns_stand_apart_as_in_figure_3():
    (axes,) = filters(variables(conv1=(2, 11, 11, 3, 48))).axes
    assert [text.get_text() for text in axes.texts] == [
        "column a: 48 kernels",
        "column b: 48 kernels",
    ]
    ends, begins = axes.images[47].get_extent()[2], axes.images[48].get_extent()[3]
    assert begins > ends + 0.2


def test_variables_without_a_layer_that_sees_images():
    with pytest.raises(UserError, match="1 or 3 channels"):
        filters(variables(fc=(10, 2)))
