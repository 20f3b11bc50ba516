"""Photographs of all shapes, cut into crops of one size, by one compiled step."""

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
"""Width and height: no photograph is scaled where its shorter side is brought to 12."""

GRID = HostCrops(PROTOCOLS["multi_crop"], 8, (12,), 3)
SQUARES = HostCrops(PROTOCOLS["googlenet_144"], 8, (12,), 3)


@pytest.fixture
def photographs(tmp_path):
    """Of two classes, and their pixels."""
    pixels = write_sizes(tmp_path, "ab", SIZES)
    return load(tmp_path)[0], pixels


def seen(photographs, crops):
    views, _ = next(photographs.tested_on(crops).views([np.arange(len(photographs))], None))
    return np.asarray(views)


def test_grid_to_the_pixel(photographs):
    for views, image in zip(seen(photographs[0], GRID), photographs[1], strict=True):
        height, width, _ = image.shape
        crops = [
            image[top : top + 8, left : left + 8]
            for top in [(height - 8) * i // 4 for i in range(5)]
            for left in [(width - 8) * i // 4 for i in range(5)]
        ]
        np.testing.assert_array_equal(views, crops)


def bilinear(length, size, first, of):
    """Shares of the pixels of a line in those of a part that is brought to a smaller size."""
    scale = of / size
    middles = first + (np.arange(size) + 0.5) * scale
    shares = 1 - np.abs(middles[:, None] - np.arange(length) - 0.5) / scale
    shares = np.maximum(shares, 0)
    return shares / shares.sum(axis=1, keepdims=True)


def test_squares_and_their_corners(photographs):
    """The squares of 30x12 begin at 0, 9 and 18."""
    views, image = seen(photographs[0], SQUARES)[4], photographs[1][4]
    for number, first in enumerate((0, 9, 18)):
        corners = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
        crops = [image[t : t + 8, first + s : first + s + 8] for t, s in corners]
        np.testing.assert_array_equal(views[6 * number : 6 * number + 5], crops)
        rows, columns = bilinear(12, 8, 0, 12), bilinear(30, 8, first, 12)
        square = np.einsum("yr,xc,rcd->yxd", rows, columns, image)
        np.testing.assert_allclose(views[6 * number + 5], square, atol=1.01)


def test_crops_that_coincide_count_together():
    assert SQUARES.num_crops == 18
    assert SQUARES.counts(30, 12) == [1] * 18
    assert SQUARES.counts(12, 12) == [3] * 6 + [0] * 12
    # The middle one of the squares of 13x12 begins where the first does.
    assert SQUARES.counts(13, 12) == [2] * 6 + [1] * 6 + [0] * 6
    assert len(SQUARES.parts(12, 12)) == 18


def test_every_scale_is_one_of_the_photograph_itself():
    """Of 40x24, brought to 20x12 and to 40x24."""
    crops = HostCrops(PROTOCOLS["multi_crop"], 8, (12, 24), 3)
    parts = crops.parts(40, 24)
    assert len(parts) == crops.num_crops == 50
    assert [part[:4] for part in parts[:2]] == [(0, 0, 16, 16), (6, 0, 22, 16)]
    assert [part[:4] for part in parts[25:27]] == [(0, 0, 8, 8), (8, 0, 16, 8)]


class Ramp(ProtocolEvaluator):
    """In place of a network: what it makes of a crop is its first pixels."""

    def compile_scores(self, variables, batch_size):
        del variables
        self.metadata.compiled.append(batch_size)

        def scores(variables, crops):
            assert crops.shape == (batch_size, 8, 8, 3)
            self.metadata.computed.append(len(crops))
            x = jnp.asarray(crops[:, 0, 0] / np.float32(64))
            return x - jnp.log(jnp.exp(x).sum(axis=1, keepdims=True))

        return scores


def outcome(images, at_once, wanted):
    """Returns what was found, what was computed, and how the images were shown."""
    metadata = SimpleNamespace(class_names="abc", compiled=[], computed=[])
    crops = make_crops(SQUARES.protocol, (12, 12), 8, (12,), flip=False)
    evaluator = Ramp(metadata, None, (12, 12, 3), SQUARES.protocol, crops)
    (group,) = host_crop_groups(images, evaluator, ignore)
    group = dataclasses.replace(group, at_once=at_once)
    size = group.batch_size(wanted)
    step = group.compile(None, size)
    found = {"loss": 0.0, "count": 0}
    for batch in group.batches(size):
        totals, classes, _ = step(None, batch)
        found["loss"] += float(totals.loss)
        found["count"] += int(totals.count)
        found |= {int(batch.place[i]): int(classes[i]) for i in np.flatnonzero(batch.mask)}
    return found, metadata, group


def expected(views, counts, labels):
    """Mean posteriors in double precision."""
    x = np.exp(views[:, :, 0, 0] / 64)
    posteriors = x / x.sum(axis=2, keepdims=True)
    means = np.einsum("nv,nvk->nk", counts, posteriors) / SQUARES.num_crops
    return means.argmax(axis=1), -np.log(means[np.arange(len(labels)), labels]).sum()


@pytest.mark.parametrize(("at_once", "wanted"), [(10, None), (3, 7), (4, 1), (1, 1000)])
def test_mean_of_the_posteriors_of_all_crops(at_once, wanted, photographs):
    images = photographs[0]
    counts = [SQUARES.counts(*size) for size in 2 * SIZES]
    classes, loss = expected(seen(images, SQUARES), counts, images.labels)
    found, metadata, group = outcome(images, at_once, wanted)
    assert found.pop("loss") == pytest.approx(loss, rel=1e-5)
    assert found.pop("count") == 10
    assert found == dict(enumerate(classes))
    assert len(metadata.compiled) == 1
    assert group.crops_computed == 18


def test_crops_that_coincide_are_computed_once(photographs):
    _, metadata, _ = outcome(photographs[0], 10, 1)
    # Squares that begin at 0, 2 and 4 have two corners in common, as those at 0, 3 and 7 have.
    assert sum(metadata.computed) == 2 * (16 + 6 + 16 + 12 + 18)


def test_photographs_that_cannot_be_read_are_not_computed(tmp_path):
    write_sizes(tmp_path, "ab", SIZES[:2])
    for name in ("a/0.png", "b/1.png"):
        (tmp_path / name).write_bytes(b"nothing")
    photographs, _, _ = load(tmp_path, on_error="skip")
    found, metadata, _ = outcome(photographs, 1, 1)
    assert found["count"] == 2
    assert sorted(found.keys() - {"loss", "count"}) == [1, 2]
    assert sum(metadata.computed) == 6 + 16
    assert len(photographs) == 4
