"""The files that publishers of datasets offer, and the checks of copies."""

import contextlib
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from flax_vision.data.prepare.archives import open_decompressed
from flax_vision.data.prepare.sets import SETS

_GZIP = ".gz"

_CONTENT_SHA256: dict[str, str] = {
    # MNIST
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
    # Fashion-MNIST
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}
"""SHA-256 of a file's decompressed content by the SHA-256 of the published file.

Linux distributions change the gzip header, and users decompress files.
"""


@dataclass(frozen=True)
class PublishedFile:
    """A file as its publisher offers it.

    Attributes:
      url: Address.
      size: Length in bytes.
      sha256: Checksum that TFDS has registered.
    """

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Published name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def names(self) -> Sequence[str]:
        """Names of copies: the published name, and the name after decompression."""
        unpacked = [self.name.removesuffix(_GZIP)] if self.name.endswith(_GZIP) else []
        return [self.name, *unpacked]


def published_files(builder_cls: Any, config: Any = None) -> Sequence[PublishedFile]:
    """Returns the files of a set, with the checksums that TFDS has registered.

    Args:
      builder_cls: TFDS builder class.
      config: TFDS configuration; None for the files of all configurations.
    """
    infos = builder_cls.url_infos.items()
    files = [PublishedFile(url, int(x.size), x.checksum) for url, x in infos]
    archive = SETS[builder_cls.name].archive
    if config is None or archive is None:
        return files
    return [file for file in files if file.name == archive(config)]


def find_in_folder(folder: Path, files: Sequence[PublishedFile]) -> Mapping[str, Path]:
    """Returns the copies in a folder by their published names; missing ones are left out."""
    copies = ((file.name, folder / name) for file in files for name in reversed(file.names))
    return {name: path for name, path in copies if path.is_file()}


def mismatch(path: Path, file: PublishedFile) -> str:
    """Returns why a copy is not the published file.

    Args:
      path: Copy, which may be decompressed.
      file: Published file.

    Returns:
      A clause such as `has 5 of 7 bytes`; empty for a good copy. A decompressed copy whose checksum
      is unknown counts as good.
    """
    digest, content = _sha256(path), _CONTENT_SHA256.get(file.sha256, "")
    is_packed = path.name == file.name
    if digest == file.sha256 or not (is_packed or content):
        return ""
    unpacked_digest = _content_sha256(path) if is_packed else digest
    if content and unpacked_digest == content:
        return ""
    for name in SETS:
        for other in published_files(tfds.builder_cls(name)):
            if digest == other.sha256 or unpacked_digest == _CONTENT_SHA256.get(other.sha256):
                return f"is a file of {name!r}"
    if is_packed and (length := path.stat().st_size) < file.size:
        return f"is truncated: it has {length:,} of {file.size:,} bytes"
    expected = file.sha256 if is_packed else content
    return f"has the SHA-256 {digest}, not {expected} as the publisher's file"


def is_verifiable(path: Path, file: PublishedFile) -> bool:
    """Returns whether a checksum of a copy is known."""
    return path.name == file.name or file.sha256 in _CONTENT_SHA256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_sha256(path: Path) -> str:
    """Returns the checksum of the decompressed content; empty for a damaged file."""
    with contextlib.suppress(EOFError, OSError, zlib.error), open_decompressed(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
    return ""
