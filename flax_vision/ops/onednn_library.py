"""The compiled handlers of oneDNN's convolutions: built once for a machine, then loaded.

They are C++, `onednn.cc`, between the headers of the installed jaxlib and those of the installed
oneDNN. Compiled where they run, they fit both whatever their versions, and the package stays free
of binaries.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from importlib import metadata, resources
from pathlib import Path

import jax
import platformdirs

TARGETS = (
    "flax_vision_convolution",
    "flax_vision_convolution_input_gradient",
    "flax_vision_convolution_kernel_gradient",
    "flax_vision_max_pool",
    "flax_vision_max_pool_gradient",
)
OFF = "FLAX_VISION_ONEDNN"
"""The variable of the environment that, set to 0, leaves oneDNN out."""

_LIBRARY, _HEADERS = "onednn-cpu-gomp", "onednn-devel-cpu-gomp"


_DIGEST_BYTES = hashlib.sha256().digest_size


class _MissingError(Exception):
    """Why oneDNN cannot be had."""


@functools.cache
def absence() -> str | None:
    """Returns why oneDNN cannot be used here; None where it can, and its handlers are registered.

    The first call builds them if need be, in some seconds, and warns if that fails.
    """
    setting = os.environ.get(OFF, "")
    if setting == "0":
        return f"{OFF} is 0"
    if setting not in ("", "1"):
        warnings.warn(f"{OFF} is {setting!r}; it must be 0 or 1, so it is ignored", stacklevel=2)
    machine = f"{platform.system()} on {platform.machine()}"
    if machine != "Linux on x86_64":
        return f"there is no package of it for {machine}"
    try:
        library = _open()
    except (_MissingError, OSError) as error:
        warnings.warn(f"convolutions are slower, without oneDNN: {error}", stacklevel=2)
        return str(error)
    for target in TARGETS:
        handler = jax.ffi.pycapsule(getattr(library, target))
        jax.ffi.register_ffi_target(target, handler, platform="cpu")
    return None


def describe() -> str:
    """Returns a line about what computes convolutions on a CPU."""
    reason = absence()
    if reason is not None:
        return f"convolutions: pure JAX, for {reason}"
    return f"convolutions: oneDNN {metadata.version(_LIBRARY)}"


def _open() -> ctypes.CDLL:
    """Loads the handlers from the cache directory; builds them where they are not, or damaged."""
    source = resources.files("flax_vision.ops").joinpath("onednn.cc").read_bytes()
    headers, library = _file(_HEADERS, "dnnl.hpp"), _file(_LIBRARY, "libdnnl.so.3")
    versions = f"{jax.lib.__version__} {metadata.version(_LIBRARY)} {library}"
    digest = hashlib.sha256(source + versions.encode()).hexdigest()
    path = platformdirs.user_cache_path("flax_vision") / f"onednn-{digest[:16]}.so"
    if path.exists():
        try:
            if _is_whole(path):
                return ctypes.CDLL(str(path))
            reason = "it is damaged"
        except OSError as error:
            reason = str(error)
        warnings.warn(f"{path} is compiled anew: {reason}", stacklevel=2)
    return _build(source, headers, library, path)


def _is_whole(path: Path) -> bool:
    """Whether a file ends with the digest of the rest: opening a part of a library can kill."""
    content = path.read_bytes()
    return hashlib.sha256(content[:-_DIGEST_BYTES]).digest() == content[-_DIGEST_BYTES:]


def _file(package: str, name: str) -> Path:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise _MissingError(f"{package} is not installed; `pip install {package}`") from None
    for file in files:
        if file.name == name:
            return Path(str(file.locate())).resolve()
    raise _MissingError(f"{package} has no {name}; `pip install --force-reinstall {package}`")


def _build(source: bytes, headers: Path, library: Path, path: Path) -> ctypes.CDLL:
    """Compiles the handlers, loads them, and keeps them at `path` if that can be written."""
    compiler = _compiler()
    print("compiling oneDNN's handlers for this machine, some seconds", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "onednn.cc").write_bytes(source)
        built = Path(folder) / "onednn.so"
        command = [*compiler, "-std=c++17", "-O3", "-fPIC", "-shared", "-w", f"{folder}/onednn.cc"]
        command += [f"-I{headers.parent}", f"-I{jax.ffi.include_dir()}", str(library)]
        command += [f"-Wl,-rpath,{library.parent}", "-o", str(built)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise _MissingError(f"{compiler[0]} failed: {_first_error(done.stderr)}")
        loaded = ctypes.CDLL(str(built))
        _keep(built, path)
        return loaded


def _compiler() -> list[str]:
    """Returns the words that a command for the C++ compiler begins with."""
    named = os.environ.get("CXX", "")
    words = shlex.split(named) or [shutil.which("c++") or shutil.which("g++") or ""]
    if shutil.which(words[0]) is None:
        reason = f"CXX is {named!r}, which is no program" if named else "there is no C++ compiler"
        raise _MissingError(f"{reason}; install g++ or set CXX")
    return words


def _first_error(output: str) -> str:
    lines = output.strip().splitlines() or ["without a word"]
    return next((line for line in lines if "error" in line), lines[-1])


def _keep(built: Path, path: Path) -> None:
    content = built.read_bytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            with temporary.open("wb") as file:
                file.write(content + hashlib.sha256(content).digest())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)  # whole or not at all, whoever else does the same
    except OSError as error:
        warnings.warn(
            f"oneDNN's handlers are compiled anew at every start: {path.parent} cannot be written "
            f"({error.strerror}); set XDG_CACHE_HOME to a directory that can.",
            stacklevel=2,
        )
