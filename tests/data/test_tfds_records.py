"""Labels of a set that counts as large."""

import resource
import shutil

import numpy as np
import pytest
import tiny_tfds
from tiny_folders import ignore
from tiny_tfds import DECODE_CONFIG, NAME, TEST, TRAIN

from flax_vision.data import tfds_records
from flax_vision.data.batches import evaluation_batches
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.label_index import write_labels
from flax_vision.data.lazy_labels import LazyLabels
from flax_vision.data.tfds import has_lazy_labels, tfds_loaders
from flax_vision.data.tfds_records import TfdsRecords
from flax_vision.errors import UserError
from flax_vision.evaluation.run_data import OPTIONS


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tfds")
    tiny_tfds.prepare(directory)
    return directory


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache directory of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/flax_vision"


@pytest.fixture
def large(monkeypatch):
    """Makes every set a large one."""
    monkeypatch.setattr(tfds_records, "_MAX_SCANNED_RECORDS", TRAIN - 1)


def load(directory, stratify="auto", split="train", on_progress=ignore, decode=DECODE_CONFIG):
    return tfds_loaders(NAME, str(directory), on_progress, decode, stratify=stratify)[split]()


@pytest.fixture(scope="module")
def expected(directory, tmp_path_factory):
    """The labels of the training split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return load(directory).labels


@pytest.mark.parametrize("limit", ["_MAX_SCANNED_RECORDS", "_MAX_SCANNED_BYTES"])
def test_large_set_is_not_scanned(limit, directory, monkeypatch):
    monkeypatch.setattr(TfdsRecords, "enumerate", pytest.fail)
    monkeypatch.setattr(tfds_records, limit, 10)
    for split, count in (("train", TRAIN), ("test", TEST)):
        images = load(directory, split=split)
        assert isinstance(images.labels, LazyLabels)
        assert not images.labels_known
        assert len(images) == len(images.labels) == count


@pytest.mark.parametrize(("records", "is_lazy"), [(TRAIN, False), (TRAIN - 1, True)])
def test_limit(records, is_lazy, directory, monkeypatch):
    monkeypatch.setattr(tfds_records, "_MAX_SCANNED_RECORDS", records)
    assert has_lazy_labels(NAME, str(directory), DECODE_CONFIG) is is_lazy
    assert isinstance(load(directory).labels, LazyLabels) is is_lazy


def test_labels_come_with_the_images(directory, large, expected, monkeypatch):
    images = load(directory).take(np.arange(TRAIN)[::-1])
    monkeypatch.setattr(TfdsRecords, "labels", count_reads(TfdsRecords.labels, reads := []))
    batches = list(evaluation_batches(images, 20))
    labels = np.concatenate([batch.labels for batch in batches])
    np.testing.assert_array_equal(labels, expected[::-1])
    pixels = np.concatenate([batch.images for batch in batches])
    np.testing.assert_array_equal(labels, tiny_tfds.labels_of(pixels))
    np.testing.assert_array_equal(images.labels, expected[::-1])
    assert not reads


def count_reads(labels, reads):
    """Returns the function `labels`, which adds each of its reports of progress to `reads`."""

    def counted(self, indices, on_progress):
        return labels(self, indices, lambda *progress: reads.append(progress))

    return counted


def test_all_labels_are_read_on_demand(directory, large, expected, monkeypatch):
    monkeypatch.setattr(tfds_records, "_CHUNK", 40)
    progress = []
    images = load(directory, on_progress=lambda *call: progress.append(call))
    next(images.batches([np.arange(10)], None))
    assert not progress
    np.testing.assert_array_equal(images.labels, expected)
    title = f"labels of {NAME} train"
    assert progress == [(title, 40, TRAIN - 10), (title, TRAIN - 10, TRAIN - 10)]
    np.testing.assert_array_equal(images.labels, expected)
    assert len(progress) == 2


def test_index_of_labels(directory, large, tmp_path, expected, monkeypatch):
    shutil.copytree(directory / NAME, tmp_path / NAME)
    records = next(tmp_path.rglob("dataset_info.json")).parent
    write_labels(records, "train", expected)
    assert has_lazy_labels(NAME, str(tmp_path), DECODE_CONFIG)
    write_labels(records, "test", np.zeros(TEST))
    assert not has_lazy_labels(NAME, str(tmp_path), DECODE_CONFIG)
    monkeypatch.setattr(TfdsRecords, "enumerate", pytest.fail)
    images = load(tmp_path, "always")
    assert images.labels_known
    np.testing.assert_array_equal(images.labels, expected)
    assert not load(tmp_path, "never").labels_known


def test_cached_labels_of_a_large_set(directory, large, cache, expected, monkeypatch):
    for split in ("train", "test"):
        assert has_lazy_labels(NAME, str(directory), DECODE_CONFIG)
        assert load(directory, "always", split).labels_known
    assert not has_lazy_labels(NAME, str(directory), DECODE_CONFIG)
    assert all(file.name.startswith("labels-") for file in cache.iterdir())  # no unfinished one
    monkeypatch.setattr(TfdsRecords, "enumerate", pytest.fail)
    np.testing.assert_array_equal(load(directory).labels, expected)


def test_small_set_without_stratified_splits(directory, monkeypatch):
    monkeypatch.setattr(TfdsRecords, "enumerate", pytest.fail)
    assert not load(directory, "never").labels_known


def test_more_files_than_a_process_may_open(directory, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (257, 257))
    with pytest.raises(UserError, match="'tiny_records' has 2 files, .* may open only 257"):
        load(directory)


def test_label_of_a_damaged_record(directory, large, expected, monkeypatch):
    images = load(directory, decode=DecodeConfig(DECODE_CONFIG.crop, "skip", flags=OPTIONS))
    source = images.files._source
    damage(monkeypatch, type(source), 5)
    (batch,) = evaluation_batches(images, TRAIN)
    assert np.flatnonzero(~batch.mask).tolist() == [5]
    assert images.labels[5] == -1
    assert "record 5" in next(iter(images.unreadable))
    assert load(directory).labels[np.arange(7)].tolist() == [*expected[:5], -1, expected[6]]


def damage(monkeypatch, kind, damaged):
    """Makes one record of every data source unreadable."""
    getitem, getitems = kind.__getitem__, kind.__getitems__

    def read_one(self, index):
        if index == damaged:
            raise ValueError("it is damaged")
        return getitem(self, index)

    def read_many(self, indices):
        if damaged in indices:
            raise ValueError("one is damaged")
        return getitems(self, indices)

    monkeypatch.setattr(kind, "__getitem__", read_one)
    monkeypatch.setattr(kind, "__getitems__", read_many)
