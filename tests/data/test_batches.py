import numpy as np
import pytest

from flax_vision.data.batches import (
    Batch,
    balanced_order,
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


UNBALANCED = np.random.default_rng(0).permutation(np.repeat(np.int32([0, 1, 3]), (70, 25, 5)))
"""Labels of 100 images of three classes; class 2 has none."""


def test_balanced_order_has_each_class_equally_often():
    order = balanced_order(UNBALANCED, seed=3, epoch=5)
    counts = np.bincount(UNBALANCED[order % 100])
    assert len(order) == 100
    assert sorted(counts[[0, 1, 3]].tolist()) == [33, 33, 34]
    np.testing.assert_array_equal(order, balanced_order(UNBALANCED, seed=3, epoch=5))
    for other in ((3, 6), (4, 5), (5, 3)):
        assert (order != balanced_order(UNBALANCED, *other)).mean() > 0.8


def test_balanced_order_uses_the_images_of_a_class_equally_often():
    order = balanced_order(UNBALANCED, seed=0, epoch=0)
    for label, uses in {0: (0, 1), 1: (1, 2), 3: (6, 7)}.items():
        members = np.flatnonzero(label == UNBALANCED)
        assert set(np.bincount(order % 100, minlength=100)[members]) <= set(uses)


def test_balanced_order_numbers_the_uses_of_an_image():
    order = balanced_order(UNBALANCED, seed=0, epoch=0)
    assert len(set(order.tolist())) == 100
    assert order.min() >= 0
    image = np.flatnonzero(UNBALANCED == 3)[0]
    uses = sorted(order[order % 100 == image] // 100)
    assert uses == list(range(len(uses)))


def test_balanced_shares_differ_by_one_image_at_random():
    largest = {
        int(np.bincount(UNBALANCED[balanced_order(UNBALANCED, 0, epoch) % 100]).argmax())
        for epoch in range(20)
    }
    assert largest == {0, 1, 3}


@pytest.mark.parametrize("start", [0, 1, 3])
def test_balanced_batches_resume_in_the_middle_of_an_epoch(digits, start):
    digits = digits.take(np.flatnonzero((digits.labels != 3) | (np.arange(40) < 8)))
    everything = list(training_batches(digits, 8, 0, 0, sampler="balanced"))
    rest = list(training_batches(digits, 8, 0, 0, start, sampler="balanced"))
    assert len(rest) == len(everything) - start
    for batch, same in zip(rest, everything[start:], strict=True):
        for found, expected in zip(batch, same, strict=True):
            np.testing.assert_array_equal(found, expected)
        images = batch.indices % len(digits)
        np.testing.assert_array_equal(batch.images, digits.images[images])
        np.testing.assert_array_equal(batch.labels, digits.labels[images])


def test_balanced_sample_batch(digits):
    chosen = sample_batch(digits, 7, seed=1, epoch=2, sampler="balanced")
    np.testing.assert_array_equal(chosen.indices, balanced_order(digits.labels, 1, 2)[:7])
