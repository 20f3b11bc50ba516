"""Tests of predictions for image files against the model applied to hand-made crops."""

import dataclasses
import os
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

import flax_vision as fv
from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.weights import saved_model

ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def classifier(export):
    return fv.Classifier(export)


def write_images(folder, count, size=(32, 32)):
    """Writes random images, and returns their paths and pixels."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(count)]
    pixels = random.integers(0, 256, (count, *size), np.uint8)
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return paths, pixels


@pytest.fixture(scope="module")
def expected(export):
    """Function that returns the softmax outputs for images [N, 28, 28], N up to 5."""
    model, variables = fv.load(export)
    apply = jax.jit(lambda inputs: jax.nn.softmax(model.apply(variables, inputs)))

    def outputs(images):
        filled = np.zeros((5, 28, 28, 1), np.float32)
        filled[: len(images)] = images[..., None]
        return np.asarray(apply((filled - 120) / 10))[: len(images)]

    return outputs


def test_most_probable_classes(expected, classifier, tmp_path):
    """There are more images than in a step; classes come in the order of their probability."""
    paths, pixels = write_images(tmp_path, 5)
    predictions = classifier.predict([tmp_path], top=2, batch_size=2)
    probabilities = expected(pixels[:, 2:30, 2:30])
    assert [prediction.path for prediction in predictions] == paths
    for prediction, row in zip(predictions, probabilities, strict=True):
        order = np.argsort(-row)[:2]
        assert prediction.classes == [["cat", "dog", "owl"][i] for i in order]
        np.testing.assert_allclose(prediction.probabilities, row[order], rtol=1e-5)
        assert prediction.truth is None
    assert len({tuple(prediction.classes) for prediction in predictions}) > 1
    assert predictions[1:3][0] is predictions[1]
    assert 0 < predictions.model_seconds < predictions.seconds


def test_top_beyond_the_classes_is_all_of_them(classifier, tmp_path):
    write_images(tmp_path, 1)
    (prediction,) = classifier.predict([tmp_path], top=9)
    assert sorted(prediction.classes) == ["cat", "dog", "owl"]
    assert prediction.probabilities.sum() == pytest.approx(1)


def test_outputs_that_are_not_finite(classifier, tmp_path, monkeypatch):
    write_images(tmp_path, 1)
    nans = np.full((1, 3), np.nan)
    monkeypatch.setattr(classifier._members[0], "_apply", lambda variables, images: nans)
    with pytest.raises(UserError, match="outputs of this lenet5_modern are not finite"):
        classifier.predict(tmp_path)


def test_truth_is_the_name_of_the_folder(classifier, tmp_path):
    write_images(tmp_path / "owl", 1)
    write_images(tmp_path / "other", 1)
    found = classifier.predict([tmp_path / "owl", tmp_path / "other"])
    assert [prediction.truth for prediction in found] == ["owl", None]


def test_unreadable_files_are_named_and_the_rest_predicted(expected, classifier, tmp_path):
    paths, pixels = write_images(tmp_path, 2)
    paths[1].write_bytes(paths[1].read_bytes()[:99])
    found = classifier.predict(paths)
    assert [prediction.path for prediction in found] == paths[:1]
    probabilities = expected(pixels[:1, 2:30, 2:30])
    np.testing.assert_allclose(found[0].probabilities, -np.sort(-probabilities[0]), rtol=1e-5)
    assert list(found.unreadable) == [str(paths[1])]


def test_no_readable_file(classifier, tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    found = classifier.predict([tmp_path])
    assert len(found) == 0
    assert found.unreadable == {str(tmp_path / "a.jpg"): "it is not an image of a known format"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright(orientation, classifier, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56), np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "upright.png")
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    if orientation in turn:
        image = image.transpose(turn[orientation])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(tmp_path / "turned.png", exif=exif)
    crops = [classifier.seen(tmp_path / name) for name in ("turned.png", "upright.png")]
    np.testing.assert_array_equal(*crops)


@pytest.mark.parametrize(
    ("mode", "gray"),
    [("RGB", 76), ("CMYK", 76), ("P", 76), ("RGBA", 255), ("LA", 255), ("I;16", 128), ("1", 255)],
)
def test_every_mode(mode, gray, classifier, tmp_path):
    """Red becomes gray, transparent pixels white, and half of 16 bits half of 8."""
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    if mode == "I;16":
        image = Image.fromarray(np.full((32, 32), 128 * 257, np.uint16))
    elif mode in ("RGBA", "LA"):
        image = Image.new("RGBA", (32, 32), (255, 0, 0, 0)).convert(mode)
    elif mode == "1":
        image = Image.new("1", (32, 32), 1)
    else:
        image = Image.new("RGB", (32, 32), (255, 0, 0)).convert(mode)
    image.save(path)
    assert Image.open(path).mode == mode
    crop = classifier.seen(path)
    assert crop.shape == (28, 28, 1)
    assert np.unique(crop) == pytest.approx([gray], abs=1)


def test_posteriors_of_arrays(expected, classifier):
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8)
    found = classifier.posteriors(images[..., None])
    np.testing.assert_allclose(found, expected(images), rtol=1e-5)


@pytest.fixture(scope="module")
def other(export, tmp_path_factory):
    """Export of another model, for crops of 20x20."""
    path = tmp_path_factory.mktemp("other") / "export"
    metadata = dataclasses.replace(
        saved_model.load_metadata(export),
        image_shape=[20, 20, 1],
        preprocessing=Preprocessing([90.0], [40.0]),
        crop=CropPolicy(20, 24, (24, 24), channels=1),
    )
    variables = jax.tree.map(lambda x: 2 * x, fv.load(export)[1])
    saved_model.save(path, metadata, variables)
    return path


def test_ensemble_is_the_mean_of_its_models(export, other, tmp_path):
    """Each model gets its own crops; an unreadable file has no prediction."""
    paths, _ = write_images(tmp_path, 4)
    paths[2].write_bytes(b"nothing")
    texts = []
    found = fv.Classifier([export, other]).predict(
        tmp_path, top=3, on_progress=lambda what, *_: texts.append(what)
    )
    singles = [fv.Classifier(path).predict(tmp_path, top=3) for path in (export, other)]
    assert [prediction.path for prediction in found] == [paths[0], paths[1], paths[3]]
    assert list(found.unreadable) == [str(paths[2])]
    assert texts == [f"{i} of 2: predicting with lenet5_modern" for i in (1, 2)]
    for index, prediction in enumerate(found):
        rows = [
            dict(zip(single[index].classes, single[index].probabilities, strict=True))
            for single in singles
        ]
        assert rows[0] != rows[1]
        expected = {name: (rows[0][name] + rows[1][name]) / 2 for name in rows[0]}
        assert list(prediction.classes) == sorted(expected, key=expected.get, reverse=True)
        for name, probability in zip(prediction.classes, prediction.probabilities, strict=True):
            assert probability == pytest.approx(expected[name], abs=1e-6)


def test_posteriors_of_an_ensemble(export, other, classifier, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    shutil.copytree(export, tmp_path / "copy")
    equal = fv.Classifier([export, tmp_path / "copy"])
    expected = classifier.posteriors(images)
    np.testing.assert_allclose(equal.posteriors(images), expected, rtol=1e-6)
    mixed = fv.Classifier([export, other])
    with pytest.raises(UserError, match="take images of 28x28x1 and of 20x20x1; use predict"):
        mixed.posteriors(images)


def test_mistakes_in_an_ensemble(export, tmp_path):
    with pytest.raises(UserError, match="is given twice; give each model once"):
        fv.Classifier([export, export])
    metadata = saved_model.load_metadata(export)
    changed = dataclasses.replace(metadata, class_names=["dog", "cat", "owl"])
    saved_model.save(tmp_path / "changed", changed, fv.load(export)[1])
    with pytest.raises(UserError, match="class 0 is 'cat' in .* and 'dog' in .*changed'; an ens"):
        fv.Classifier([export, tmp_path / "changed"])
    with pytest.raises(UserError, match="no model is given"):
        fv.Classifier([])


def test_progress(classifier, tmp_path):
    write_images(tmp_path, 3)
    calls = []
    classifier.predict([tmp_path], batch_size=2, on_progress=lambda *call: calls.append(call))
    assert calls == [("predicting with lenet5_modern", done, 3) for done in (0, 2)]


def test_top_of_0(classifier):
    with pytest.raises(UserError, match="top is 0; give at least 1"):
        classifier.predict(["x.png"], top=0)


def test_no_export():
    with pytest.raises(UserError, match="no model in 'nowhere'"):
        fv.Classifier("nowhere")


def test_max_pixels_can_be_set(export, tmp_path):
    write_images(tmp_path, 1)
    found = fv.Classifier(export, max_pixels=99).predict(tmp_path)
    (reason,) = found.unreadable.values()
    assert reason.startswith("it has more than 99 pixels")
    assert reason.endswith("--max-pixels N allows more")


def test_huge_file_is_unreadable_and_the_rest_is_predicted(classifier, tmp_path):
    paths, _ = write_images(tmp_path, 2)
    os.truncate(paths[0], 2**32)
    found = classifier.predict(tmp_path)
    assert [prediction.path for prediction in found] == paths[1:]
    assert found.unreadable[str(paths[0])].startswith("it has 4,294,967,296 bytes, too many for")


def test_model_for_rectangular_images(tmp_path, export):
    metadata = saved_model.ModelMetadata(
        "lenet5_modern",
        {},
        ["a", "b", "c"],
        [20, 24, 1],
        Preprocessing([0.0], [1.0], resize=28),
        {},
    )
    saved_model.save(tmp_path / "net", metadata, fv.load(export)[1])
    with pytest.raises(
        UserError, match="was trained on images of 20x24, and image files get a square crop"
    ):
        fv.Classifier(tmp_path / "net")
