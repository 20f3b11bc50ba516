import numpy as np
import pytest

from flax_vision.data.dataset import ArrayDataset, random_split, stratified_split
from flax_vision.data.lazy_labels import LazyLabels


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


@pytest.mark.parametrize(("fraction", "size"), [(0, 0), (0.25, 25), (0.125, 12), (0.99, 99)])
def test_random_split_has_a_share_of_the_images(fraction, size):
    rest, subset = random_split(make([0] * 90 + [1] * 10), fraction)
    assert (len(rest), len(subset)) == (100 - size, size)
    numbers = [images.images.ravel().tolist() for images in (rest, subset)]
    assert sorted([*numbers[0], *numbers[1]]) == list(range(100))
    assert numbers == [sorted(x) for x in numbers]


def test_random_split_depends_on_the_seed_and_not_on_the_labels():
    splits = [(0, [0] * 100), (0, [1, 0] * 50), (1, [0] * 100)]
    first, same, other = (
        random_split(make(labels), 0.1, seed)[1].images.ravel().tolist() for seed, labels in splits
    )
    assert first == same == [2, 16, 26, 54, 55, 73, 75, 86, 93, 95]
    assert other != first


def test_random_split_reads_no_labels():
    labels = LazyLabels(pytest.fail, np.arange(20))
    images = ArrayDataset(np.zeros((20, 1, 1, 1), np.uint8), labels, ["a", "b"])
    rest, subset = random_split(images, 0.25)
    assert (len(rest.labels), len(subset.labels)) == (15, 5)
    assert not rest.labels_known
    assert rest.imbalance is None


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
