"""XLA flags that make programs faster on a CPU, if the installed jaxlib accepts them.

XLA computes convolutions with YNNPACK, which takes up to 1.7 times as long as Eigen on x86-64. On a
CPU it also drops `lax.optimization_barrier` before it fuses operations. Then it computes some
values again at each use, such as a batch normalization in the transposition after it. It stores
others without need, such as the operand of a ReLU for its derivative.
"""

import contextlib
import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from importlib import metadata

from flax_vision.runtime import user_cache

FLAGS = "XLA_FLAGS"
EIGEN = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
"""The flag that leaves convolutions to Eigen."""

BARRIERS = "--xla_disable_hlo_passes=cse_barrier_expander,small-while-loop-hoisting"
"""The flag that makes XLA keep barriers to the end.

It also disables the compilation of a small loop into one function, where barriers are an error or
end the process.
"""

_PLUGINS = "jax_plugins"
"""Name of JAX's entry points, and of the package, for devices other than CPUs and TPUs."""

# XLA ends a process with an unknown flag. Some versions cannot compile barriers.
_TRIAL = """
import jax, jax.numpy as jnp
from jax import lax
def trial(x):
    y = lax.conv(x, x, (1, 1), "SAME")
    return lax.fori_loop(0, 2, lambda i, pair: lax.optimization_barrier(pair[::-1]), (x, y))
jax.jit(trial).lower(jnp.ones((2, 2, 3, 3))).compile()
"""
_TRIAL_SECONDS = 60
_ANSWERS = ("yes", "no")


def configure(environment: MutableMapping[str, str]) -> None:
    """Sets XLA's flags for a CPU, except those that the user has set or stores in a file."""
    flags = environment.get(FLAGS, "")
    if flags and not flags.lstrip().startswith("-"):
        return
    wanted = [EIGEN] if platform.machine() in ("x86_64", "AMD64") else []
    if _has_only_cpus(environment):  # compilers for other devices have a pass of that name
        wanted.append(BARRIERS)
    missing = [flag for flag in wanted if flag.partition("=")[0] not in flags]
    if added := accepted(missing):
        environment[FLAGS] = " ".join(filter(None, [flags.strip(), *added]))


def accepted(flags: Sequence[str]) -> list[str]:
    """Returns the flags that the installed jaxlib accepts."""
    if not flags or _accepts(flags):
        return [*flags]
    return [flag for flag in flags if _accepts([flag])] if len(flags) > 1 else []


def _accepts(flags: Sequence[str]) -> bool:
    """Returns whether jaxlib compiles with these flags; the cache stores the answer in a file."""
    cache = user_cache.cache_dir()
    version = metadata.version("jaxlib")
    digest = hashlib.sha256(f"{version} {' '.join(flags)} {_TRIAL}".encode()).hexdigest()
    file = cache and cache / f"flags-{version}-{digest[:8]}"
    answer = file.read_text() if file and file.is_file() else ""
    if answer not in _ANSWERS:
        answer = _try_flags(flags)
        if file and answer in _ANSWERS:
            with contextlib.suppress(OSError):  # the next start tries again
                file.write_text(answer)
    return answer == "yes"


def _try_flags(flags: Sequence[str]) -> str:
    """Returns one of `_ANSWERS`; an empty text if jaxlib fails for another reason."""
    try:
        if _compiles(flags):
            return "yes"
        return "no" if _compiles([]) else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _compiles(flags: Sequence[str]) -> bool:
    settings = {FLAGS: " ".join(flags), "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "0"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _TRIAL],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TRIAL_SECONDS,
        check=False,
    )
    return not done.returncode


def _has_only_cpus(environment: Mapping[str, str]) -> bool:
    """Returns whether JAX will find no devices but CPUs."""
    if platforms := environment.get("JAX_PLATFORMS"):
        return platforms == "cpu"
    packages = map(importlib.util.find_spec, ("libtpu", _PLUGINS))
    return not any(packages) and not metadata.entry_points(group=_PLUGINS)
