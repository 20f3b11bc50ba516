"""Paths, unreadable files and probabilities in the evaluation of a run on a folder."""

import csv
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_folders import ignore, write

from flax_vision.cli.main import main
from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.splits import SPLITS, Source, read_splits
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import _unreadable, evaluate
from flax_vision.evaluation.evaluation_result import UnreadableImage
from flax_vision.evaluation.grouping import ShapeGroup
from flax_vision.training.run_dir import open_run
from flax_vision.weights import saved_model

CLASSES = {"natural": ["9", "10", "11"], "sorted": ["10", "11", "9"]}
CROP = CropPolicy(size=8, eval_resize=12, resize_range=(12, 12))
CUT = 4
"""Index of the cut file of class 9."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with ten images of each class, one of them cut."""
    folder = write(tmp_path_factory.mktemp("pictures"), CLASSES["natural"], 10)
    (folder / f"9/{CUT}.png").write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def trained():
    """Description of a model for crops of 8x8, and random variables."""
    metadata = saved_model.ModelMetadata(
        name="lenet5_modern",
        options={},
        class_names=CLASSES["natural"],
        image_shape=[8, 8, 3],
        preprocessing=Preprocessing([120.0], [70.0]),
        metrics={},
        crop=CROP,
    )
    model = metadata.create_model()
    return metadata, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


def make_run(directory, folder, trained, order):
    """Makes a run with the splits of its folder, and an export of random parameters."""
    data = {"name": "folder", "tfds_dir": "", "image_dir": f"{folder}/", "val_fraction": 0.25}
    data |= {"test_fraction": 0.3, "on_error": "skip", "num_threads": 2}
    decode = DecodeConfig(CROP, "skip")
    source = Source("folder", "", data["image_dir"], 0.25, 0.3, decode, class_order=order)
    with open_run(directory, {"data": data}) as opened:
        opened.check_dataset(read_splits(source, ignore))
    metadata, variables = trained
    metadata = dataclasses.replace(metadata, class_names=CLASSES[order])
    saved_model.save(directory / "export", metadata, variables)
    return directory


@pytest.fixture(scope="module")
def run(folder, trained, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), folder, trained, "sorted")


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("order", CLASSES)
def test_evaluation_has_the_splits_that_the_run_has_recorded(order, folder, trained, tmp_path):
    run = make_run(tmp_path, folder, trained, order)
    rows = read(run / "splits.csv")
    assert len({row["path"] for row in rows}) == len(rows) == 30
    assert all(row["path"].startswith(f"{row['label']}/") for row in rows)
    for split in SPLITS:
        result = evaluate(run, split=split)
        recorded = [row for row in rows if row["split"] == split]
        assert result.paths == [row["path"] for row in recorded]
        labels = [result.class_names[label] for label in result.labels]
        assert labels == [recorded[index]["label"] for index in result.indices]
        assert len(recorded) == result.images + len(result.unreadable)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["center", "ten_crop", "multi_crop"])
def test_predictions_have_a_row_for_each_file(protocol, run, folder, tmp_path):
    split = next(x["split"] for x in read(run / "splits.csv") if x["path"] == f"9/{CUT}.png")
    file = tmp_path / "predictions.csv"
    arguments = [f"--split={split}", f"--protocol={protocol}", f"--predictions={file}"]
    assert main(["evaluate", str(run), *arguments, "--top=2", "--batch-size=4"]) == 0
    rows = read(file)
    assert [(row["path"], row["label"]) for row in rows] == [
        (row["path"], row["label"]) for row in read(run / "splits.csv") if row["split"] == split
    ]
    (cut,) = (row for row in rows if row["error"])
    assert cut["path"] == f"9/{CUT}.png"
    assert not any(cut[key] for key in cut.keys() - {"path", "label", "error"})
    for row in rows:
        if row is not cut:
            assert row["prediction"] == row["class_1"]
            assert row["confidence"] == row["probability_1"]
            assert float(row["probability_1"]) >= float(row["probability_2"])
            assert (row["correct"] == "True") == (row["label"] == row["prediction"])


def test_probabilities_of_all_classes_add_up_to_1(run):
    result = evaluate(run, top=50)
    assert result.top_classes.shape == (result.images, 3)
    np.testing.assert_allclose(result.top_probabilities.sum(axis=1), 1, rtol=1e-6)
    assert evaluate(run).top_probabilities.shape == (result.images, 0)
    np.testing.assert_array_equal(result.confidence, result.top_probabilities[:, 0])


def test_counts_are_those_of_the_predictions(run):
    result = evaluate(run, split="train")
    hits = result.labels[result.labels == result.predicted]
    assert result.counts.support.tolist() == np.bincount(result.labels, minlength=3).tolist()
    assert result.counts.correct.tolist() == np.bincount(hits, minlength=3).tolist()
    assert result.counts.bin_confidence.sum() == pytest.approx(result.confidence.sum(), rel=1e-5)


def test_negative_top(run):
    with pytest.raises(UserError, match="top is -1; give the number of classes"):
        evaluate(run, top=-1)


def test_unreadable_images_of_groups_have_their_positions_in_the_split(folder):
    source = Source("folder", "", str(folder), 0.0, 1.0, DecodeConfig(CROP, "skip"))
    images = read_splits(source, ignore).test
    labels, groups = images.labels, []
    for indices in (np.array([0, 2, 7]), np.array([1, 3])):
        groups.append(ShapeGroup(None, images.take(indices), indices))
    groups[0].images.skipped[2] = "cut"
    groups[1].images.skipped[0] = "empty"
    expected = [UnreadableImage(1, labels[1], "empty"), UnreadableImage(7, labels[7], "cut")]
    assert _unreadable(groups, labels) == expected
