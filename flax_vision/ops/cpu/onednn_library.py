"""The compiled handlers of oneDNN's convolutions: built once per machine, then loaded.

Their C++ sources, in `handlers`, use the headers of the installed jaxlib and oneDNN. Compiled where
they run, they fit the versions of both.
"""

import ctypes
import functools
import os
import platform
import tempfile
from importlib import metadata
from pathlib import Path

import jax

from flax_vision.runtime import native_build, user_cache
from flax_vision.runtime.native_build import UnavailableError
from flax_vision.runtime.terminal import warn

TARGETS = (
    "flax_vision_convolution",
    "flax_vision_convolution_input_gradient",
    "flax_vision_convolution_kernel_gradient",
    "flax_vision_max_pool",
    "flax_vision_max_pool_gradient",
)
OFF = "FLAX_VISION_ONEDNN"
"""Environment variable that disables oneDNN when it is 0."""

SOURCES = Path(__file__).with_name("handlers")
"""Folder of the C++ sources; `handlers.cc` includes the others."""

_LIBRARY, _HEADERS = "onednn-cpu-gomp", "onednn-devel-cpu-gomp"


@functools.cache
def unavailable_reason() -> str | None:
    """Registers the handlers; returns None, or the reason why oneDNN is unavailable.

    The first call builds them if necessary, which takes some seconds, and warns of a failure.
    """
    setting = os.environ.get(OFF, "")
    if setting == "0":
        return f"{OFF} is 0"
    if setting not in ("", "1"):
        warn(f"{OFF} is {setting!r}; it must be 0 or 1, so it is ignored")
    machine = f"{platform.system()} on {platform.machine()}"
    if machine != "Linux on x86_64":
        return f"oneDNN has no package for {machine}"
    try:
        library = _open()
    except (UnavailableError, OSError) as error:
        warn(f"convolutions are slower, without oneDNN: {error}")
        return str(error)
    for target in TARGETS:
        handler = jax.ffi.pycapsule(getattr(library, target))
        jax.ffi.register_ffi_target(target, handler, platform="cpu")
    return None


def describe() -> str:
    """Returns one line about the implementation of convolutions on this CPU."""
    if reason := unavailable_reason():
        return f"convolutions: pure JAX ({reason})"
    return f"convolutions: oneDNN {metadata.version(_LIBRARY)}"


def _open() -> ctypes.CDLL:
    """Loads the handlers from the cache directory; builds them if they are missing or damaged."""
    headers, library = _find_file(_HEADERS, "dnnl.hpp"), _find_file(_LIBRARY, "libdnnl.so.3")
    versions = f"{jax.lib.__version__} {metadata.version(_LIBRARY)} {library}"
    sources = [path.read_bytes() for path in sorted(SOURCES.iterdir())]
    cache = user_cache.cache_dir()
    path = cache and cache / native_build.file_name("onednn", *sources, versions)
    if path and path.exists():
        try:
            reason = native_build.invalid_reason(path)
            if reason is None:
                return ctypes.CDLL(str(path))
        except OSError as error:
            reason = str(error)
        warn(f"{path} is compiled again: {reason}")
    return _build(headers, library, path)


def _find_file(package: str, name: str) -> Path:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise UnavailableError(f"{package} is not installed; `pip install {package}`") from None
    for file in files:
        if file.name == name:
            return Path(str(file.locate())).resolve()
    raise UnavailableError(f"{package} has no {name}; `pip install --force-reinstall {package}`")


def _build(headers: Path, library: Path, path: Path | None) -> ctypes.CDLL:
    """Compiles and loads the handlers, and stores them at `path`, if given."""
    notice = "compiling oneDNN's handlers for this machine, some seconds"
    folders = (SOURCES, headers.parent, jax.ffi.include_dir())
    options = ["-std=c++17", "-O3", *(f"-I{folder}" for folder in folders)]
    options += [str(library), f"-Wl,-rpath,{library.parent}"]
    source = (SOURCES / "handlers.cc").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "onednn.so"
        native_build.compile_library(source, options, built, notice)
        loaded = ctypes.CDLL(str(built))
        try:
            if path:
                native_build.install(built, path)
        except OSError as error:
            warn(
                f"oneDNN's handlers are compiled again at every start: {path} cannot be written "
                f"({error.strerror}); set XDG_CACHE_HOME to a writable directory."
            )
        return loaded
