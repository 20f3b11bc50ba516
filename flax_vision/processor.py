"""What the processor can do."""

import platform
import re
from functools import cache
from pathlib import Path


@cache
def flags() -> str:
    """Returns the names of its instruction sets, as Linux lists them; elsewhere its own name."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor()
    text = information.read_text()
    listed = re.search(r"^(flags|Features)\s*:.*$", text, re.MULTILINE)
    return listed[0] if listed else text
