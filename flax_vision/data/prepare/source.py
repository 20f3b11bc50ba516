"""Source of the publisher's files: a folder, or a server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from flax_vision.data.dataset import ProgressFn
from flax_vision.data.prepare.download import DownloadError, download
from flax_vision.data.prepare.published_files import (
    PublishedFile,
    find_in_folder,
    is_verifiable,
    mismatch,
)
from flax_vision.errors import UserError
from flax_vision.runtime.files import to_path, write_errors
from flax_vision.runtime.terminal import warn

DISK_HINT = "make room for it there, or give another --tfds-dir"
"""Advice when files cannot be written."""

_KB = 1000
"""Bytes in the unit of a download's progress."""


def local_folder(location: str) -> Path | None:
    """Returns the folder of a path or of a `file://` address; None for another address."""
    address = urlsplit(location)
    if address.scheme in ("http", "https"):
        return None
    return to_path(url2pathname(address.path) if address.scheme == "file" else location)


@dataclass(frozen=True)
class Source:
    """Source of the files of one set.

    Attributes:
      location: Folder, `file://` or `http(s)://` address; empty for the publisher's server.
      files: The publisher's files.
      downloads: Directory for downloads.
      command: Command that prepares the set from a folder DIR, for messages.
    """

    location: str
    files: Sequence[PublishedFile]
    downloads: Path
    command: str

    def download_bytes(self) -> int:
        """Returns the size of the files that have to be downloaded."""
        if self._folder:
            return 0
        return sum(x.size for x in self.files if not (self.downloads / x.name).exists())

    def archive_bytes(self) -> int:
        """Returns the size of all files."""
        return sum(file.size for file in self.files)

    def obtain(self, on_progress: ProgressFn) -> Mapping[str, Path]:
        """Downloads the files, or finds them in the folder, and checks them.

        Args:
          on_progress: Function that gets a text, the kilobytes done and the total.

        Returns:
          Paths by published names.

        Raises:
          UserError: A file is missing, or is not the publisher's.
          OSError: A file cannot be read.
        """
        if self._folder:
            return self._find_in(self._folder)
        total, finished = self.archive_bytes(), 0
        for file in self.files:

            def show(done: int, before: int = finished) -> None:
                on_progress("download", (before + done) // _KB, total // _KB)

            with write_errors(self.downloads, DISK_HINT):
                self._download(file, show)
            finished += file.size
        return {file.name: self.downloads / file.name for file in self.files}

    @property
    def _folder(self) -> Path | None:
        """Folder with the files; None for a server."""
        return local_folder(self.location) if self.location else None

    @property
    def _publisher(self) -> str:
        """Address of the publisher's folder."""
        return self.files[0].url.removesuffix(self.files[0].name)

    def _find_in(self, folder: Path) -> Mapping[str, Path]:
        if not folder.is_dir():
            raise UserError(
                f"--source {self.location!r} is not a folder; give one with the files of "
                f"{self._publisher}, or an address that begins with http:// or https://."
            )
        found = find_in_folder(folder, self.files)
        missing = [file.name for file in self.files if file.name not in found]
        if missing:
            raise UserError(
                f"{str(folder)!r} has no {', '.join(missing)}; put the files of {self._publisher} "
                "there, and run the same command again."
            )
        for file in self.files:
            path = found[file.name]
            if problem := mismatch(path, file):
                raise UserError(f"{str(path)!r} {problem}; replace it with {file.url}.")
            if not is_verifiable(path, file):
                warn(f"{str(path)!r} has no known checksum; only its structure is checked.")
        return found

    def _download(self, file: PublishedFile, on_bytes: Callable[[int], None]) -> None:
        """Downloads a file unless it is there; a wrong one is kept aside."""
        path = self.downloads / file.name
        if not path.exists():
            url = f"{self.location.rstrip('/')}/{file.name}" if self.location else file.url
            try:
                download(url, path, file.size, on_bytes)
            except DownloadError as error:
                raise self._download_error(url, error) from error
        if problem := mismatch(path, file):
            aside = path.with_name(f"{path.name}.wrong")
            path.replace(aside)
            raise UserError(
                f"{path.name!r} {problem}; it is kept as {str(aside)!r}. Run the same command "
                "again to download it anew, or give another --source."
            )

    def _download_error(self, url: str, reason: DownloadError) -> UserError:
        return UserError(
            f"{url} cannot be downloaded ({reason}); run the same command again to continue. "
            f"Without a network, put {', '.join(file.name for file in self.files)} of "
            f"{self._publisher} into a folder DIR, and run `{self.command}`."
        )
