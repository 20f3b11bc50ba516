"""Check whether this process can start its program again without losing anything."""

import builtins
import os
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType

_PACKAGE = __name__.partition(".")[0]


def obstacle() -> str | None:
    """Returns why the program cannot be restarted; None where nothing would be lost.

    Only a script, or a program of `-c` or `-m`, can restart, and only if it calls this package
    itself. A session would lose its variables. Standard input can be read only once.
    """
    import multiprocessing  # here, because commands that only print call `is_interactive`

    if "jax" in sys.modules:
        return "JAX was imported before"
    if is_interactive():
        return "this session is interactive"
    if threading.active_count() > 1 or multiprocessing.parent_process() is not None:
        return "this program has other threads or processes"
    main = vars(sys.modules["__main__"])
    frames = _caller_frames()
    if main["__name__"] != "__main__" or not frames or frames[0].f_globals is not main:
        return "the program's main module does not call it itself"
    file, source = main.get("__file__"), frames[-1].f_code.co_filename
    if file is None and source == "<string>":  # a program of `-c`
        return None
    if file is None or source != file or not Path(file).is_file():  # standard input may be a pipe
        return "this program is not started from a file"
    is_module = main["__spec__"] is not None
    return None if _finds_file(file, is_module) else "the current directory was changed before"


def is_interactive() -> bool:
    """Returns whether the process is interactive: a notebook, a Python shell, or `python -i`."""
    return bool(sys.flags.inspect) or hasattr(sys, "ps1") or hasattr(builtins, "__IPYTHON__")


def _finds_file(file: str, is_module: bool) -> bool:
    """Returns whether the command finds the program's file from the current directory."""
    for word in sys.orig_argv[1:]:  # the program may be a directory
        if os.path.realpath(file) in map(os.path.realpath, (word, f"{word}/__main__.py")):
            return True
    # Python puts the initial working directory first in its search path.
    was_there = not sys.flags.safe_path and Path(file).is_relative_to(sys.path[0])
    is_there = os.path.realpath(sys.path[0]) == os.path.realpath("")
    return is_module and (is_there or not was_there)


def _caller_frames() -> list[FrameType]:
    """Returns the frames outside this package and `runpy` (for `-m`), the innermost first."""
    frames = (frame for frame, _ in traceback.walk_stack(sys._getframe()))
    hidden = (_PACKAGE, "runpy")
    return [f for f in frames if f.f_globals.get("__name__", "").partition(".")[0] not in hidden]
