from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.batches import evaluation_batches
from flax_vision.evaluation.metrics import Totals, confusion_matrix, confusion_table, sum_batches

LABELS = np.array([0, 0, 0, 1, 2, 2], np.int32)
PREDICTED = np.array([0, 1, 1, 1, 0, 2], np.int32)
MATRIX = [[1, 2, 0], [0, 1, 0], [1, 0, 1]]


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
def test_equal_or_infinite_outputs_are_all_wrong(value):
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


@jax.jit
def eval_step(variables, batch):
    pixels = batch.images.reshape(len(batch.labels), -1)[:, :4]
    logits = jnp.asarray(pixels, jnp.float32) * variables
    losses = jax.nn.logsumexp(logits / 255, axis=1)
    return Totals.of_batch(losses, logits, batch.labels, batch.mask)


@pytest.mark.parametrize("batch_size", [1, 7, 16, 40, 64])
def test_averages_do_not_depend_on_the_batch_size(digits, batch_size):
    totals = sum_batches(eval_step, jnp.float32(1), evaluation_batches(digits, batch_size))
    result = totals.averages()
    pixels = digits.images.reshape(40, -1)[:, :4].astype(int)
    correct = pixels[np.arange(40), digits.labels]
    larger = (pixels >= correct[:, None]).sum(axis=1) - 1
    assert result["top1"] == (larger == 0).mean()
    assert result["top5"] == 1
    losses = np.log(np.exp(pixels / 255).sum(axis=1))
    assert result["loss"] == pytest.approx(losses.mean(), rel=1e-6)


def test_poll_can_stop_early(digits):
    poll = Mock(side_effect=[None, None, InterruptedError])
    with pytest.raises(InterruptedError):
        sum_batches(eval_step, jnp.float32(1), evaluation_batches(digits, 10), poll)
    assert poll.call_count == 3


def test_rows_are_the_true_classes():
    np.testing.assert_array_equal(confusion_matrix(LABELS, PREDICTED, 3), MATRIX)


def test_table_of_few_classes_is_the_whole_matrix():
    rows = confusion_table(np.array(MATRIX), ["0", "cat", "2"])
    assert rows[0] == {"class": "0", "as 0": 1, "as 1": 2, "as 2": 0}
    assert rows[1]["class"] == "1 cat"


def test_table_of_many_classes_has_the_most_frequent_confusions():
    matrix = np.diag(np.full(30, 8))
    matrix[3, 4], matrix[5, 29] = 2, 1
    rows = confusion_table(matrix, [f"n{i}" for i in range(30)])
    assert rows == [
        {"class": "n3", "predicted": "n4", "images": 2, "of its images, %": 20.0},
        {"class": "n5", "predicted": "n29", "images": 1, "of its images, %": 100 / 9},
    ]


def test_table_has_at_most_twenty_rows():
    assert len(confusion_table(np.ones((30, 30), int), [str(i) for i in range(30)])) == 20


def test_table_without_confusions_is_empty():
    assert confusion_table(np.diag(np.ones(30, int)), [str(i) for i in range(30)]) == []
