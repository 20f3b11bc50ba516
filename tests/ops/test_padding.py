import pytest

from flax_vision.ops.padding import output_size, padding_pairs

# Padding, size, window, stride, what is padded before and after.
CASES = [
    (2, 224, 11, 4, (2, 2)),
    ("VALID", 55, 3, 2, (0, 0)),
    # GoogLeNet, figure 3.
    ("SAME", 224, 7, 2, (2, 3)),
    ("SAME", 225, 7, 2, (3, 3)),
    ("SAME", 112, 3, 2, (0, 1)),
    ("SAME", 57, 3, 2, (1, 1)),
    ("SAME", 28, 3, 1, (1, 1)),
    ("SAME", 1, 3, 2, (1, 1)),
    ("SAME", 9, 1, 4, (0, 0)),
    # Caffe's pooling.
    ("CEIL", 112, 3, 2, (0, 1)),
    ("CEIL", 57, 3, 2, (0, 0)),
    ("CEIL", 2, 3, 2, (0, 1)),
    ("CEIL", 14, 2, 2, (0, 0)),
    ("CEIL", 7, 2, 2, (0, 1)),
]


@pytest.mark.parametrize(("padding", "size", "window", "stride", "pair"), CASES)
def test_pairs(padding, size, window, stride, pair):
    shape, square = (1, size, size, 3), (window, window)
    assert padding_pairs(padding, shape, square, stride) == (pair, pair)


def test_each_side_has_its_own_padding():
    assert padding_pairs("SAME", (1, 224, 225, 3), (7, 7), 2) == ((2, 3), (3, 3))
    assert padding_pairs(((0, 3), (1, 2)), (1, 8, 8, 1), (3, 3), 1) == ((0, 3), (1, 2))


def test_padding_that_does_not_exist():
    with pytest.raises(ValueError, match="padding is 'same'; it must be"):
        padding_pairs("same", (1, 8, 8, 1), (3, 3), 1)


def test_output_size():
    assert output_size(224, 11, 4, (0, 3)) == 55
    assert output_size(227, 11, 4, (0, 3)) == output_size(227, 11, 4, (0, 0)) == 55
    # What the shape alone would get wrong.
    assert output_size(224, 11, 4, (3, 4)) == 56
