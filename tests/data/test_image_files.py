"""Batches of image files: equal for any number of threads, and without unreadable images."""

import signal
import threading
import time
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from tiny_folders import CROP_POLICY, load, write

from flax_vision.data import image_files as image_files_module
from flax_vision.data.batches import (
    batch_shapes,
    epoch_order,
    evaluation_batches,
    sample_batch,
    training_batches,
)
from flax_vision.data.crops import CenterCrop
from flax_vision.data.dataset import stratified_split
from flax_vision.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("pictures"), "abc", 7)


@pytest.fixture
def damaged(tmp_path):
    """Twelve images; decoding fails for two, one of each class."""
    write(tmp_path)
    for name in ("a/2.png", "b/5.png"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    return tmp_path


def pixels(batches):
    return np.concatenate([batch.images for batch in batches])


def test_evaluation_has_center_crops(folder):
    photographs, _, _ = load(folder)
    (batch,) = evaluation_batches(photographs, 21)
    for index, crop in enumerate(batch.images):
        image = Image.open(photographs.files.name(index))
        scale = 10 / min(image.size)
        size = [round(side * scale) for side in image.size]
        left, top = ((side - 8) // 2 for side in size)
        whole = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        np.testing.assert_allclose(crop, whole[top : top + 8, left : left + 8], atol=1)
    np.testing.assert_array_equal(batch.labels, photographs.labels)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_crops_depend_on_seed_epoch_and_index_alone(folder, threads):
    reference = list(training_batches(load(folder, num_threads=3)[0], 5, seed=1, epoch=2))
    photographs, _, _ = load(folder, num_threads=threads)
    again = list(training_batches(photographs, 5, seed=1, epoch=2))
    np.testing.assert_array_equal(pixels(again), pixels(reference))
    (whole,) = training_batches(photographs, 20, seed=1, epoch=2)
    np.testing.assert_array_equal(pixels(again), whole.images)
    order = epoch_order(21, 1, 2)[:20]
    np.testing.assert_array_equal(whole.indices, order)
    np.testing.assert_array_equal(whole.labels, photographs.labels[order])


@pytest.mark.parametrize(("seed", "epoch"), [(1, 3), (2, 2)])
def test_crops_differ_by_seed_and_epoch(folder, seed, epoch):
    photographs, _, _ = load(folder)
    groups = [np.arange(21)]
    ((first, _),) = photographs.batches(groups, (1, 2))
    ((other, _),) = photographs.batches(groups, (seed, epoch))
    same = (first == other).all(axis=(1, 2, 3))
    assert same.mean() < 0.5


def test_each_image_has_its_own_random_numbers(tmp_path):
    """Copies of one image have different crops."""
    write(tmp_path, count=8)
    for file in tmp_path.rglob("*.png"):
        file.write_bytes((tmp_path / "a/0.png").read_bytes())
    ((crops, _),) = load(tmp_path)[0].batches([np.arange(16)], (0, 0))
    assert len({crop.tobytes() for crop in crops}) > 8


def test_constant_order_has_new_crops(folder):
    photographs, _, _ = load(folder)
    first, second = (
        next(training_batches(photographs, 21, 0, epoch, reshuffle=False)) for epoch in (0, 1)
    )
    np.testing.assert_array_equal(first.indices, second.indices)
    assert (first.images != second.images).any(axis=(1, 2, 3)).mean() > 0.5


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_an_epoch_resumes_in_its_middle(folder, start):
    photographs, _, _ = load(folder)
    everything = list(training_batches(photographs, 5, 0, 0))
    rest = list(training_batches(photographs, 5, 0, 0, start))
    assert len(rest) == 4 - start
    for batch, same in zip(rest, everything[start:], strict=True):
        np.testing.assert_array_equal(batch.images, same.images)
        np.testing.assert_array_equal(batch.indices, same.indices)


@pytest.mark.parametrize("batch_size", [1, 8, 21, 30])
def test_evaluation_counts_every_photograph_once(folder, batch_size):
    photographs, _, _ = load(folder)
    (whole,) = evaluation_batches(photographs, 21)
    batches = list(evaluation_batches(photographs, batch_size))
    assert {len(batch.images) for batch in batches} == {batch_size}
    mask = np.concatenate([batch.mask for batch in batches])
    np.testing.assert_array_equal(pixels(batches)[mask], whole.images)


def test_subsets_keep_their_files(folder):
    photographs, _, _ = load(folder)
    rest, subset = stratified_split(photographs, 2 / 7)
    assert np.bincount(subset.labels).tolist() == [2, 2, 2]
    assert np.bincount(rest.labels).tolist() == [5, 5, 5]
    assert sorted([*rest.indices, *subset.indices]) == list(range(21))
    (batch,) = evaluation_batches(subset, 6)
    (whole,) = evaluation_batches(photographs, 21)
    np.testing.assert_array_equal(batch.images, whole.images[subset.indices])


def test_batches_match_their_shapes(folder):
    photographs, _, _ = load(folder)
    shapes = batch_shapes(photographs.image_shape, 21)
    (batch,) = training_batches(photographs, 21, 0, 0)
    for array, shape in zip(batch, shapes, strict=True):
        assert (array.shape, array.dtype) == (shape.shape, shape.dtype)
    assert photographs.image_shape == (8, 8, 3)


def test_batches_are_numpy_arrays(folder):
    (batch,) = training_batches(load(folder)[0], 21, 0, 0)
    assert {type(array) for array in batch} == {np.ndarray}


def test_sample_batch(folder):
    chosen = sample_batch(load(folder)[0], 4, seed=1, epoch=2)
    np.testing.assert_array_equal(chosen.indices, epoch_order(21, 1, 2)[:4])
    assert chosen.images.shape == (4, 8, 8, 3)


def test_image_that_cannot_be_read_is_an_error_with_its_name(damaged):
    photographs, _, _ = load(damaged)
    with pytest.raises(UserError, match="image '.*a/2.png' cannot be read .*on_error=skip"):
        list(evaluation_batches(photographs, 4))


def test_missing_image_is_an_error_with_its_name(tmp_path):
    photographs, _, _ = load(write(tmp_path))
    (tmp_path / "a/3.png").unlink()
    with pytest.raises(UserError, match="a/3.png' cannot be read .No such file or directory"):
        list(evaluation_batches(photographs, 12))


@pytest.mark.parametrize("threads", [1, 3])
def test_skipped_images_do_not_count(damaged, threads):
    photographs, _, _ = load(damaged, on_error="skip", num_threads=threads)
    assert photographs.unreadable == {}
    (batch,) = training_batches(photographs, 12, 0, 0)
    bad = np.isin(batch.indices, [2, 11])
    np.testing.assert_array_equal(batch.mask, ~bad)
    images = batch.images
    # The first readable image replaces them.
    np.testing.assert_array_equal(images[bad][0], images[~bad][0])
    assert list(photographs.unreadable) == [str(damaged / "a/2.png"), str(damaged / "b/5.png")]
    (tested,) = evaluation_batches(photographs, 12)
    assert np.flatnonzero(~tested.mask).tolist() == [2, 11]
    assert len(photographs.unreadable) == 2


def test_batch_without_one_readable_image(damaged):
    for file in damaged.rglob("*.png"):
        file.write_bytes(b"nothing")
    photographs, _, _ = load(damaged, on_error="skip")
    (batch,) = evaluation_batches(photographs, 12)
    assert not batch.mask.any()


def test_threads_end_with_the_iterator(folder):
    before = set(threading.enumerate())
    batches = training_batches(load(folder, num_threads=2)[0], 2, 0, 0)
    next(batches)
    started = set(threading.enumerate()) - before
    assert started
    batches.close()
    for thread in started:
        thread.join(timeout=2)
    assert not any(thread.is_alive() for thread in started)


def test_signal_does_not_wait_for_a_blocked_reader(folder, monkeypatch):
    """A file may never arrive, as from a dead server."""

    def stop(number, frame):
        raise InterruptedError

    comes = threading.Event()
    monkeypatch.setattr(image_files_module, "decode_crops", lambda *_: comes.wait(5))
    previous, start = signal.signal(signal.SIGALRM, stop), time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with pytest.raises(InterruptedError):
        next(load(folder, on_error="skip")[0].batches([np.arange(4)], None))
    assert time.monotonic() - start < 3
    signal.signal(signal.SIGALRM, previous)
    comes.set()


def test_next_batches_are_decoded_ahead(folder, monkeypatch):
    """Two more batches are decoded while the first is in use."""
    decode = Mock(wraps=image_files_module.decode_crops)
    monkeypatch.setattr(image_files_module, "decode_crops", decode)
    batches = training_batches(load(folder, num_threads=2)[0], 3, 0, 0)
    next(batches)
    deadline = threading.Event()
    for _ in range(100):
        if decode.call_count >= 9:
            break
        deadline.wait(0.05)
    assert decode.call_count >= 9
    batches.close()


def test_crop_policy_of_the_dataset(folder):
    assert load(folder)[0].decode_config.crop == CROP_POLICY


def test_other_eval_crops_to_the_pixel(tmp_path):
    """At its own size an image keeps its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 10, 17, 3), np.uint8)
    for name, image in zip("ab", pixels, strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "0.png")
    photographs, _, _ = load(tmp_path)
    other = photographs.with_eval_crops(CenterCrop(10, 13, 10))
    (batch,) = evaluation_batches(other, 2)
    np.testing.assert_array_equal(batch.images, pixels[:, :, 2:15])
    assert other.image_shape == batch_shapes(other.image_shape, 2).images.shape[1:] == (10, 13, 3)
    assert photographs.image_shape == (8, 8, 3)


def test_sizes_come_in_order_from_headers(damaged):
    (damaged / "b/1.png").write_bytes(b"nothing")
    photographs, _, _ = load(damaged, on_error="skip")
    progress = []
    sizes = photographs.take(np.arange(11, -1, -1)).sizes(lambda *call: progress.append(call))
    assert sizes[4] is None  # two damaged images have a header
    files = [photographs.files.name(index) for index in range(11, -1, -1) if index != 7]
    assert [size for size in sizes if size] == [Image.open(name).size for name in files]
    assert [done for _, done, _ in progress] == list(range(1, 13))


def test_header_that_cannot_be_read_is_an_error(tmp_path):
    photographs, _, _ = load(write(tmp_path))
    (tmp_path / "b/1.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="b/1.png' cannot be read"):
        photographs.sizes(lambda *progress: None)


def test_each_use_of_an_image_has_its_own_crop(folder):
    images, _, _ = load(folder)
    ((found, is_readable),) = images.batches([np.array([3, 3 + 21, 3 + 42])], (0, 0))
    assert is_readable.all()
    assert len({crop.tobytes() for crop in found}) == 3


def test_later_use_of_an_unreadable_image_is_skipped_by_its_name(damaged):
    images, _, _ = load(damaged, on_error="skip")
    ((_, is_readable),) = images.batches([np.array([2 + 12, 3 + 12])], (0, 0))
    assert is_readable.tolist() == [False, True]
    assert list(images.unreadable) == [str(damaged / "a/2.png")]
