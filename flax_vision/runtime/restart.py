"""Checks whether a new process may replace this one with the same program."""

import builtins
import os
import sys
import threading
from pathlib import Path
from types import FrameType

_PACKAGE = __name__.partition(".")[0]


def obstacle() -> str | None:
    """Returns why the program cannot be started again; None where nothing would be lost.

    Only a script, or a program of `-c` or `-m`, can start again, at its beginning, and if it calls
    this package itself. A session would lose its variables. Standard input can be read only once.
    """
    import multiprocessing  # here, because `is_interactive` is called before other imports

    if "jax" in sys.modules:
        return "JAX was imported before"
    if is_interactive():
        return "this session is interactive"
    if threading.active_count() > 1 or multiprocessing.parent_process() is not None:
        return "this program has other threads or processes"
    main = vars(sys.modules["__main__"])
    frames = _frames_of_others()
    if main["__name__"] != "__main__" or not frames or frames[0].f_globals is not main:
        return "the program's main module does not call it itself"
    file, source = main.get("__file__"), frames[-1].f_code.co_filename
    # A program of `-c` has no file. The file of standard input may be a pipe.
    if not (source == "<string>" if file is None else source == file and Path(file).is_file()):
        return "this program is not started from a file"
    if file and not _is_found_again(file, is_module=main["__spec__"] is not None):
        return "the current directory was changed before"
    return None


def is_interactive() -> bool:
    """Returns whether the process is interactive: a notebook, a Python shell, or `python -i`."""
    return bool(sys.flags.inspect) or hasattr(sys, "ps1") or hasattr(builtins, "__IPYTHON__")


def _is_found_again(file: str, is_module: bool) -> bool:
    """Returns whether the command finds the file of the program from the current directory."""
    for word in sys.orig_argv[1:]:  # the program may be a folder, too
        if os.path.realpath(file) in map(os.path.realpath, (word, f"{word}/__main__.py")):
            return True
    # Python puts the first current directory before the places of modules.
    was_there = not sys.flags.safe_path and Path(file).is_relative_to(sys.path[0])
    is_there = os.path.realpath(sys.path[0]) == os.path.realpath("")
    return is_module and (is_there or not was_there)


def _frames_of_others() -> list[FrameType]:
    """Returns the calls outside this package and `runpy` (of `-m`), the innermost first."""
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] != _PACKAGE and name != "runpy":
            frames.append(frame)
        frame = frame.f_back
    return frames
