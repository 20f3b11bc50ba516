"""Record stores of the small sets, whose archives are read as streams."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flax_vision.data.dataset import ProgressFn
from flax_vision.data.prepare.record_store import Records, Spool

_REPORT = 1000
"""Records between two reports of progress."""

RecordsFn = Callable[[Any, Mapping[str, Path], str, int], Records]
"""Function that gets a TFDS builder, the files by published name, a split and its number of images,
and streams the records."""


@contextlib.contextmanager
def spooled_stores(
    records: RecordsFn,
    builder: Any,
    files: Mapping[str, Path],
    counts: Mapping[str, int],
    scratch: Path,
    on_progress: ProgressFn,
) -> Iterator[Mapping[str, Spool]]:
    """Yields stores with the records of each split, in temporary files.

    Args:
      records: Function that streams the records of a split.
      builder: TFDS builder.
      files: Paths of the archives by published name.
      counts: Number of images by split.
      scratch: Directory for the temporary files.
      on_progress: Function that gets a text, the records done and the total.

    Raises:
      UserError: An archive is damaged.
      OSError: The disk is full.
    """
    with contextlib.ExitStack() as stack:
        stores = {}
        for split, count in counts.items():
            file = stack.enter_context(tempfile.TemporaryFile(dir=scratch))
            stores[split] = store = Spool(file, split)
            stream = records(builder, files, split, count)
            for done in store.fill(builder.info.features, stream):
                if done % _REPORT == 0 or done == count:
                    on_progress(f"{builder.name} {split}", done, count)
        yield stores
