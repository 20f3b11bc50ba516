import tracemalloc

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.core import shuffle
from tensorflow_datasets.core.utils import shard_utils

from flax_vision.data.prepare import writer
from flax_vision.data.prepare.writer import write_split

RECORDS = [f"record {i}".encode() * (1 + i % 3) for i in range(2500)]


@pytest.fixture
def builder(tmp_path):
    builder = tfds.builder_cls("mnist")(data_dir=str(tmp_path), file_format="array_record")
    (tmp_path / "mnist/3.0.1").mkdir(parents=True)
    return builder


@pytest.fixture
def raw_records(monkeypatch):
    """Skips the encoding of examples."""
    monkeypatch.setattr(writer, "_serialized", lambda features, records: records)


def ignore(task, done, total):
    """Ignores progress."""


def read(info):
    paths = info.filename_template.sharded_filepaths(len(info.shard_lengths))
    assert [writer._ADAPTER.num_examples(path) for path in paths] == info.shard_lengths
    records = ArrayRecordDataSource([str(path) for path in paths])
    return records.__getitems__(range(len(records)))


@pytest.mark.usefixtures("raw_records")
def test_order_is_that_of_tfds(builder, tmp_path):
    info = write_split(builder, "train", enumerate(RECORDS), 2500, ignore)
    shuffler = shuffle.Shuffler(tmp_path, "train")
    for key, record in enumerate(RECORDS):
        shuffler.add(key, record)
    assert read(info) == [record for _, record in shuffler]
    assert info.num_bytes == shuffler.size
    assert info.num_examples == 2500


@pytest.mark.usefixtures("raw_records")
def test_shards(builder, monkeypatch):
    monkeypatch.setattr(shard_utils.ShardConfig, "min_shard_size", 20_000)
    monkeypatch.setattr(shard_utils.ShardConfig, "max_shard_size", 40_000)
    info = write_split(builder, "test", enumerate(RECORDS), 2500, ignore)
    assert info.shard_lengths == [625] * 4
    assert sorted(read(info)) == sorted(RECORDS)


@pytest.mark.usefixtures("raw_records")
def test_progress(builder):
    calls = []
    write_split(builder, "train", enumerate(RECORDS), 2500, lambda *call: calls.append(call))
    assert calls == [("mnist train", done, 2500) for done in (1000, 2000, 2500)]


@pytest.mark.usefixtures("raw_records")
def test_memory_does_not_grow_with_the_records(builder):
    count = 300
    records = ((i, np.random.default_rng(i).bytes(200_000)) for i in range(count))
    tracemalloc.start()
    try:
        write_split(builder, "train", records, count, ignore)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5e6  # of 60 MB


def test_encoded_images_are_kept(builder):
    info = write_split(builder, "train", [(0, {"image": b"PNG", "label": 3})], 1, ignore)
    (record,) = read(info)
    assert b"PNG" in record
