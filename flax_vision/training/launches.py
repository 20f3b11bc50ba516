"""When, where and with what a run was started."""

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
    """Returns the time, the place and the programs, as they are written to `launches.json`."""
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
    """Returns the commit of this code, `-dirty` where files differ from it; None outside git."""

    def git(*arguments: str) -> str:
        command, home = ["git", *arguments], Path(__file__).parent
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        # Installed somewhere below another project's repository, it would name that one's commit.
        git("ls-files", "--error-unmatch", __file__)
        return git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
