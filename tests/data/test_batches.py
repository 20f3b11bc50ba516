import numpy as np
import pytest

from flax_vision.data.batches import (
    Batch,
    epoch_order,
    evaluation_batches,
    sample_batch,
    training_batches,
)


def test_order_is_a_permutation_that_seed_and_epoch_decide():
    order = epoch_order(1000, seed=3, epoch=5)
    assert sorted(order.tolist()) == list(range(1000))
    np.testing.assert_array_equal(order, epoch_order(1000, seed=3, epoch=5))
    for other in (epoch_order(1000, 3, 6), epoch_order(1000, 4, 5), epoch_order(1000, 5, 3)):
        assert (order != other).mean() > 0.9


def test_training_batches_follow_the_order(digits):
    order = epoch_order(40, seed=1, epoch=2)
    batches = list(training_batches(digits, 16, seed=1, epoch=2))
    assert len(batches) == 2
    for batch, indices in zip(batches, (order[:16], order[16:32]), strict=True):
        np.testing.assert_array_equal(batch.images, digits.images[indices])
        np.testing.assert_array_equal(batch.labels, digits.labels[indices])
        assert batch.mask.all()


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_training_batches_go_on_in_the_middle_of_an_epoch(digits, start):
    everything = list(training_batches(digits, 10, seed=0, epoch=0))
    rest = list(training_batches(digits, 10, seed=0, epoch=0, start=start))
    assert len(rest) == 4 - start
    for batch, same in zip(rest, everything[start:], strict=True):
        np.testing.assert_array_equal(batch.images, same.images)


@pytest.mark.parametrize("batch_size", [1, 7, 16, 39, 40, 41, 100])
def test_evaluation_counts_every_image_once(digits, batch_size):
    batches = list(evaluation_batches(digits, batch_size))
    assert {len(batch.images) for batch in batches} == {batch_size}
    counted = np.concatenate([batch.images[batch.mask] for batch in batches])
    np.testing.assert_array_equal(counted, digits.images)
    labels = np.concatenate([batch.labels[batch.mask] for batch in batches])
    np.testing.assert_array_equal(labels, digits.labels)


def test_indices_are_positions_in_the_dataset(digits):
    (batch,) = training_batches(digits, 40, seed=3, epoch=0)
    assert batch.indices.dtype == np.int32
    np.testing.assert_array_equal(digits.images[batch.indices], batch.images)


def test_sample_batch_has_the_first_images_of_an_epoch(digits):
    chosen = sample_batch(digits, 7, seed=1, epoch=2)
    np.testing.assert_array_equal(chosen.indices, epoch_order(40, seed=1, epoch=2)[:7])
    np.testing.assert_array_equal(chosen.labels, digits.labels[chosen.indices])
    assert len(sample_batch(digits, 500, seed=1, epoch=2).labels) == 40


@pytest.mark.parametrize("start", [0, 3])
def test_stacked_batches_are_the_same_in_the_same_order(digits, start):
    apart = list(training_batches(digits, 4, seed=0, epoch=0, start=start))
    groups = list(training_batches(digits, 4, seed=0, epoch=0, start=start, steps_per_call=4))
    assert [len(group.labels) for group in groups] == ([4, 4, 2] if start == 0 else [4, 3])
    for name in Batch._fields:
        together = np.concatenate([getattr(group, name) for group in groups])
        np.testing.assert_array_equal(together, np.stack([getattr(x, name) for x in apart]))
