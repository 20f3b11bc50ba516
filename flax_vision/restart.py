"""Whether this process may be replaced by a new one that runs the same program."""

import builtins
import sys
import threading
from pathlib import Path
from types import FrameType


def obstacle() -> str | None:
    """Returns why the program cannot be started again; None where nothing would be lost.

    Only a program at its beginning can: a script, or what `-c` or `-m` names, that calls this
    package itself. A session has variables, and standard input is read once.
    """
    import multiprocessing  # here, for `is_interactive` is asked before anything else is imported

    if "jax" in sys.modules:
        return "JAX was imported before"
    if is_interactive():
        return "this session is interactive"
    if sys.gettrace() is not None:
        return "a debugger or a coverage tool follows this program"
    if threading.active_count() > 1 or multiprocessing.parent_process() is not None:
        return "this program has other threads or processes"
    return _obstacle_of(_caller())


def is_interactive() -> bool:
    """Returns whether a person goes on in this process: in a notebook, a shell of Python, or -i."""
    return bool(sys.flags.inspect) or hasattr(sys, "ps1") or hasattr(builtins, "__IPYTHON__")


def _obstacle_of(caller: FrameType | None) -> str | None:
    main = vars(sys.modules["__main__"])
    if caller is None or caller.f_globals is not main or main["__name__"] != "__main__":
        return "the program's main module does not call it itself"
    file, source = main.get("__file__"), caller.f_code.co_filename
    # Of `-c` there is no file. That of standard input may be a pipe.
    if source == "<string>" if file is None else source == file and Path(file).is_file():
        return None
    return "this program does not come from a file"


def _caller() -> FrameType | None:
    """Returns the innermost frame outside this package."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    return frame


_PACKAGE = __name__.partition(".")[0]
