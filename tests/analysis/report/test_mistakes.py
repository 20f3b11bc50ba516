"""The section with all mistakes of a model."""

import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from flax_vision.analysis.report import mistakes as mistakes_module
from flax_vision.analysis.report.mistakes import all_mistakes, thumbnail
from flax_vision.analysis.report.predicted_images import PredictedImages
from flax_vision.data.dataset import ArrayDataset
from flax_vision.evaluation.evaluator import Predictions

CLASSES = ["ant", "<bee>", "cat"]
WRONG = [2, 5, 7, 8]
"""Indices of the mistakes, the most confident last."""


@pytest.fixture
def tested():
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), np.uint8)
    labels = np.arange(9, dtype=np.int32) % 3
    predicted, confidence = labels.copy(), np.full(9, 0.999, np.float32)
    predicted[WRONG] = (labels[WRONG] + 1) % 3
    confidence[WRONG] = 0.1 * np.arange(1, 5)
    predicted[0] = -1  # unreadable
    empty = np.zeros((9, 0))
    dataset = ArrayDataset(images, labels, CLASSES)
    return PredictedImages(dataset, Predictions(None, predicted, confidence, empty, empty))


def rows(section):
    cells = re.findall(r"<tr>(<td.*?)</tr>", section.tables)
    return [re.sub(r"<img.*?>", "image ", row) for row in cells]


def indices(section):
    return [int(re.search(r"(\d+)</td>$", row)[1]) for row in rows(section)]


def test_all_mistakes_are_there_the_most_confident_first(tested):
    section = all_mistakes(tested, CLASSES)
    assert indices(section) == WRONG[::-1]
    assert section.text.startswith("4 of 8 test images are predicted incorrectly.")
    assert '<th scope="col" class="number" aria-sort="descending">confidence</th>' in section.tables
    assert rows(section)[0] == (
        '<td>image </td><td>cat</td><td>ant</td><td class="number" '
        f'data-sort="{float(np.float32(0.4))!r}">40.00%</td><td class="number" data-sort="8">8</td>'
    )
    assert "<td>&lt;bee&gt;</td>" in section.tables


def test_pictures_and_rows_have_a_limit_that_is_stated(tested, monkeypatch):
    monkeypatch.setattr(mistakes_module, "MAX_PICTURES", 2)
    section = all_mistakes(tested, CLASSES)
    assert section.tables.count("<img") == 2
    assert "The table shows all mistakes, 2 of them with pictures" in section.text
    monkeypatch.setattr(mistakes_module, "MAX_ROWS", 3)
    section = all_mistakes(dataclasses.replace(tested, split="train"), CLASSES)
    assert indices(section) == [8, 7, 5]
    assert section.text.startswith("4 of 8 training images are predicted incorrectly.")
    assert "shows 3 mistakes (flax-vision evaluate DIR --split train --predictions" in section.text


def test_no_mistakes(tested):
    tested.predictions.predicted[1:] = tested.images.labels[1:]
    section = all_mistakes(dataclasses.replace(tested, split="validation"), CLASSES)
    assert section.text == "All validation images were predicted correctly."
    assert not section.tables


@pytest.mark.parametrize(
    ("shape", "form", "size", "shown"),
    [
        ((28, 28, 1), "PNG", (28, 28), (64, 64)),
        ((32, 64, 3), "PNG", (64, 32), (64, 32)),
        ((300, 224, 3), "JPEG", (96, 128), (48, 64)),
        ((1, 500, 1), "JPEG", (128, 1), (64, 1)),
    ],
)
def test_thumbnails(shape, form, size, shown):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = thumbnail(pixels, "noise")
    image = Image.open(io.BytesIO(found.content))
    assert (image.format, image.size) == (form, size)
    assert (found.width, found.height) == shown
    assert f'src="data:image/{form.lower()};base64,' in found.html()
    if form == "PNG":
        np.testing.assert_array_equal(np.asarray(image).reshape(shape), pixels)
