"""Tests of models for image files on folders with images of several sizes."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from unittest.mock import create_autospec

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tiny_folders import ignore, write_sizes

from flax_vision.cli.main import main
from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.fingerprint import split_fingerprints
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.splits import Source, read_split, read_splits
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.evaluation.evaluator import ProtocolEvaluator
from flax_vision.evaluation.grouping import predict_groups
from flax_vision.weights import saved_model

pytestmark = pytest.mark.slow

SIZES = [(16, 12), (12, 12), (19, 12)]  # the shorter side is the test scale: no resizing

CROP = CropPolicy(size=8, eval_resize=12, resize_range=(12, 12))
MEAN = np.random.default_rng(1).integers(90, 150, (8, 8, 3)).astype(float)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with images of six classes, and their pixels in its order."""
    folder = tmp_path_factory.mktemp("pictures")
    return folder, write_sizes(folder, "abcdef", SIZES)


@pytest.fixture(scope="module")
def trained():
    """Description of a model for crops of 8x8 with a mean image, and its variables."""
    metadata = saved_model.ModelMetadata(
        name="lenet5_modern",
        options={},
        class_names=list("abcdef"),
        image_shape=[8, 8, 3],
        preprocessing=Preprocessing(MEAN.tolist(), [70.0]),
        metrics={},
        crop=CROP,
    )
    model = metadata.create_model()
    return metadata, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


@pytest.fixture(scope="module")
def run(trained, pictures, tmp_path_factory):
    """Directory of its run, with a third of each class for the test."""
    directory = tmp_path_factory.mktemp("run")
    saved_model.save(directory / "export", *trained)
    data = {"name": "folder", "tfds_dir": "", "image_dir": str(pictures[0]), "val_fraction": 0.0}
    data |= {"test_fraction": 0.34, "on_error": "stop", "num_threads": 2}
    (directory / "config.json").write_text(json.dumps({"format": 2, "data": data}))
    return directory


def run_source(folder):
    decode_config = DecodeConfig(CROP)
    return Source("folder", "", str(folder), test_fraction=0.34, decode_config=decode_config)


@pytest.fixture
def export(run, tmp_path):
    """The export outside of its run."""
    return shutil.copytree(run / "export", tmp_path / "model")


def center(image, height, width):
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def crops_at(image, offsets):
    """Returns the preprocessed crops of 8x8 at offsets, and their mirror images."""
    crops = [(image[top : top + 8, left : left + 8] - MEAN) / 70 for top, left in offsets]
    return np.array(crops + [crop[:, ::-1] for crop in crops], np.float32)


def ten_crop(image):
    return crops_at(center(image, 12, 12), [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)])


