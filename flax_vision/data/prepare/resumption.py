"""Unfinished sets, which the next run of the command resumes."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from flax_vision.data.prepare.record_store import RecordStore
from flax_vision.runtime.files import replaced_file

_IDENTITY = "identity.json"

_FORMAT = 1
"""Version of the format of unfinished sets."""


def set_identity(files: Mapping[str, Path], stores: Mapping[str, RecordStore]) -> str:
    """Returns a text that identifies the files and the records.

    Args:
      files: Paths of the archives by published name.
      stores: Records by split.
    """
    stats = {name: path.stat() for name, path in files.items()}
    return json.dumps(
        {
            "format": _FORMAT,
            "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()},
            "splits": {split: _digest(store) for split, store in stores.items()},
        }
    )


@contextlib.contextmanager
def resumed_directory(path: Path, identity: str) -> Iterator[None]:
    """Creates a directory for unfinished content, and removes it at the end.

    An error or a kill leaves it for the next run. A directory of another identity is emptied first.

    Args:
      path: Directory.
      identity: Text that must be the same to reuse the content.
    """
    file = path / _IDENTITY
    if not (file.exists() and file.read_text() == identity):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        with replaced_file(file) as unfinished:
            unfinished.write_text(identity)
    yield
    shutil.rmtree(path)


def _digest(store: RecordStore) -> str:
    digest = hashlib.sha256()
    for array in (store.order, store.sizes, store.labels):
        digest.update(array.tobytes())
    return digest.hexdigest()
