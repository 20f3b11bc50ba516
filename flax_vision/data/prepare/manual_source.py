"""Source of files that users download by hand, such as ImageNet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flax_vision.data.dataset import ProgressFn
from flax_vision.data.prepare.published_files import PublishedFile, find_in_folder
from flax_vision.data.prepare.source import local_folder
from flax_vision.errors import UserError


@dataclass(frozen=True)
class ManualSource:
    """Source of the files of a set that only users with an account can download.

    Checksums are not computed, because ImageNet has 150 GB; the readers check the structure.

    Attributes:
      location: Folder or `file://` address; empty for `manual_dir`.
      files: The publisher's files.
      optional: Names of files that may be missing.
      url: Page to download the files from.
      manual_dir: TFDS's folder of manual downloads.
      command: Command that prepares the set from a folder DIR, for messages.
    """

    location: str
    files: Sequence[PublishedFile]
    optional: Sequence[str]
    url: str
    manual_dir: Path
    command: str

    def download_bytes(self) -> int:
        """Returns 0: nothing is downloaded."""
        return 0

    def archive_bytes(self) -> int:
        """Returns the size of the files.

        Raises:
          UserError: A file is missing.
        """
        return sum(path.stat().st_size for path in self._find().values())

    def obtain(self, on_progress: ProgressFn) -> Mapping[str, Path]:
        """Finds the files in the folder.

        Args:
          on_progress: Not called.

        Returns:
          Paths by published names.

        Raises:
          UserError: A file is missing, or is truncated.
        """
        del on_progress
        found = self._find()
        for file in self.files:
            path = found[file.name]
            if (length := path.stat().st_size) < file.size:
                raise UserError(
                    f"{str(path)!r} is truncated: it has {length:,} of {file.size:,} bytes; "
                    f"download it again from {self.url}."
                )
        return found

    def _find(self) -> Mapping[str, Path]:
        folder = local_folder(self.location) if self.location else self.manual_dir
        if folder is None or (self.location and not folder.is_dir()):
            raise UserError(f"--source {self.location!r} is not a folder; {self._advice()}")
        optional = [replace(self.files[0], url=name) for name in self.optional]
        found = find_in_folder(folder, [*self.files, *optional])
        if missing := [file.name for file in self.files if file.name not in found]:
            raise UserError(f"{str(folder)!r} has no {', '.join(missing)}; {self._advice()}")
        return found

    def _advice(self) -> str:
        sizes = [f"{file.name} ({file.size / 1e9:,.1f} GB)" for file in self.files]
        return (
            f"download {' and '.join(sizes)} from {self.url}, which needs an account, put them "
            f"into a folder DIR, and run `{self.command}`."
        )
