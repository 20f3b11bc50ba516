"""What a program settles for its process before JAX is there: memory, XLA's flags, compiled code.

What becomes of memory is `allocator`'s.

jaxlib 0.10 has XLA give convolutions to YNNPACK, which on x86-64 takes up to 1.7 times as long as
XLA's own form, Eigen's. And on a CPU it drops `lax.optimization_barrier` before it fuses
operations, so that what is to be computed once is computed wherever it is read, such as a batch
normalisation by the transposition that follows, and what is to be dropped is kept, such as the
operand of a ReLU for its derivative.

It is for programs: a library should leave the process of its caller alone.
"""

import hashlib
import importlib.util
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Mapping, MutableMapping
from importlib import metadata
from pathlib import Path

import platformdirs

from flax_vision import allocator, processor
from flax_vision.errors import UserError
from flax_vision.terminal import print_warning
from flax_vision.text import printable

CACHE = "JAX_COMPILATION_CACHE_DIR"
"""JAX's own variable for where it keeps compiled programs."""

SHORTEST_COMPILATION = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
"""JAX's variable for how many seconds of compiling make a program worth keeping."""

FLAGS = "XLA_FLAGS"
EIGEN = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
"""The flag that leaves convolutions to Eigen."""

BARRIERS = "--xla_disable_hlo_passes=cse_barrier_expander"
"""The flag that has XLA heed barriers to the end."""

_KNOWN = "0.10."
"""How a version of jaxlib begins whose XLA is known to have the flags, and to obey them.

XLA ends a process with a flag that it has not, and another might not compile barriers.
"""

_PLATFORMS = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
"""JAX's variables for the kinds of devices that it may use."""

_PLUGINS = "jax_plugins"
"""The entry points, and the package, of other devices than CPUs and TPUs."""

_CACHE_BYTES = 2 << 30


def prepare() -> None:
    """Settles the allocator, XLA's flags and its cache; may start the program again to do it.

    To be called before anything else by a program, once. Whatever cannot be had is warned of, and
    the program goes on without.
    """
    # Pillow's, of which decoding makes an error that names the file.
    warnings.filterwarnings("ignore", message="Image size .* could be decompression bomb")
    warnings.formatwarning = lambda message, *place, **line: f"warning: {printable(message)}\n"
    allocator.settle(os.environ)
    _settle_flags(os.environ)
    _settle_cache(os.environ)


def emulate_devices(count: int) -> None:
    """Has JAX show so many devices, all of them this CPU.

    Where a caller has imported JAX already it stays as it is: its devices are the caller's.
    """
    if "jax" not in sys.modules:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["JAX_NUM_CPU_DEVICES"] = str(count)


def check_platforms() -> None:
    """Raises a UserError where JAX has none of the devices that its variables ask for."""
    asked = {name: os.environ.get(name, "") for name in _PLATFORMS}
    asked = {name: value for name, value in asked.items() if value not in ("", "cpu")}
    if not asked:
        return
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # of a plugin that is absent it says nothing
        reason = (
            str(error).partition(" (set ")[0].rstrip(".") or "no plugin, or no hardware, for it"
        )
        raise UserError(
            f"{' and '.join(f'{name} is {value!r}' for name, value in asked.items())}, and JAX "
            f"finds no such device ({reason}); set it to cpu, or unset it for the best device "
            "there is."
        ) from error


def describe() -> str:
    """Returns a line about what was settled."""
    cache = os.environ.get(CACHE) or "none"
    flags = os.environ.get(FLAGS) or "none"
    memory = allocator.describe()
    return f"freed memory: {memory}; flags of XLA: {flags}; compilation cache: {cache}"


def _settle_flags(environment: MutableMapping[str, str]) -> None:
    """Sets XLA's flags for a CPU, unless the user's speak of the same, or are in a file."""
    flags = environment.get(FLAGS, "")
    is_file = flags and not flags.lstrip().startswith("-")
    if is_file or not metadata.version("jaxlib").startswith(_KNOWN):
        return
    wanted = [EIGEN] if platform.machine() in ("x86_64", "AMD64") else []
    if _has_cpus_alone(environment):  # the compilers of others have a pass of that name
        wanted.append(BARRIERS)
    for flag in wanted:
        if flag.partition("=")[0] not in flags:
            environment[FLAGS] = f"{environment.get(FLAGS, '')} {flag}".strip()


def _has_cpus_alone(environment: Mapping[str, str]) -> bool:
    """Whether JAX will find no other device."""
    if platforms := environment.get("JAX_PLATFORMS"):
        return platforms == "cpu"
    packages = map(importlib.util.find_spec, ("libtpu", _PLUGINS))
    return not any(packages) and not metadata.entry_points(group=_PLUGINS)


def _settle_cache(environment: MutableMapping[str, str]) -> None:
    """Has JAX keep compiled programs in the user's cache directory, unless told otherwise."""
    named = environment.get(CACHE)
    if named == "" or "://" in (named or ""):  # none, or a bucket, which is JAX's business
        return
    default = platformdirs.user_cache_path("flax_vision") / f"xla-{_instructions()}"
    path = default if named is None else Path(named)
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        variable = "XDG_CACHE_HOME" if named is None else CACHE
        environment[CACHE] = ""
        print_warning(
            f"programs are compiled anew at every start: {path} cannot be written "
            f"({error.strerror}); set {variable} to a directory that can"
        )
        return
    if named is not None:
        return
    environment[CACHE] = str(path)
    environment.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_CACHE_BYTES))
    environment.setdefault(SHORTEST_COMPILATION, "0.1")


def _instructions() -> str:
    """Returns a name for the machine's instruction set, for which XLA compiles.

    A home directory may be shared among machines, and JAX's keys do not tell them apart.
    """
    return hashlib.sha256(processor.flags().encode()).hexdigest()[:8]
