"""Runs with fewer training images, wrong labels, and tests during training."""

import chex
import pytest
from runs import LineRecorder, read_metrics

from flax_vision.errors import UserError
from flax_vision.evaluation.run_data import load_images
from flax_vision.training.epoch_history import EpochHistory
from flax_vision.training.fit import fit
from flax_vision.weights.loading import load_model
from flax_vision.weights.run_files import read_dataset


def ignore(task, done, total):
    """Ignores progress."""


@pytest.mark.parametrize(
    ("every", "due"), [(0, [False] * 4), (1, [True] * 4), (2, [False, True, False, True])]
)
def test_epochs_with_a_test(config, every, due):
    config.test_every_epochs = every
    history = EpochHistory(config, 1.0)
    found = []
    for epoch in range(4):
        found.append(history.is_test_due)
        history.records.append({"epoch": epoch + 1})
    assert found == due


@pytest.fixture(scope="module")
def runs(small_config, tmp_path_factory):
    """Directories of a run with a test after each epoch, and of one without, and their lines."""
    folder, observer = tmp_path_factory.mktemp("runs"), LineRecorder()
    config = small_config.copy_and_resolve_references()
    config.update({"batch_size": 32, "epochs": 2, "data": {"limit": 10, "label_noise": 0.5}})
    fit(config, folder / "plain", observer)
    config.test_every_epochs = 1
    fit(config, folder / "tested")
    return folder / "plain", folder / "tested", observer.text, config


@pytest.mark.slow
def test_each_epoch_has_a_test(runs):
    plain, tested = ([x for x in read_metrics(path) if "epoch" in x] for path in runs[:2])
    assert not any("test/top1" in record for record in plain)
    assert all({"test/top1", "test/loss", "validation/loss"} <= record.keys() for record in tested)


@pytest.mark.slow
def test_best_epoch_has_the_test_of_the_result(runs):
    *epochs, result = read_metrics(runs[1])
    best = epochs[result["best_epoch"] - 1]
    assert (best["test/top1"], best["test/loss"]) == (result["test/top1"], result["test/loss"])


@pytest.mark.slow
def test_tests_do_not_change_the_run(runs):
    plain, tested = (load_model(path).variables for path in runs[:2])
    chex.assert_trees_all_equal(plain, tested)


@pytest.mark.slow
def test_lines_name_the_images_and_the_labels(runs):
    assert "data.limit: 10 images of each class, 100 of " in runs[2]
    assert "data.label_noise: 50 of 100 training labels replaced" in runs[2]


@pytest.mark.slow
def test_evaluation_of_the_training_split_has_the_same_images_and_labels(runs):
    _, images = load_images(runs[0], load_model(runs[0]).metadata, "train", ignore)
    recorded = read_dataset(runs[0], "")["train"]
    counts = {name: (images.labels == i).sum() for i, name in enumerate(images.class_names)}
    assert counts == {name: count for name, (count, _) in recorded.items()}


@pytest.mark.slow
@pytest.mark.parametrize("key", ["data.limit", "data.label_noise", "test_every_epochs"])
def test_keys_belong_to_the_run(runs, key):
    config = runs[3].copy_and_resolve_references()
    config.update_from_flattened_dict({key: 0})
    with pytest.raises(UserError, match=f"belongs to another configuration: {key} is"):
        fit(config, runs[1])
