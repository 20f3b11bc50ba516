"""Preparation of one dataset: from the publisher's files to the set that TFDS reads."""

import contextlib
import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import tensorflow_datasets as tfds
from tensorflow_datasets.core import splits

from flax_vision.data.dataset import ProgressFn
from flax_vision.data.prepare.manual_source import ManualSource
from flax_vision.data.prepare.published_files import published_files
from flax_vision.data.prepare.record_store import RecordStore
from flax_vision.data.prepare.resumption import resumed_directory, set_identity
from flax_vision.data.prepare.sets import SETS, SetFormat, valid_names
from flax_vision.data.prepare.source import DISK_HINT, Source
from flax_vision.data.prepare.writer import write_split
from flax_vision.errors import UserError, unknown
from flax_vision.runtime.files import (
    expanded_path,
    replaced_file,
    write_errors,
)

_RESUME_HINT = (
    "make room for it there, and run the same command again, which keeps the complete shards; or "
    "give another --tfds-dir"
)
"""Advice when a set cannot be written."""


@dataclass(frozen=True)
class Preparation:
    """A set to be prepared.

    Attributes:
      name: TFDS name, such as `"mnist"` or `"emnist/letters"`.
      directory: Directory of prepared sets; empty for `$TFDS_DATA_DIR` or
        `~/tensorflow_datasets`.
      source: Folder, `file://` or `http(s)://` address with the publisher's files; empty for the
        publisher's server.

    Raises:
      UserError: The name is unknown.
    """

    name: str
    directory: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.name not in (valid := valid_names()):
            raise unknown("dataset to prepare", self.name, valid)

    @property
    def path(self) -> Path:
        """Directory of the prepared set."""
        name, _, config = self.name.partition("/")
        config = config or next(iter(self._builder_cls.builder_configs), "")
        return self._root / name / config / str(self._builder_cls.VERSION)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Excludes other processes that prepare the same set.

        Raises:
          UserError: Another process prepares it, or the directory is not writable.
        """
        lock = filelock.FileLock(self._downloads / ".lock")
        with write_errors(self._downloads, DISK_HINT):
            self._downloads.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout as error:
                raise UserError(
                    f"another process prepares {self.name!r} in {str(self._root)!r}; wait for it."
                ) from error
        try:
            yield
        finally:
            lock.release()

    def check_disk_space(self) -> None:
        """Raises a UserError if the disk has no room for the downloads and the set.

        The shards of an interrupted run count as written.
        """
        images = sum(self._format.counts(self._config).values())
        needed = self._format.disk_bytes(self._files.archive_bytes(), images)
        needed += self._files.download_bytes()
        needed -= sum(file.stat().st_size for file in self._unfinished.rglob("*.array_record*"))
        free = shutil.disk_usage(self._downloads).free
        if free < needed:
            raise UserError(
                f"{self.name!r} needs {needed / 1e6:,.0f} MB in {str(self._root)!r}, but "
                f"{free / 1e6:,.0f} MB are free; {DISK_HINT}."
            )

    def obtain_files(self, on_progress: ProgressFn) -> Mapping[str, Path]:
        """Downloads the publisher's files, or finds them in the source, and checks them.

        Args:
          on_progress: Function that gets a text, the kilobytes done and the total.

        Returns:
          Paths by published names.

        Raises:
          UserError: A file is missing, or is not the publisher's.
        """
        return self._files.obtain(on_progress)

    def write(self, files: Mapping[str, Path], on_progress: ProgressFn) -> Mapping[str, int]:
        """Writes the set, which appears when it is complete.

        An interrupted run leaves its complete shards; the next run writes only the others.

        Args:
          files: Paths by published names.
          on_progress: Function that gets a text, the records done and the total.

        Returns:
          Number of images by split.

        Raises:
          UserError: A file is damaged, or the disk is full.
        """
        for rest in self._unfinished.rglob("dataset_info.json"):
            rest.unlink()  # the builder would read it
        builder = self._builder_cls(
            config=self._config, data_dir=str(self._unfinished), file_format="array_record"
        )
        counts = self._format.counts(self._config)
        with (
            write_errors(self.path, _RESUME_HINT),
            self._format.stores(builder, files, counts, self._downloads, on_progress) as stores,
            resumed_directory(self._unfinished, set_identity(files, stores)),
        ):
            self._write_records(builder, stores, on_progress)
            if self._config:
                self._write_default_config(builder)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                self.path.rename(self._unfinished / "replaced")
            Path(builder.data_path).rename(self.path)
        return {split: len(store.order) for split, store in stores.items()}

    @property
    def _builder_cls(self) -> Any:
        return tfds.builder_cls(self.name.partition("/")[0])

    @property
    def _config(self) -> Any:
        """TFDS's configuration; None for a set without any."""
        return self._builder_cls.builder_configs.get(self.path.parent.name)

    @property
    def _root(self) -> Path:
        return Path(expanded_path(self.directory or str(tfds.core.constants.DATA_DIR)))

    @property
    def _downloads(self) -> Path:
        return self._root / "downloads" / self._builder_cls.name

    @property
    def _unfinished(self) -> Path:
        """Directory of the unfinished set."""
        config = [self._config.name] if self._config else []
        return self._root / f".{'-'.join([self._builder_cls.name, *config])}.unfinished"

    @property
    def _format(self) -> SetFormat:
        return SETS[self._builder_cls.name]

    @property
    def _files(self) -> Source | ManualSource:
        words = ["flax-vision", "prepare", self.name, "--source=DIR"]
        words += [f"--tfds-dir={self.directory}"] if self.directory else []
        command = shlex.join(words)
        files = published_files(self._builder_cls, self._config)
        if not self._format.manual_url:
            return Source(self.source, files, self._downloads, command)
        optional, url = self._format.optional_files, self._format.manual_url
        manual_dir = self._root / "downloads" / "manual"
        return ManualSource(self.source, files, optional, url, manual_dir, command)

    def _write_records(
        self, builder: Any, stores: Mapping[str, RecordStore], on_progress: ProgressFn
    ) -> None:
        """Writes the shards and the description of the set."""
        Path(builder.data_path).mkdir(parents=True, exist_ok=True)
        infos = [write_split(builder, split, store, on_progress) for split, store in stores.items()]
        builder.info.set_splits(splits.SplitDict(infos))
        is_manual = bool(self._format.manual_url)  # TFDS counts what it downloads itself
        builder.info.download_size = 0 if is_manual else self._files.archive_bytes()
        builder.info.write_to_directory(builder.data_path)

    def _write_default_config(self, builder: Any) -> None:
        """Writes the name of the set's default configuration, as TFDS does."""
        content = {"default_config_name": builder.get_default_builder_config().name}
        file = self.path.parents[1] / ".config" / "metadata.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(file) as unfinished:
            unfinished.write_text(json.dumps(content))
