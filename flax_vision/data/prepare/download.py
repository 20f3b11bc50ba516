"""Downloads of large files, which continue after a break."""

import http
import ssl
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

_TIMEOUT = 30.0
"""Longest wait for the server, in seconds."""

_CHUNK = 1 << 18
"""Bytes per read."""

_MAX_FAILURES = 3
"""Breaks in a row without new bytes after which a download fails."""

_PAUSE = 1.0
"""Wait after the first of these breaks, in seconds."""


class DownloadError(Exception):
    """Raised for a download that fails; its text is the reason."""


def download(url: str, path: Path, size: int, on_bytes: Callable[[int], None]) -> None:
    """Downloads a file, and continues an earlier download of it.

    `PATH.part` has the bytes so far. urllib takes the proxies from the environment.

    Args:
      url: Address of the file.
      path: New file.
      size: Length of the file, in bytes.
      on_bytes: Function that gets the number of bytes that are there.

    Raises:
      DownloadError: The server cannot be reached, refuses, or breaks off repeatedly.
    """
    part = path.with_name(f"{path.name}.part")
    most, failures = _length(part), 0
    while _length(part) < size:
        reason = _append(url, part, size, on_bytes)
        failures = 0 if _length(part) > most else failures + 1
        most = max(most, _length(part))
        if failures == _MAX_FAILURES:
            raise DownloadError(f"{reason} after {most:,} of {size:,} bytes")
        if failures:
            time.sleep(_PAUSE * failures)
    part.replace(path)


def _append(url: str, part: Path, size: int, on_bytes: Callable[[int], None]) -> str:
    """Downloads the rest of a file, and returns why it ended."""
    offset = _length(part)
    request = Request(url, headers={"User-Agent": "flax-vision"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    try:
        with urlopen(request, timeout=_TIMEOUT) as response:
            resumes = response.status == http.HTTPStatus.PARTIAL_CONTENT  # a server may ignore it
            with part.open("ab" if resumes else "wb") as file:
                while file.tell() <= size and (chunk := response.read(_CHUNK)):
                    file.write(chunk)
                    on_bytes(file.tell())
    except HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # it is of another file
        elif error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise DownloadError(f"the server answers {error.code} {error.reason}") from error
        return f"the server answers {error.code} {error.reason}"
    except (URLError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    return "the connection broke off"


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
