"""Settings of a process before JAX is there: memory, XLA's flags, compiled code.

It is for programs: a library should leave the process of its caller alone.
"""

import functools
import os
import sys
import warnings

from flax_vision import allocator, restart, xla_cache, xla_flags
from flax_vision.errors import UserError
from flax_vision.text import printable

_PLATFORMS = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
"""JAX's variables for the kinds of devices that it may use."""


@functools.cache
def prepare() -> None:
    """Settles the allocator, XLA's flags and its cache; may start the program again to do it.

    To be called before anything else by a program, once. It is started again only where nothing
    can be lost: see `restart.obstacle`. Whatever cannot be had is warned of, and the program goes
    on without.
    """
    # Pillow's, of which decoding makes an error that names the file.
    warnings.filterwarnings("ignore", message="Image size .* could be decompression bomb")
    # Pillow's about damaged metadata: they name no file, and the image is read all the same.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    warnings.formatwarning = lambda message, *place, **line: f"warning: {printable(message)}\n"
    obstacle = restart.obstacle()
    unsettled = []
    if allocator.needs_restart(os.environ):
        if obstacle is None:
            allocator.restart(os.environ)
        unsettled.append("the allocator")
    allocator.check(os.environ)
    if "jax" in sys.modules:
        unsettled.append("XLA's flags and compilation cache")
    else:
        xla_flags.configure(os.environ)
        xla_cache.configure(os.environ)
    if unsettled:
        verb = "remains as it is" if unsettled == ["the allocator"] else "remain as they are"
        warnings.warn(f"{', '.join(unsettled)} {verb}: {obstacle}", stacklevel=2)


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
    cache = os.environ.get(xla_cache.CACHE) or "none"
    flags = os.environ.get(xla_flags.FLAGS) or "none"
    memory = allocator.describe()
    return f"freed memory: {memory}; flags of XLA: {flags}; compilation cache: {cache}"
