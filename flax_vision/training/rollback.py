"""Restores a run directory after a failed start."""

import contextlib
import shutil
from pathlib import Path

from flax_vision.training.tensorboard import PATTERN
from flax_vision.weights import run_files
from flax_vision.weights.run_checkpoints import saved_steps

LOCK = "run.lock"

_FILES = (
    run_files.CONFIG,
    run_files.LAUNCHES,
    run_files.DATASET,
    run_files.SPLITS,
    run_files.METADATA,
    run_files.METRICS,
    run_files.RESULT,
    run_files.REPORT_PAGE,
    LOCK,
)
"""Files that a run writes or removes before its first checkpoint; the lock is removed last."""


class Rollback:
    """Restores the directory of a run that fails before it saves a checkpoint.

    Create it before the directory, and enter it after locking the directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new_folders = [folder for folder in (path, *path.parents) if not folder.exists()]
        self._had_lock = (path / LOCK).exists()

    def __enter__(self) -> "Rollback":
        self._contents = {path: path.read_bytes() for path in self._files() if path.is_file()}
        if not self._had_lock:
            self._contents.pop(self._path / LOCK, None)
        self._had_checkpoints = (self._path / "checkpoints").exists()
        self._steps = set(saved_steps(self._path))
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            return
        with contextlib.suppress(OSError):
            if not any(path.exists() for path in self._files()):
                # Another process removed the directory, and a checkpoint was saved afterwards.
                shutil.rmtree(self._path / "checkpoints")
                self._path.rmdir()
            elif not self._has_progressed():
                self._undo()

    def remove_new_folders(self) -> None:
        """Removes the created folders that are empty."""
        with contextlib.suppress(OSError):
            for folder in self._new_folders:
                folder.rmdir()

    def _files(self) -> list[Path]:
        return [*self._path.glob(PATTERN), *(self._path / name for name in _FILES)]

    def _undo(self) -> None:
        if not self._had_checkpoints:
            shutil.rmtree(self._path / "checkpoints", ignore_errors=True)
        for path in self._files():
            if path not in self._contents and path.is_file():
                path.unlink()
        for path, content in self._contents.items():
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)

    def _has_progressed(self) -> bool:
        """Returns whether there is a new checkpoint or a new result."""
        result = self._path / run_files.RESULT
        has_result = result.is_file() and result.read_bytes() != self._contents.get(result)
        return has_result or not self._steps.issuperset(saved_steps(self._path))
