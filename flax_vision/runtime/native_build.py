"""Libraries that are compiled on the machine where they run, and kept in the user's cache.

Compiled there, they fit what is installed beside them, and the package stays free of binaries. A
file ends with the digest of what is before it: opening a part of a library can kill a process.
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
    """Why a library cannot be had."""


def file_name(name: str, *made_of: str | bytes) -> str:
    """Returns the name of a library's file.

    Args:
      name: Prefix of the file's name.
      *made_of: Everything that the library depends on; any change gives another name.
    """
    parts = [part.encode() if isinstance(part, str) else part for part in made_of]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()
    return f"{name}-{digest[:16]}.so"


def invalid_reason(path: Path) -> str | None:
    """Returns why a file must not be loaded; None where it is as `keep` wrote it.

    Raises:
      OSError: The file cannot be read.
    """
    if reason := user_cache.untrusted_reason(path):
        return f"it {reason}"
    content = path.read_bytes()
    if hashlib.sha256(content[:-_DIGEST_BYTES]).digest() != content[-_DIGEST_BYTES:]:
        return "it is damaged"
    return None


def keep(built: Path, path: Path) -> None:
    """Keeps a compiled library at a path: whole or not at all, whoever else does the same.

    Raises:
      OSError: it cannot be written there.
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
    """Compiles C++ to a library.

    Args:
      source: the text.
      options: of the compiler, beside those that make a library.
      built: where it is to be, in a folder where the source may lie too.
      notice: a line for who waits, if it takes long.

    Raises:
      UnavailableError: there is no compiler, or it failed.
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
    """Returns the words that a command for the C++ compiler begins with."""
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
