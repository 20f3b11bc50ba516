import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.core import shuffle
from tensorflow_datasets.core.utils import shard_utils

from flax_vision.data.label_index import read_labels
from flax_vision.data.prepare import writer
from flax_vision.data.prepare.record_store import Spool
from flax_vision.data.prepare.writer import write_split

RECORDS = [f"record {i}".encode() * (1 + i % 3) for i in range(2500)]


@pytest.fixture
def builder(tmp_path):
    builder = tfds.builder_cls("mnist")(data_dir=str(tmp_path), file_format="array_record")
    (tmp_path / "mnist/3.0.1").mkdir(parents=True)
    return builder


@pytest.fixture
def spool(tmp_path):
    """A function that returns a store of records, whose labels are their numbers."""
    with (tmp_path / "spool").open("w+b") as file:

        def fill(records, split="train"):
            store = Spool(file, split)
            for key, record in enumerate(records):
                store.add(key, key, record)
            file.flush()
            return store

        yield fill


@pytest.fixture
def small_shards(monkeypatch):
    """Makes four shards of the records."""
    monkeypatch.setattr(shard_utils.ShardConfig, "min_shard_size", 20_000)
    monkeypatch.setattr(shard_utils.ShardConfig, "max_shard_size", 40_000)


def ignore(task, done, total):
    """Ignores progress."""


def paths(info):
    return info.filename_template.sharded_filepaths(len(info.shard_lengths))


def read(info):
    assert [writer._ADAPTER.num_examples(path) for path in paths(info)] == info.shard_lengths
    records = ArrayRecordDataSource([str(path) for path in paths(info)])
    return records.__getitems__(range(len(records)))


def test_order_is_that_of_tfds(builder, spool, tmp_path):
    info = write_split(builder, "train", spool(RECORDS), ignore)
    shuffler = shuffle.Shuffler(tmp_path, "train")
    for key, record in enumerate(RECORDS):
        shuffler.add(key, record)
    assert read(info) == [record for _, record in shuffler]
    assert info.num_bytes == shuffler.size
    assert info.num_examples == 2500


@pytest.mark.usefixtures("small_shards")
def test_shards(builder, spool):
    info = write_split(builder, "test", spool(RECORDS, "test"), ignore)
    assert info.shard_lengths == [625] * 4
    assert sorted(read(info)) == sorted(RECORDS)


@pytest.mark.usefixtures("small_shards")
def test_labels_are_in_the_order_of_the_records(builder, spool):
    info = write_split(builder, "train", spool(RECORDS), ignore)
    labels = read_labels(Path(builder.data_path), "train", 2500)
    assert read(info) == [RECORDS[label] for label in labels]


@pytest.mark.usefixtures("small_shards")
def test_progress(builder, spool):
    calls = []
    write_split(builder, "train", spool(RECORDS), lambda *call: calls.append(call))
    assert calls == [("mnist train", done, 2500) for done in (625, 1250, 1875, 2500)]


@pytest.mark.usefixtures("small_shards")
def test_complete_shards_are_kept(builder, spool):
    store = spool(RECORDS)
    info = write_split(builder, "train", store, ignore)
    expected = [Path(path).read_bytes() for path in paths(info)]
    times = [Path(path).stat().st_mtime_ns for path in paths(info)]
    Path(paths(info)[2]).unlink()
    unfinished = Path(paths(info)[2]).with_name(f".{Path(paths(info)[2]).name}.unfinished")
    unfinished.write_bytes(expected[2][:500])
    write_split(builder, "train", store, ignore)
    assert [Path(path).read_bytes() for path in paths(info)] == expected
    changed = [Path(path).stat().st_mtime_ns for path in paths(info)]
    assert changed[2] != times[2]
    assert changed[:2] + changed[3:] == times[:2] + times[3:]
    assert not unfinished.exists()


@pytest.mark.usefixtures("small_shards")
def test_shard_gets_its_name_at_its_end(builder, spool):
    class Interrupted(Spool):
        def read(self, index):
            if sum(path.suffix != ".unfinished" for path in folder.iterdir()) == 1:
                raise KeyboardInterrupt
            return super().read(index)

    folder, store = Path(builder.data_path), spool(RECORDS)
    store.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        write_split(builder, "train", store, ignore)
    whole = [path for path in folder.iterdir() if path.suffix != ".unfinished"]
    assert sum(map(writer._ADAPTER.num_examples, whole)) in (625, 1250)


def test_memory_does_not_grow_with_the_records(builder, spool):
    store = spool(np.random.default_rng(i).bytes(200_000) for i in range(300))
    tracemalloc.start()
    try:
        write_split(builder, "train", store, ignore)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5e6  # of 60 MB
