"""Compilation of C++ libraries on the user's machine, into the user's cache.

Such libraries fit the other installed libraries, and the package needs no binaries. Each file ends
with the digest of its content, because loading a truncated library can kill a process.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flax_vision.runtime import user_cache
from flax_vision.runtime.terminal import print_note

_DIGEST_BYTES = hashlib.sha256().digest_size


class UnavailableError(Exception):
    """Raised if a library cannot be compiled; the message gives the reason."""


def file_name(name: str, *sources: str | bytes) -> str:
    """Returns the name of a library's file.

    Args:
      name: Prefix of the file's name.
      *sources: Sources and versions that determine the library; any change gives another name.
    """
    data = b"".join(item.encode() if isinstance(item, str) else item for item in sources)
    digest = hashlib.sha256(data).hexdigest()
    return f"{name}-{digest[:16]}.so"


def invalid_reason(path: Path) -> str | None:
    """Returns why a file must not be loaded; None if it is as `install` wrote it.

    Raises:
      OSError: The file cannot be read.
    """
    if reason := user_cache.untrusted_reason(path):
        return f"it {reason}"
    content = path.read_bytes()
    if hashlib.sha256(content[:-_DIGEST_BYTES]).digest() != content[-_DIGEST_BYTES:]:
        return "it is damaged"
    return None


def install(built: Path, path: Path) -> None:
    """Installs a compiled library at a path atomically; other processes may do the same.

    Raises:
      OSError: The library cannot be written.
    """
    content = built.read_bytes()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        with temporary.open("wb") as file:
            file.write(content + hashlib.sha256(content).digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(user_cache.MODE)
        temporary.replace(path)


def compile_library(
    source: bytes, options: Sequence[str], built: Path, notice: str | None = None
) -> None:
    """Compiles C++ source to a library.

    Args:
      source: Source code.
      options: Compiler options, in addition to those for a shared library.
      built: Path of the library; the source is written beside it.
      notice: Line to print if the compilation takes long.

    Raises:
      UnavailableError: There is no compiler, or it failed.
    """
    compiler = _compiler()
    if notice:
        print_note(notice)
    written = built.with_suffix(".cc")
    written.write_bytes(source)
    command = [*compiler, "-fPIC", "-shared", "-w", str(written), *options, "-o", str(built)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        reason = f"{compiler[0]} cannot be started ({error.strerror})"
        raise UnavailableError(f"{reason}; install g++ or set CXX") from error
    if done.returncode:
        raise UnavailableError(f"{compiler[0]} failed: {_first_error(done.stderr)}")


def _compiler() -> list[str]:
    """Returns the command of the C++ compiler, with the options in CXX."""
    named = os.environ.get("CXX", "")
    try:
        words = shlex.split(named) or [shutil.which("c++") or shutil.which("g++") or ""]
    except ValueError as error:
        raise UnavailableError(f"CXX is {named!r}, which is no command: {error}") from error
    if shutil.which(words[0]) is None:
        reason = f"CXX is {named!r}, which is no program" if named else "there is no C++ compiler"
        raise UnavailableError(f"{reason}; install g++ or set CXX")
    return words


def _first_error(output: str) -> str:
    lines = output.strip().splitlines() or ["without a word"]
    return next((line for line in lines if "error" in line), lines[-1])
