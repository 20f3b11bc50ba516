import numpy as np
from fake_runs import fake_run

from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.papers import rejection
from flax_vision.papers.experiments.lenet5 import EXPERIMENTS


def test_images_with_close_scores_are_rejected_first(monkeypatch):
    tests = load_mnist_5k()[1].take(np.array([0, 1]))
    wrong = (tests.labels[0] + 1) % 10
    scores = np.zeros((2, 10), np.float32)
    # The scores of the first, wrong image have the smaller difference, 3 and not 4. Its
    # probabilities have the larger one, 0.91 and not 0.84.
    scores[0] = -9.0
    scores[0, wrong], scores[0, tests.labels[0]] = 3.0, 0.0
    scores[1] = 2.5
    scores[1, tests.labels[1]] = 6.5
    monkeypatch.setattr(rejection, "read_images", lambda run, split: (None, tests))
    monkeypatch.setattr(rejection, "logits", lambda run, images: scores)
    (row,) = rejection.compare_rejections(EXPERIMENTS["fig10"], [fake_run("LeNet-4", [50.0])]).rows
    assert row[rejection.REJECTED] == [50.0]
    assert row[f"{rejection.REJECTED}, paper"] == 1.8