def multi_crop(image):
    last = image.shape[1] - 8
    return crops_at(image, [(top, last * i // 4) for top in (0, 1, 2, 3, 4) for i in range(5)])


@pytest.mark.parametrize("crops", [ten_crop, multi_crop])
def test_crops_of_each_image_file(crops, trained, export, pictures):
    metadata, variables = trained
    folder, images = str(pictures[0]), pictures[1]
    result = evaluate(export, image_dir=folder, protocol=crops.__name__, scales=(12,), batch_size=2)
    apply = jax.jit(lambda x: jax.nn.softmax(metadata.create_model().apply(variables, x)))
    probabilities = np.array([np.asarray(apply(crops(image))).mean(axis=0) for image in images])
    labels = np.repeat(np.arange(6), 3)
    np.testing.assert_array_equal(result.labels, labels)
    np.testing.assert_array_equal(result.predicted, probabilities.argmax(axis=1))
    expected = -np.log(probabilities[np.arange(18), labels]).mean()
    assert result.cross_entropy == pytest.approx(expected, rel=1e-5)
    assert result.images == 18


def test_image_files_of_all_shapes_share_one_compiled_step(export, pictures, monkeypatch):
    compiled = create_autospec(ProtocolEvaluator._compile, side_effect=ProtocolEvaluator._compile)
    monkeypatch.setattr(ProtocolEvaluator, "_compile", compiled)
    evaluate(export, image_dir=str(pictures[0]), protocol="googlenet_144", scales=(12,))
    assert compiled.call_count == 1


def test_center_is_the_crop_of_the_run(trained, run, pictures):
    (metadata, variables), (folder, images) = trained, pictures
    tested = read_split(run_source(folder), "test", ignore)
    assert np.bincount(tested.labels).tolist() == [1] * 6
    seen = [(center(images[place], 8, 8) - MEAN) / 70 for place in tested.indices]
    apply = jax.jit(metadata.create_model().apply)
    classes = np.asarray(apply(variables, np.array(seen, np.float32))).argmax(axis=1)
    for path in (None, folder / ".." / folder.name):  # both are the run's own folder
        result = evaluate(run, image_dir=path and str(path))
        np.testing.assert_array_equal(result.predicted, classes)
        np.testing.assert_array_equal(result.labels, tested.labels)
        assert result.top1 == (classes == tested.labels).mean()
        assert result.data == str(folder)


def damage(folder, pictures):
    """Copies the images, and damages the header of one and the pixels of another."""
    shutil.copytree(pictures[0], folder)
    (folder / "c/1.png").write_bytes(b"nothing")
    content = (folder / "a/1.png").read_bytes()
    (folder / "a/1.png").write_bytes(content[: len(content) // 2])
    return folder


@pytest.mark.parametrize("protocol", ["center", "multi_crop"])
def test_unreadable_image_files_do_not_count(protocol, export, pictures, tmp_path):
    options = {"protocol": protocol, "batch_size": 6, "on_error": "skip"}
    whole = evaluate(export, image_dir=str(pictures[0]), **options)
    damaged = damage(tmp_path / "damaged", pictures)
    result = evaluate(export, image_dir=str(damaged), **options)
    readable = np.delete(np.arange(18), [1, 7])
    assert result.images == 16
    np.testing.assert_array_equal(result.labels, whole.labels[readable])
    np.testing.assert_array_equal(result.predicted, whole.predicted[readable])
    assert result.top1 == (result.labels == result.predicted).mean()
    (warning,) = result.warnings
    assert warning.startswith("2 images so far cannot be read and will not count")
    assert not whole.warnings


def test_order_of_the_classes_is_the_order_of_the_model(export, pictures, tmp_path):
    shutil.copytree(pictures[0] / "d", tmp_path / "one/d")
    result = evaluate(export, image_dir=str(tmp_path / "one"))
    assert result.labels.tolist() == [3, 3, 3]


def test_skipped_files_get_a_warning(export, pictures, tmp_path, monkeypatch):
    shutil.copytree(pictures[0] / "d", tmp_path / "one/d")
    (tmp_path / "one/d/other.heic").touch()
    calls = []

    def predicted(*arguments):
        assert calls  # before the test begins
        return predict_groups(*arguments)

    monkeypatch.setattr("flax_vision.evaluation.evaluate.predict_groups", predicted)
    result = evaluate(export, image_dir=str(tmp_path / "one"), on_warning=calls.append)
    (warning,) = result.warnings
    assert warning.startswith("skipped 1 file without an image extension (.heic 1), such as ")
    assert calls == result.warnings


def test_too_many_pixels_are_an_error(export, pictures):
    with pytest.raises(UserError, match="more than 50 pixels, .*; --max-pixels N allows more"):
        evaluate(export, image_dir=str(pictures[0]), max_pixels=50)


def test_folder_that_may_be_the_runs_own_gets_a_warning(run, pictures, tmp_path):
    shutil.copytree(pictures[0] / "d", tmp_path / "one/d")
    shutil.copytree(run, tmp_path / "run")
    folder = str(tmp_path / "one")
    assert not evaluate(tmp_path / "run", image_dir=folder).warnings
    config = tmp_path / "run/config.json"
    config.write_text(config.read_text().replace(str(pictures[0]), "gone"))
    (warning,) = evaluate(tmp_path / "run", image_dir=folder).warnings
    assert warning.startswith("the run's own folder 'gone' is missing")


def test_images_that_are_not_the_runs_get_a_warning(run, pictures, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    shutil.copytree(pictures[0], tmp_path / "pictures")
    config = tmp_path / "run/config.json"
    config.write_text(config.read_text().replace(str(pictures[0]), str(tmp_path / "pictures")))
    source = run_source(tmp_path / "pictures")
    recorded = split_fingerprints(read_splits(source, ignore))
    (tmp_path / "run/dataset.json").write_text(json.dumps(recorded))
    assert not evaluate(tmp_path / "run").warnings
    (tested,) = read_split(source, "test", ignore).take(np.array([3])).indices
    name = Path(source.image_dir) / f"d/{tested - 9}.png"
    name.rename(name.with_name("2b.png"))
    assert main(["evaluate", str(tmp_path / "run/export")]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: these are not the test images of the run (the 1 image of")
    assert not evaluate(tmp_path / "run", image_dir=str(pictures[0])).warnings
    (tmp_path / "run/dataset.json").write_text("[]")
    with pytest.raises(UserError, match="dataset.json is damaged"):
        evaluate(tmp_path / "run")


def test_model_for_small_images_gets_square_crops_of_image_files(metadata, variables, tmp_path):
    """The crops are gray and 12x12, like the training images."""
    pixels = write_sizes(tmp_path / "pictures", "ab", SIZES)
    saved_model.save(tmp_path / "model", metadata, variables)
    result = evaluate(tmp_path / "model", image_dir=str(tmp_path / "pictures"))
    squares = [Image.fromarray(center(image, 12, 12)) for image in pixels]
    gray = [np.asarray(square.convert("L"))[..., None] for square in squares]
    apply = jax.jit(lambda x: metadata.create_model().apply(variables, metadata.preprocessing(x)))
    expected = np.asarray(apply(np.array(gray))).argmax(axis=1)
    np.testing.assert_array_equal(result.predicted, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--image-dir=nowhere"],
            "--image-dir is 'nowhere', which does not exist; give --image-dir",
        ),
        (["--data=folder"], "--image-dir is not given; give --image-dir DIR"),
        (
            ["--image-dir=damaged"],
            "image 'damaged/c/1.png' cannot be read .*or give --on-error skip",
        ),
        (["--image-dir=x", "--data=mnist"], "--image-dir is 'x', and --data is 'mnist'; give one"),
        (["--image-dir=other"], r"the class 'z', unknown to the model.*\(a, b, c, d, e, f\)"),
        (["--image-dir=good", "--split=train"], "'good' has no train images.*another --split"),
        (["--image-dir=divided"], "'divided' has no test images.*another --split"),
        (["--image-dir=good", "--protocol=dense"], "no fully convolutional form"),
        (["--image-dir=good", "--protocol=ten_crop", "--scales", "7"], "a scale is 7"),
        (
            ["--image-dir=spoilt", "--on-error=skip"],
            "none of the first 1 test image can be read, such as 'spoilt",
        ),
        (["--image-dir=cut", "--on-error=skip", "--protocol=multi_crop"], "no images were counted"),
        (["--image-dir=cut", "--on-error=skip"], "no images were counted.*on_error=stop gives"),
    ],
)
def test_mistakes(arguments, message, export, pictures, tmp_path, monkeypatch, capsys):
    damage(tmp_path / "damaged", pictures)
    write_sizes(tmp_path / "other", "abz", SIZES)
    write_sizes(tmp_path / "good", "ab", SIZES)
    write_sizes(tmp_path / "divided/train", "ab", SIZES)
    (tmp_path / "spoilt/a").mkdir(parents=True)
    (tmp_path / "spoilt/a/0.png").write_bytes(b"nothing")
    write_sizes(tmp_path / "cut", "a", SIZES[:1])
    (cut,) = (tmp_path / "cut").rglob("*.png")
    cut.write_bytes(cut.read_bytes()[:-50])  # after its header
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(export), *arguments]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert "config." not in error
    assert error.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in error


def dense(image):
    image = (center(image, 12, min(image.shape[1], 18)) - np.float32(120)) / 70
    return np.stack([image, image[:, ::-1]])


def test_dense_uses_whole_image_files(trained, pictures, tmp_path):
    preprocessing = Preprocessing([120.0], [70.0])
    metadata = dataclasses.replace(trained[0], name="resnet20", preprocessing=preprocessing)
    model = metadata.create_model()
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    saved_model.save(tmp_path / "resnet", metadata, variables)
    path, images = str(pictures[0]), pictures[1]
    result = evaluate(tmp_path / "resnet", image_dir=path, protocol="dense")
    assert (result.scales, result.crops) == ((12,), 2)
    apply = jax.jit(lambda x: jax.nn.softmax(model.apply(variables, x)))
    probabilities = np.array([np.asarray(apply(dense(image))).mean(axis=0) for image in images])
    np.testing.assert_array_equal(result.predicted, probabilities.argmax(axis=1))
    expected = -np.log(probabilities[np.arange(18), result.labels]).mean()
    assert result.cross_entropy == pytest.approx(expected, rel=1e-4)
    for protocol, views in (("multi_scale", 6), ("multi_crop", 150), ("googlenet_144", 144)):
        result = evaluate(tmp_path / "resnet", image_dir=path, protocol=protocol)
        assert (result.crops, result.images) == (views, 18)
