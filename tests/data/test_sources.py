import pytest

from flax_vision.data.sources import load_parts
from flax_vision.errors import UserError


def ignore(what, done, total):
    """No one is watching."""


@pytest.mark.parametrize(("fraction", "sizes"), [(0.0, (4000, 0)), (0.05, (3800, 200))])
def test_validation_comes_out_of_the_training_set(fraction, sizes):
    parts = load_parts("mnist_5k", "", fraction, ignore)
    assert (len(parts.train), len(parts.validation)) == sizes
    assert len(parts.test) == 1000


@pytest.mark.parametrize("fraction", [0.0001, 0.9999])
def test_parts_that_would_be_empty(fraction):
    with pytest.raises(UserError, match=f"validation is {fraction}.*into"):
        load_parts("mnist_5k", "", fraction, ignore)
