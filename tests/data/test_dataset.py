import numpy as np
import pytest

from flax_vision.data.dataset import ArrayDataset, stratified_split


def make(labels) -> ArrayDataset:
    labels = np.asarray(labels, np.int32)
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ArrayDataset(images, labels, ["a", "b"])


@pytest.mark.parametrize("fraction", [0, 0.25, 0.5])
def test_subset_has_a_share_of_each_class(fraction):
    rest, subset = stratified_split(make([0] * 8 + [1] * 40), fraction)
    assert np.bincount(subset.labels, minlength=2).tolist() == [8 * fraction, 40 * fraction]
    assert np.bincount(rest.labels, minlength=2).tolist() == [8 - 8 * fraction, 40 - 40 * fraction]


def test_subsets_are_disjoint_and_complete():
    rest, subset = stratified_split(make([0, 1] * 50), 0.3)
    both = np.concatenate([rest.images, subset.images]).ravel()
    assert sorted(both.tolist()) == list(range(100))


def test_split_is_always_the_same_and_takes_no_block():
    first, again = (stratified_split(make([0] * 100), 0.1)[1].images.ravel() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.max() - first.min() > 50


def test_take_keeps_images_with_their_labels():
    taken = make([0, 1, 0]).take(np.array([1, 2]))
    assert taken.images.ravel().tolist() == [1, 2]
    assert taken.labels.tolist() == [1, 0]
    assert len(taken) == 2


@pytest.mark.parametrize(
    ("labels", "ratio"), [([0, 1], 1), ([1] * 7 + [0] * 2, 3.5), ([1, 1], 1), ([], 1)]
)
def test_imbalance_is_the_ratio_of_the_extreme_classes(labels, ratio):
    assert make(labels).imbalance == ratio
