"""Writer of a split's records in TFDS's order, in constant memory."""

import io
import os
import tempfile
from array import array
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from PIL import Image
from tensorflow_datasets.core import example_serializer, file_adapters, hashing, naming, splits
from tensorflow_datasets.core.utils import shard_utils

from flax_vision.data.dataset import ProgressFn
from flax_vision.data.prepare.sets import Records

_REPORT = 1000
"""Records between two reports of progress."""

_ADAPTER = file_adapters.ADAPTER_FOR_FORMAT[file_adapters.FileFormat.ARRAY_RECORD]


def write_split(
    builder: Any, split: str, records: Records, count: int, on_progress: ProgressFn
) -> splits.SplitInfo:
    """Writes the ArrayRecord shards of a split, with TFDS's order, shards and names.

    Args:
      builder: TFDS builder, whose `data_path` gets the shards.
      split: Name of the split.
      records: Keys and examples.
      count: Number of records.
      on_progress: Function that gets a text, the records done and the total.

    Returns:
      TFDS's description of the split.

    Raises:
      OSError: The disk is full.
    """
    template = naming.ShardedFileTemplate(
        data_dir=builder.data_path,
        dataset_name=builder.name,
        split=split,
        filetype_suffix=_ADAPTER.FILE_SUFFIX,
    )
    with tempfile.TemporaryFile(dir=builder.data_path) as file:
        spool = _Spool(file, split)
        for done, (key, record) in enumerate(_serialized(builder.info.features, records), 1):
            spool.add(key, record)
            if done % _REPORT == 0 or done == count:
                on_progress(f"{builder.name} {split}", done, count)
        lengths = _write_shards(spool, template)
    return splits.SplitInfo(
        name=split, shard_lengths=lengths, num_bytes=spool.size, filename_template=template
    )


class _Spool:
    """Records on disk in the order of their arrival, read in the order of their hashed keys.

    Args:
      file: Temporary file for the records.
      salt: Name of the split, which TFDS hashes with each key.

    Attributes:
      size: Bytes of all records.
    """

    def __init__(self, file: IO[bytes], salt: str) -> None:
        self.size = 0
        self._file = file
        self._hasher = hashing.Hasher(salt)
        self._digests = bytearray()
        self._offsets = array("Q", [0])

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def add(self, key: int | str, record: bytes) -> None:
        """Appends a record."""
        self._file.write(record)
        self.size += len(record)
        self._offsets.append(self.size)
        self._digests += self._hasher.hash_key(key).to_bytes(16, "big")

    def shuffled(self) -> Iterator[bytes]:
        """Yields the records in the order of the hashes."""
        self._file.flush()
        high, low = np.frombuffer(self._digests, ">u8").reshape(-1, 2).T
        for index in np.lexsort((low, high)):
            start, end = self._offsets[index : index + 2]
            yield os.pread(self._file.fileno(), end - start, start)


def _write_shards(spool: _Spool, template: naming.ShardedFileTemplate) -> list[int]:
    """Writes the shards, and returns the number of records in each."""
    num_shards = shard_utils.ShardConfig().get_number_shards(spool.size, len(spool))
    ends = shard_utils.get_shard_boundaries(len(spool), num_shards)
    lengths = np.diff([0, *ends]).tolist()
    records = spool.shuffled()
    for shard, length in enumerate(lengths):
        path = template.sharded_filepath(shard_index=shard, num_shards=num_shards)
        try:
            _ADAPTER.write_examples(path, ((0, next(records)) for _ in range(length)))
        except RuntimeError as error:  # ArrayRecord's error for a full disk
            raise OSError(str(error).partition(";")[0]) from error
    return lengths


def _serialized(features: Any, records: Records) -> Iterator[tuple[int, bytes]]:
    """Yields the keys and the records as TFDS serializes them."""
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
    for key, example in records:
        image = example["image"]
        encoded = image if isinstance(image, bytes) else _png(image)  # TFDS would use TensorFlow
        encodable = features.encode_example({**example, "image": encoded})
        yield key, serializer.serialize_example(encodable)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return file.getvalue()
