"""Configuration of a program's process: allocator, XLA's flags, compilation cache, devices.

Only programs should call it: a library should not configure its caller's process.
"""

import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType

from flax_vision.errors import UserError
from flax_vision.runtime import allocator, restart, xla_cache, xla_flags
from flax_vision.runtime.terminal import print_own_warnings, warn

_PLATFORMS = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
"""JAX's environment variables for the platforms that it may use."""


@functools.cache
def configure_process(has_steps: bool = True) -> None:
    """Configures the allocator, XLA's flags and the compilation cache.

    Call it once, before anything else. It may restart the program for the allocator, but only
    where nothing can be lost; see `restart.obstacle`. A warning names each unavailable setting, and
    the program continues without it.

    Args:
      has_steps: Whether the program runs compiled steps. Otherwise it keeps its allocator and is
        not restarted.
    """
    # Pillow's warning; decoding turns it into an error that names the file.
    warnings.filterwarnings("ignore", message="Image size .* could be decompression bomb")
    # Pillow warns of damaged metadata without a file name, and reads the image anyway.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    if not restart.is_interactive():  # a session can filter Python's warnings
        print_own_warnings()
    obstacle = restart.obstacle()
    unchanged = []
    if has_steps and allocator.needs_restart(os.environ):
        if obstacle is None:
            allocator.restart(os.environ)
        unchanged.append("the allocator")
    allocator.check(os.environ)
    if _has_jax_started():
        unchanged.append("XLA's flags and compilation cache")
    else:
        xla_flags.configure(os.environ)
        xla_cache.configure(os.environ)
        if "jax" in sys.modules:
            xla_cache.tell_jax(os.environ)
    if unchanged:
        verb = "is" if unchanged == ["the allocator"] else "are"
        warn(f"{', '.join(unchanged)} {verb} not configured: {obstacle}")


def _has_jax_started() -> bool:
    """Returns whether JAX has initialized its backends; it reads XLA's flags only then."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bridge.backends_are_initialized()


def handle_ctrl_c(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Replaces Python's own handler of Ctrl-C.

    An ignored Ctrl-C, as in a background job, stays ignored. An interactive session keeps Python's
    handler, because it continues afterwards.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default and not restart.is_interactive():
        signal.signal(signal.SIGINT, handler)


def emulate_devices(count: int) -> None:
    """Makes JAX show this CPU as `count` devices, unless JAX is already imported."""
    if "jax" not in sys.modules:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["JAX_NUM_CPU_DEVICES"] = str(count)


def check_platforms() -> None:
    """Raises a UserError if JAX finds none of the devices that its variables name."""
    requested = {name: value for name in _PLATFORMS if (value := os.environ.get(name, ""))}
    if set(requested.values()) <= {"cpu"}:
        return
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # without text if a plugin is absent
        reason = str(error).partition(" (set ")[0].rstrip(".")
        reason = reason or "its plugin or its hardware is missing"
        settings = " and ".join(f"{k} is {v!r}" for k, v in requested.items() if v != "cpu")
        raise UserError(
            f"{settings}, but JAX finds no such device ({reason}); set it to cpu, or unset it to "
            "use the best available device."
        ) from error


def describe() -> str:
    """Returns a line about the configuration of the process."""
    cache = os.environ.get(xla_cache.CACHE) or "none"
    flags = os.environ.get(xla_flags.FLAGS) or "none"
    memory = allocator.describe()
    return f"freed memory: {memory}; flags of XLA: {flags}; compilation cache: {cache}"
