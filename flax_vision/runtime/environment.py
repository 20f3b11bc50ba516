"""Configuration of a process before JAX is imported: memory, XLA's flags, compiled code.

It is for programs: a library should leave the process of its caller alone.
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
from flax_vision.text import printable

_PLATFORMS = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
"""JAX's variables for the kinds of devices that it may use."""


@functools.cache
def prepare(has_steps: bool = True) -> None:
    """Settles the allocator, XLA's flags and its cache; may start the program again to do it.

    A program calls it once, before anything else. It is started again only where nothing can be
    lost: see `restart.obstacle`. A warning names every setting that is unavailable, and the
    program continues without it.

    Args:
      has_steps: Whether the program runs steps, not only compiles them. Otherwise it is not started
        again, and its allocator stays.
    """
    # Pillow's, of which decoding makes an error that names the file.
    warnings.filterwarnings("ignore", message="Image size .* could be decompression bomb")
    # Pillow warns of damaged metadata: it names no file, and the image is read anyway.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    if not restart.is_interactive():  # a session has warnings of its own
        warnings.formatwarning = lambda message, *place, **line: f"warning: {printable(message)}\n"
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
        warnings.warn(f"{', '.join(unchanged)} {verb} not configured: {obstacle}", stacklevel=2)


def _has_jax_started() -> bool:
    """Returns whether JAX has looked for devices; it reads XLA's flags then, and only once."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bridge.backends_are_initialized()


def handle_ctrl_c(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Replaces Python's own handler of Ctrl-C.

    It stays ignored where it is, as in a background job. An interactive session keeps Python's
    handler, because it continues afterwards.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default and not restart.is_interactive():
        signal.signal(signal.SIGINT, handler)


def emulate_devices(count: int) -> None:
    """Has JAX show so many devices, all of them this CPU.

    Where a caller has imported JAX already it stays as it is: its devices are the caller's.
    """
    if "jax" not in sys.modules:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["JAX_NUM_CPU_DEVICES"] = str(count)


def check_platforms() -> None:
    """Raises a UserError if JAX finds none of the devices that its variables name."""
    asked = {name: os.environ.get(name, "") for name in _PLATFORMS}
    asked = {name: value for name, value in asked.items() if value not in ("", "cpu")}
    if not asked:
        return
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # without text if a plugin is absent
        reason = (
            str(error).partition(" (set ")[0].rstrip(".") or "its plugin or its hardware is missing"
        )
        raise UserError(
            f"{' and '.join(f'{name} is {value!r}' for name, value in asked.items())}, but JAX "
            f"finds no such device ({reason}); set it to cpu, or unset it to use the best "
            "available device."
        ) from error


def describe() -> str:
    """Returns a line about the configuration of the process."""
    cache = os.environ.get(xla_cache.CACHE) or "none"
    flags = os.environ.get(xla_flags.FLAGS) or "none"
    memory = allocator.describe()
    return f"freed memory: {memory}; flags of XLA: {flags}; compilation cache: {cache}"
