"""Description of a launch: time, host, devices and versions."""

import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

_LIBRARIES = (
    *("flax_vision", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"),
    *("grain", "pillow", "tensorflow-datasets"),
)


def describe_launch() -> dict[str, Any]:
    """Returns the entry of a launch for `launches.json`."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "process": os.getpid(),
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "git_revision": _git_revision(),
        "devices": [str(device) for device in jax.devices()],
    }


def _git_revision() -> str | None:
    """Returns the commit of this code, with `-dirty` if files differ; None outside git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).strip()

    try:
        # Without this check, code in another project's repository would get that one's commit.
        git("ls-files", "--error-unmatch", __file__)
        return git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
