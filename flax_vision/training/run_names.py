"""Names of run directories, from the settings of the runs."""

import hashlib
import re
from typing import Any

from flax_vision.runtime.files import normalized_path
from flax_vision.training.config_schema import PATH_KEYS

_MAX_BYTES = 255
"""Longest file name of common file systems, in bytes."""


def setting_text(key: str, value: Any) -> str:
    """Returns a value in its normal spelling, such as `0.1` or `30,60`.

    Args:
      key: Dotted key of the value.
      value: Value of the configuration.
    """
    if isinstance(value, tuple | list):
        return ",".join(setting_text(key, item) for item in value)
    text = normalized_path(value) if key in PATH_KEYS else str(value)
    return text.removesuffix(".0") if isinstance(value, float) else text


def directory_name(text: str) -> str:
    """Returns a text as a name that every file system and Orbax accept.

    Other characters become `_`. A digest replaces the end of a name that is too long.
    """
    name = re.sub(r"[^\w.=,+-]+", "_", text)
    if len(name.encode()) > _MAX_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: _MAX_BYTES - 9].decode(errors="ignore") + f"-{digest}"
    return name
