"""Restores a run directory after a failed start."""

import contextlib
import shutil
from pathlib import Path
from types import TracebackType

from flax_vision.training.events import PATTERN
from flax_vision.weights.run_checkpoints import saved_steps
from flax_vision.weights.run_files import (
    CONFIG,
    IMAGES,
    METADATA,
    METRICS,
    RESULT,
    STARTS,
)

LOCK = "run.lock"

_FILES = (CONFIG, STARTS, IMAGES, METADATA, METRICS, LOCK)
"""Files that a run writes before its first checkpoint; the lock is removed last."""


class Rollback:
    """Restores the directory of a run that fails before it saves a checkpoint.

    Create it before the directory, and enter it after locking the directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new_folders = [folder for folder in (path, *path.parents) if not folder.exists()]
        self._had_lock = (path / LOCK).exists()

    def __enter__(self) -> "Rollback":
        paths = [self._path / name for name in _FILES]
        self._contents = {path: path.read_bytes() if path.is_file() else None for path in paths}
        if not self._had_lock:
            self._contents[self._path / LOCK] = None
        self._others = self._list_others()
        self._progress = self._measure_progress()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and self._progress == self._measure_progress():
            with contextlib.suppress(OSError):
                self._undo()

    def remove_new_folders(self) -> None:
        """Removes the created folders that are empty."""
        with contextlib.suppress(OSError):
            for folder in self._new_folders:
                folder.rmdir()

    def _undo(self) -> None:
        for path in self._list_others() - self._others:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path, content in self._contents.items():
            if content is None and path.is_file():
                path.unlink()
            elif content is not None and path.read_bytes() != content:
                path.write_bytes(content)

    def _list_others(self) -> set[Path]:
        return {*self._path.glob(PATTERN), *self._path.glob("checkpoints")}

    def _measure_progress(self) -> tuple[set[int], bool]:
        return checkpoint_steps(self._path), (self._path / RESULT).exists()


def checkpoint_steps(path: Path) -> set[int]:
    """Returns the steps of all checkpoints in a run directory, even damaged ones."""
    return set(saved_steps(path))
