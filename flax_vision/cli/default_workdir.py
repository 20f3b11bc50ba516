"""The default run directory of a command."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from flax_vision.runtime.files import normalized_path
from flax_vision.training.config_schema import PATH_KEYS, split_spec
from flax_vision.training.resume_check import CHANGEABLE_KEYS

_MAX_BYTES = 255
"""Longest file name of common file systems."""


def default_workdir(spec: str, overrides: Sequence[str]) -> str:
    """Returns the default run directory of a command.

    Different spellings of a command give the same directory: settings are sorted, paths are
    normalized, and settings that a resumed run may change are left out.

    Args:
      spec: Config file, as `PATH` or `PATH:RECIPE`.
      overrides: Arguments such as `--config.batch_size=64`.
    """
    path, recipe = split_spec(spec)
    pairs = dict(override.removeprefix("--config.").split("=", 1) for override in overrides)
    settings = [
        f"{key}={normalized_path(value) if key in PATH_KEYS else value}"
        for key, value in sorted(pairs.items())
        if key not in CHANGEABLE_KEYS
    ]
    name = re.sub(r"[^\w.=,+-]+", "_", "-".join(filter(None, [Path(path).stem, recipe, *settings])))
    if len(name.encode()) > _MAX_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: _MAX_BYTES - 9].decode(errors="ignore") + f"-{digest}"
    return f"runs/{name}"
