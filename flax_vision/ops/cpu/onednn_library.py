"""The compiled handlers of oneDNN's convolutions: built once for a machine, then loaded.

They are C++, `onednn.cc`, between the headers of the installed jaxlib and those of the installed
oneDNN. Compiled where they run, they fit both whatever their versions.
"""

import ctypes
import functools
import os
import platform
import tempfile
from importlib import metadata, resources
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
"""The variable of the environment that, set to 0, leaves oneDNN out."""

_LIBRARY, _HEADERS = "onednn-cpu-gomp", "onednn-devel-cpu-gomp"


@functools.cache
def unavailable_reason() -> str | None:
    """Returns why oneDNN cannot be used here; None where it can, and its handlers are registered.

    The first call builds them if need be, in some seconds, and warns if that fails.
    """
    setting = os.environ.get(OFF, "")
    if setting == "0":
        return f"{OFF} is 0"
    if setting not in ("", "1"):
        warn(f"{OFF} is {setting!r}; it must be 0 or 1, so it is ignored")
    machine = f"{platform.system()} on {platform.machine()}"
    if machine != "Linux on x86_64":
        return f"there is no package of it for {machine}"
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
    """Returns a line about what computes convolutions on a CPU."""
    reason = unavailable_reason()
    if reason is not None:
        return f"convolutions: pure JAX, for {reason}"
    return f"convolutions: oneDNN {metadata.version(_LIBRARY)}"


def _open() -> ctypes.CDLL:
    """Loads the handlers from the cache directory; builds them where they are not, or damaged."""
    source = resources.files("flax_vision.ops.cpu").joinpath("onednn.cc").read_bytes()
    headers, library = _file(_HEADERS, "dnnl.hpp"), _file(_LIBRARY, "libdnnl.so.3")
    versions = f"{jax.lib.__version__} {metadata.version(_LIBRARY)} {library}"
    cache = user_cache.cache_dir()
    path = cache and cache / native_build.file_name("onednn", source, versions)
    if path and path.exists():
        try:
            reason = native_build.invalid_reason(path)
            if reason is None:
                return ctypes.CDLL(str(path))
        except OSError as error:
            reason = str(error)
        warn(f"{path} is compiled anew: {reason}")
    return _build(source, headers, library, path)


def _file(package: str, name: str) -> Path:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise UnavailableError(f"{package} is not installed; `pip install {package}`") from None
    for file in files:
        if file.name == name:
            return Path(str(file.locate())).resolve()
    raise UnavailableError(f"{package} has no {name}; `pip install --force-reinstall {package}`")


def _build(source: bytes, headers: Path, library: Path, path: Path | None) -> ctypes.CDLL:
    """Compiles and loads the handlers, and stores them at `path`, if given."""
    notice = "compiling oneDNN's handlers for this machine, some seconds"
    options = ["-std=c++17", "-O3", f"-I{headers.parent}", f"-I{jax.ffi.include_dir()}"]
    options += [str(library), f"-Wl,-rpath,{library.parent}"]
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "onednn.so"
        native_build.compile_library(source, options, built, notice)
        loaded = ctypes.CDLL(str(built))
        if path:
            _keep(built, path)
        return loaded


def _keep(built: Path, path: Path) -> None:
    try:
        native_build.keep(built, path)
    except OSError as error:
        warn(
            f"oneDNN's handlers are compiled anew at every start: {path.parent} cannot be written "
            f"({error.strerror}); set XDG_CACHE_HOME to a directory that can."
        )
