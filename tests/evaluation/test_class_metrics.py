"""Metrics of classes and calibration, compared with scikit-learn."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from flax_vision.evaluation.class_metrics import ClassCounts, EvalTotals
from flax_vision.evaluation.metrics import Totals, sum_totals

CLASSES = 7
of_batch = jax.jit(ClassCounts.of_batch, static_argnames="num_classes")


def count(labels, predicted, confidence=None, mask=None, num_classes=CLASSES):
    labels, predicted = np.array(labels, np.int32), np.array(predicted, np.int32)
    confidence = np.full(len(labels), 0.5) if confidence is None else confidence
    mask = np.ones(len(labels), bool) if mask is None else mask
    confidence = np.asarray(confidence, np.float32)
    return jax.device_get(of_batch(predicted, confidence, labels, mask, num_classes))


def random_case(seed):
    random = np.random.default_rng(seed)
    present = random.permutation(CLASSES)[: 2 + seed % CLASSES]  # so that some classes are absent
    labels = random.choice(present, 60, p=random.dirichlet(np.ones(len(present))))
    predicted = np.where(random.random(60) < 0.6, labels, random.integers(0, CLASSES, 60))
    return labels, predicted


CASES = {
    **{f"random {seed}": random_case(seed) for seed in range(8)},
    "all correct": (range(CLASSES), range(CLASSES)),
    "all wrong": ([0, 1, 2], [1, 2, 0]),
    "one class": ([3, 3, 3], [3, 3, 3]),
    "a class without images": ([0, 0, 1], [0, 5, 1]),
    "a class without predictions": ([0, 1, 6], [0, 1, 1]),
}
cases = pytest.mark.parametrize(("labels", "predicted"), CASES.values(), ids=CASES)


@cases
def test_values_of_each_class_match_scikit_learn(labels, predicted):
    expected = sklearn_metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(CLASSES), zero_division=0
    )
    counts = count(labels, predicted)
    found = counts.precision, counts.recall, counts.f1, counts.support
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@cases
def test_means_match_scikit_learn(labels, predicted):
    counts = count(labels, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about the absent classes
        balanced = sklearn_metrics.balanced_accuracy_score(labels, predicted)
    f1 = sklearn_metrics.f1_score(labels, predicted, average="macro", zero_division=0)
    assert counts.balanced_accuracy == pytest.approx(balanced, rel=1e-14)
    assert counts.macro_f1 == pytest.approx(f1, rel=1e-14)


def calibration_error(correct, confidence):
    """Guo et al. 2017, equation 3, bin by bin."""
    error, edges = 0.0, [i / 15 for i in range(16)]
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return error


@pytest.mark.parametrize("seed", range(4))
def test_calibration_error_is_its_formula(seed):
    labels, predicted = random_case(seed)
    confidence = np.random.default_rng(seed).uniform(1e-3, 1, len(labels))
    counts = count(labels, predicted, confidence)
    assert counts.ece == pytest.approx(calibration_error(labels == predicted, confidence), rel=1e-5)
    assert counts.bin_count.sum() == len(labels)


def test_calibration_error_of_a_constructed_case():
    counts = count([0, 0, 0, 1], [0, 0, 1, 1], [0.9, 0.9, 0.9, 0.5])
    assert counts.ece == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.5)
    assert counts.bin_count.tolist() == [0] * 7 + [1] + [0] * 5 + [3, 0]
    assert counts.bin_correct.tolist() == [0] * 7 + [1] + [0] * 5 + [2, 0]


def test_certainty_is_in_the_last_bin_and_0_in_the_first():
    assert count([0, 0], [0, 0], [0.0, 1.0]).bin_count.tolist() == [1, *[0] * 13, 1]


def test_upper_edge_belongs_to_a_bin():
    assert np.flatnonzero(count([0, 0], [0, 0], [0.2, 0.6]).bin_count).tolist() == [2, 8]


def test_masked_images_do_not_count():
    mask = np.array([True, False, True])
    confidence = [0.9, np.nan, 0.3]
    masked = count([0, 1, 2], [0, 1, 1], confidence, mask)
    jax.tree.map(np.testing.assert_array_equal, masked, count([0, 2], [0, 1], [0.9, 0.3]))


def test_majority_share_is_the_share_of_the_largest_class():
    assert count([2, 2, 2, 0], [0, 0, 0, 0]).majority_share == 0.75


def test_no_images_have_defined_values():
    assert set(count([], []).averages().values()) == {0.0}


@pytest.fixture
def scores():
    random = np.random.default_rng(0)
    logits = random.normal(size=(20, CLASSES)).astype(np.float32)
    return logits, random.integers(0, CLASSES, 20, np.int32)


def totals(logits, labels):
    mask = np.ones(len(labels), bool)
    return EvalTotals.of_batch(jnp.zeros(len(labels)), jnp.asarray(logits), labels, mask)


@pytest.mark.slow
def test_batches_add_up_to_the_whole(scores):
    logits, labels = scores
    whole = sum_totals([totals(logits, labels)])
    added = sum_totals([totals(logits[:7], labels[:7]), totals(logits[7:], labels[7:])])
    assert added.averages() == pytest.approx(whole.averages(), rel=1e-6)


def test_totals_of_training_are_among_those_of_evaluation(scores):
    logits, labels = scores
    mask = np.ones(20, bool)
    plain = Totals.of_batch(jnp.zeros(20), jnp.asarray(logits), labels, mask).averages()
    averages = totals(logits, labels).averages()
    assert {name: averages[name] for name in plain} == plain
    assert averages.keys() - plain.keys() == {"balanced_accuracy", "f1", "ece", "majority_share"}


@pytest.mark.parametrize(("classes", "has_top5"), [(5, False), (6, True)])
def test_top5_of_few_classes_is_left_out(classes, has_top5):
    logits = np.eye(classes, dtype=np.float32)
    averages = totals(logits, np.arange(classes, dtype=np.int32)).averages()
    assert ("top5" in averages) is has_top5
    assert averages["top1"] == 1


def test_correct_is_what_top1_counts(scores):
    logits, labels = scores
    logits[3] = logits[4] = 0  # ties with the label are wrong
    found = totals(logits, labels)
    assert int(found.classes.correct.sum()) == int(found.top1)
    assert int(found.classes.predicted.sum()) == int(found.classes.support.sum()) == 20


@pytest.mark.slow
def test_sharded_batch_has_the_counts_of_one_device(scores):
    logits, labels = (np.concatenate([x, x, x, x]) for x in scores)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.NamedSharding(mesh, jax.P("data"))
    whole = jax.NamedSharding(mesh, jax.P())
    sharded = jax.device_put((logits, labels), sharding)
    divided = jax.jit(totals, out_shardings=whole)(*sharded)
    one = totals(logits, labels)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), divided, one)


def test_rows_of_the_table_are_in_percent():
    counts = count([0, 0, 1, 1], [0, 1, 1, 1], num_classes=3)
    assert counts.by_class("abc")[1] == {
        **{"class": "b", "precision": 2 / 3, "recall": 1.0, "f1": 0.8, "support": 2}
    }
    assert counts.table("abc")[0] == {
        **{"class": "a", "precision, %": 100.0, "recall, %": 50.0},
        **{"F1, %": pytest.approx(200 / 3), "images": 2},
    }
