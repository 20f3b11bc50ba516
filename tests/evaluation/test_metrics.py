import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.evaluation.metrics import Totals


def totals(logits, labels, mask=None):
    logits = jnp.asarray(logits, jnp.float32)
    mask = np.ones(len(labels), bool) if mask is None else np.array(mask)
    losses = jnp.arange(1.0, len(labels) + 1)
    return Totals.of_batch(losses, logits, np.array(labels, np.int32), mask)


def test_sums_of_a_batch():
    logits = [[5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0]]
    result = totals(logits, [0, 4, 5])
    assert (int(result.top1), int(result.top5), int(result.count)) == (1, 2, 3)
    assert float(result.loss) == 6


def test_masked_images_do_not_count():
    result = totals([[1, 0], [1, 0], [1, 0]], [0, 0, 1], mask=[True, False, True])
    assert (int(result.top1), int(result.count), float(result.loss)) == (1, 2, 4)


def test_masked_losses_may_be_anything():
    logits = jnp.zeros((2, 2))
    losses = jnp.array([1.0, jnp.nan])
    mask = np.array([True, False])
    assert float(Totals.of_batch(losses, logits, np.zeros(2, np.int32), mask).loss) == 1


@pytest.mark.parametrize("value", [0.0, jnp.nan, jnp.inf])
def test_equal_or_broken_outputs_have_nothing_right(value):
    result = totals(np.full((4, 10), value), [0, 3, 5, 9])
    assert (int(result.top1), int(result.top5)) == (0, 0)


def test_fewer_than_five_classes():
    assert int(totals([[0, 1, 2]], [0]).top5) == 1


def test_averages_of_added_batches():
    both = totals([[1, 0]], [0]) + totals([[1, 0], [1, 0]], [1, 1])
    assert both.averages() == pytest.approx({"loss": 4 / 3, "top1": 1 / 3, "top5": 1.0})


def test_no_images_have_no_average():
    with pytest.raises(ValueError, match="no images"):
        Totals.zero().averages()
