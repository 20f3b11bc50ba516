"""Streams of the publishers' archives, which may be cut or damaged."""

import contextlib
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from flax_vision.errors import UserError

_GZIP = b"\x1f\x8b"

Stream = IO[bytes] | io.BufferedIOBase
"""File or member of an archive, open for reading."""

_DAMAGE = (
    EOFError,
    KeyError,
    OSError,
    ValueError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def damage_as_user_error(path: Path) -> Iterator[None]:
    """Turns the errors of a damaged archive into a UserError.

    Args:
      path: Archive.
    """
    try:
        yield
    except _DAMAGE as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise UserError(
            f"{str(path)!r} is damaged or another file ({reason}); replace it with the "
            "publisher's file, and run the same command again."
        ) from error


def open_decompressed(path: Path) -> io.BufferedIOBase:
    """Opens a file for reading; a gzip file is decompressed."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP
    return gzip.open(path) if is_gzip else path.open("rb")


def read_exactly(stream: Stream, size: int) -> bytes:
    """Returns the next bytes of a stream.

    Args:
      stream: Stream.
      size: Number of bytes.

    Raises:
      EOFError: The stream ends before.
    """
    content = stream.read(size)
    if len(content) < size:
        raise EOFError(f"it ends {size - len(content):,} bytes too early")
    return content
