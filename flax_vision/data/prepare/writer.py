"""Writer of a split's shards in TFDS's order, in constant memory."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_datasets.core import file_adapters, naming, splits
from tensorflow_datasets.core.utils import shard_utils

from flax_vision.data.dataset import ProgressFn
from flax_vision.data.label_index import write_labels
from flax_vision.data.prepare.record_store import RecordStore

_ADAPTER = file_adapters.ADAPTER_FOR_FORMAT[file_adapters.FileFormat.ARRAY_RECORD]


def write_split(
    builder: Any, split: str, store: RecordStore, on_progress: ProgressFn
) -> splits.SplitInfo:
    """Writes the ArrayRecord shards of a split, with TFDS's order, shards and names.

    Existing shards are kept: a shard gets its name when it is complete and on the disk.

    Args:
      builder: TFDS builder, whose `data_path` gets the shards and the labels.
      split: Name of the split.
      store: Records.
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
    size, order = int(store.sizes.sum()), store.order
    num_shards = shard_utils.ShardConfig().get_number_shards(size, len(order))
    paths = [
        Path(template.sharded_filepath(shard_index=shard, num_shards=num_shards))
        for shard in range(num_shards)
    ]
    ends = shard_utils.get_shard_boundaries(len(order), num_shards)
    shards = np.split(order, ends[:-1])

    def show(done: int) -> None:
        on_progress(f"{builder.name} {split}", done, len(order))

    _ShardWriter(store, show).write(paths, shards)
    write_labels(Path(builder.data_path), split, store.labels[order])
    lengths = [len(shard) for shard in shards]
    return splits.SplitInfo(
        name=split, shard_lengths=lengths, num_bytes=size, filename_template=template
    )


class _ShardWriter:
    """Writer of the shards that are missing.

    Args:
      store: Records.
      show: Function that gets the number of records done.
    """

    def __init__(self, store: RecordStore, show: Callable[[int], None]) -> None:
        self._store = store
        self._show = show

    def write(self, paths: Sequence[Path], shards: Sequence[np.ndarray]) -> None:
        """Writes the missing shards; one is flushed to the disk while the next one is written."""
        done, finishing = 0, Future[None]()
        finishing.set_result(None)
        following = [*shards[1:], np.empty(0, np.int64)]
        with ThreadPoolExecutor(1) as pool:
            for path, indices, soon in zip(paths, shards, following, strict=True):
                if not path.exists():
                    unfinished = path.with_name(f".{path.name}.unfinished")
                    self._store.prefetch(soon.tolist())
                    self._write_shard(unfinished, indices)
                    finishing.result()
                    finishing = pool.submit(_finish, unfinished, path)
                done += len(indices)
                self._show(done)
            finishing.result()

    def _write_shard(self, path: Path, indices: np.ndarray) -> None:
        path.unlink(missing_ok=True)
        read = self._store.read
        try:
            _ADAPTER.write_examples(str(path), ((0, read(index)) for index in indices.tolist()))
        except RuntimeError as error:  # ArrayRecord's error for a full disk
            path.unlink(missing_ok=True)
            raise OSError(str(error).partition(";")[0]) from error


def _finish(unfinished: Path, path: Path) -> None:
    """Gives a shard its name when its bytes are on the disk."""
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)
