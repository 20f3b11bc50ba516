"""Tests of image files of all shapes, decoded into crops of one size for one compiled step."""

import dataclasses
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_folders import ignore, load, write_sizes

from flax_vision.evaluation.evaluator import ProtocolEvaluator
from flax_vision.evaluation.host_crops import HostCrops, host_crop_groups
from flax_vision.evaluation.protocols import PROTOCOLS, make_crops

SIZES = [(16, 12), (12, 12), (12, 19), (13, 12), (30, 12)]
"""Widths and heights; the shorter side is 12, so nothing is resized."""

GRID = HostCrops(PROTOCOLS["multi_crop"], 8, (12,), 3)
SQUARES = HostCrops(PROTOCOLS["googlenet_144"], 8, (12,), 3)


@pytest.fixture
def image_files(tmp_path):
    """Image files of two classes, and their pixels."""
    pixels = write_sizes(tmp_path, "ab", SIZES)
    return load(tmp_path)[0], pixels


def decode_crops(image_files, crops):
    views, _ = next(image_files.with_eval_crops(crops).batches([np.arange(len(image_files))], None))
    return np.asarray(views)


def test_grid_to_the_pixel(image_files):
    for views, image in zip(decode_crops(image_files[0], GRID), image_files[1], strict=True):
        height, width, _ = image.shape
        crops = [
            image[top : top + 8, left : left + 8]
            for top in [(height - 8) * i // 4 for i in range(5)]
            for left in [(width - 8) * i // 4 for i in range(5)]
        ]
        np.testing.assert_array_equal(views, crops)


def bilinear(length, size, first, of):
    """Returns weights of the pixels of a line in the pixels of a resized segment."""
    scale = of / size
    middles = first + (np.arange(size) + 0.5) * scale
    shares = 1 - np.abs(middles[:, None] - np.arange(length) - 0.5) / scale
    shares = np.maximum(shares, 0)
    return shares / shares.sum(axis=1, keepdims=True)


def test_squares_and_their_corners(image_files):
    """The squares of an image of 30x12 begin at 0, 9 and 18."""
    views, image = decode_crops(image_files[0], SQUARES)[4], image_files[1][4]
    for number, first in enumerate((0, 9, 18)):
        corners = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
        crops = [image[t : t + 8, first + s : first + s + 8] for t, s in corners]
        np.testing.assert_array_equal(views[6 * number : 6 * number + 5], crops)
        rows, columns = bilinear(12, 8, 0, 12), bilinear(30, 8, first, 12)
        square = np.einsum("yr,xc,rcd->yxd", rows, columns, image)
        np.testing.assert_allclose(views[6 * number + 5], square, atol=1.01)


def test_identical_crops_count_together():
    assert SQUARES.num_crops == 18
    assert SQUARES.counts(30, 12) == [1] * 18
    assert SQUARES.counts(12, 12) == [3] * 6 + [0] * 12
    # The center square of 13x12 begins at the same pixel as the first one.
    assert SQUARES.counts(13, 12) == [2] * 6 + [1] * 6 + [0] * 6
    assert len(SQUARES.crop_boxes(12, 12)) == 18


def test_every_scale_is_cut_from_the_image_file():
    """An image of 40x24 is resized to 20x12 and to 40x24."""
    crops = HostCrops(PROTOCOLS["multi_crop"], 8, (12, 24), 3)
    parts = crops.crop_boxes(40, 24)
    assert len(parts) == crops.num_crops == 50
    assert [part[:4] for part in parts[:2]] == [(0, 0, 16, 16), (6, 0, 22, 16)]
    assert [part[:4] for part in parts[25:27]] == [(0, 0, 8, 8), (8, 0, 16, 8)]


class Ramp(ProtocolEvaluator):
    """A fake model; its scores of a crop are the first pixels."""

    def compile_scores(self, variables, batch_size):
        del variables
        self.metadata.compiled.append(batch_size)

        def scores(variables, crops):
            assert crops.shape == (batch_size, 8, 8, 3)
            self.metadata.computed.append(len(crops))
            x = jnp.asarray(crops[:, 0, 0] / np.float32(64))
            return x - jnp.log(jnp.exp(x).sum(axis=1, keepdims=True))

        return scores


def outcome(images, at_once, requested):
    """Returns the predictions, the numbers of computed crops, and the group."""
    metadata = SimpleNamespace(class_names="abc", compiled=[], computed=[])
    crops = make_crops(SQUARES.protocol, (12, 12), 8, (12,), flip=False)
    evaluator = Ramp(metadata, None, (12, 12, 3), SQUARES.protocol, crops)
    (group,) = host_crop_groups(images, evaluator, ignore)
    group = dataclasses.replace(group, at_once=at_once)
    size = group.batch_size(requested)
    step = group.compile(None, size)
    results = {"loss": 0.0, "count": 0}
    for batch in group.batches(size):
        totals, classes, *_ = step(None, batch)
        results["loss"] += float(totals.loss)
        results["count"] += int(totals.count)
        results |= {int(batch.indices[i]): int(classes[i]) for i in np.flatnonzero(batch.mask)}
    return results, metadata, group


def expected(views, counts, labels):
    """Returns classes and the loss of mean probabilities in double precision."""
    x = np.exp(views[:, :, 0, 0] / 64)
    probabilities = x / x.sum(axis=2, keepdims=True)
    means = np.einsum("nv,nvk->nk", counts, probabilities) / SQUARES.num_crops
    return means.argmax(axis=1), -np.log(means[np.arange(len(labels)), labels]).sum()


@pytest.mark.parametrize(("at_once", "requested"), [(10, None), (3, 7), (4, 1), (1, 1000)])
def test_mean_probabilities_of_all_crops(at_once, requested, image_files):
    images = image_files[0]
    counts = [SQUARES.counts(*size) for size in 2 * SIZES]
    classes, loss = expected(decode_crops(images, SQUARES), counts, images.labels)
    results, metadata, group = outcome(images, at_once, requested)
    assert results.pop("loss") == pytest.approx(loss, rel=1e-5)
    assert results.pop("count") == 10
    assert results == dict(enumerate(classes))
    assert len(metadata.compiled) == 1
    assert group.crops_computed == 18


def test_identical_crops_are_computed_once(image_files):
    _, metadata, _ = outcome(image_files[0], 10, 1)
    # Squares that begin at 0, 2 and 4 share two corners, and so do squares at 0, 3 and 7.
    assert sum(metadata.computed) == 2 * (16 + 6 + 16 + 12 + 18)


def test_unreadable_image_files_are_not_computed(tmp_path):
    write_sizes(tmp_path, "ab", SIZES[:2])
    for name in ("a/0.png", "b/1.png"):
        (tmp_path / name).write_bytes(b"nothing")
    image_files, _, _ = load(tmp_path, on_error="skip")
    results, metadata, _ = outcome(image_files, 1, 1)
    assert results["count"] == 2
    assert sorted(results.keys() - {"loss", "count"}) == [1, 2]
    assert sum(metadata.computed) == 6 + 16
    assert len(image_files) == 4
