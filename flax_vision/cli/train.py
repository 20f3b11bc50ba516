"""The program `train.py`."""

import argparse
import contextlib
import errno
import os
import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ml_collections import ConfigDict

from flax_vision.errors import UserError
from flax_vision.runtime import environment
from flax_vision.runtime.paths import expanded_path
from flax_vision.runtime.terminal import configure_streams, print_error, print_warning
from flax_vision.text import printable
from flax_vision.training.config_schema import CHOICES, default_config, flatten
from flax_vision.training.signals import Interrupted, stop_at_once_on_ctrl_c

_DESCRIPTION = """\
Trains a network as its config file says, tests the best model once at the end, and exports it.

A run that was stopped, even by kill -9, goes on when the same command is given again, and ends
with the same parameters as if it had never been stopped."""

_EXAMPLES = """\
examples:
  python train.py --config configs/lenet5.py                    5,000 real digits, embedded
  python train.py --config configs/lenet5.py:fashion_mnist      a recipe of the file, by name
  python train.py --config configs/lenet5.py --config.seed=1 --config.epochs=5

The classes of a folder are numbered in natural order: 9 before 10, in any case of letters.
--config.data.class_order=sorted numbers them as torchvision's ImageFolder does.

Any key of a configuration can be set with --config.KEY=VALUE. The keys, with the defaults that
config files start from (config.model has the options of its network besides):
"""


_MENDS = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "allow larger files (ulimit -f)",
}
"""What to do about errors of the disk."""

_SIGNALED = 128
"""Base of the exit status after a signal; the signal's number is added."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status.

    0 for a finished run, 1 for one that has lost another of its processes, 2 for a mistake of the
    user's, 128 and the signal's number for a run that was asked to stop and has saved its state.
    """
    if arguments is None and not configure_streams():
        print_warning("standard output is closed; metrics.jsonl of the run shows its progress")
    try:
        options, overrides = _parse(sys.argv[1:] if arguments is None else arguments)
        if arguments is None:
            stop_at_once_on_ctrl_c()
            environment.prepare()
        # JAX takes a second or more to import, which --help and mistyped options need not pay.
        from flax_vision.training.config_loader import load_config
        from flax_vision.training.default_workdir import default_workdir

        config = load_config(options.config, overrides)
        workdir = Path(options.workdir or default_workdir(options.config, overrides))
        status = _fit_with_others(options, config, workdir)
        if arguments is None and status > _SIGNALED:
            _exit_at_once(status)
        return status
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(_explain(error))


def _fit_with_others(options: argparse.Namespace, config: ConfigDict, workdir: Path) -> int:
    import jax

    from flax_vision.runtime import distributed, multihost

    try:
        distributed.initialize(
            options.coordinator,
            options.num_processes,
            options.process_id,
            on_loss=partial(_print_loss, workdir),
        )
        environment.check_platforms()
        status = _fit(config, workdir)
    except Interrupted as interrupted:
        if multihost.is_primary():
            print(printable(interrupted), flush=True)
        status = _SIGNALED + interrupted.signal
        if interrupted.is_common:
            return status
    except UserError as error:
        status = _fail(str(error))
    except SystemExit as error:  # of rich, where nobody reads what it shows
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        if not jax.distributed.is_initialized():
            raise
        distributed.wait_for_loss()
        traceback.print_exc()
        status = 1
    if status and jax.distributed.is_initialized():
        distributed.exit_without_waiting(status)
    return status


def _print_loss(workdir: Path) -> None:
    steps = _checkpoint_steps(workdir)
    last = f"The last checkpoint is that of step {max(steps):,} in" if steps else "Nothing is in"
    print_error(
        f"another process of this run has ended, or cannot be reached any more. {last} {workdir}. "
        f"Start all of them again to go on from there, this one with: {_command()}"
    )


def _command() -> str:
    return shlex.join(["python", *sys.orig_argv[1:]])


def _fit(config: ConfigDict, workdir: Path) -> int:
    from flax_vision.training.fit import fit

    try:
        fit(config, workdir)
    except OSError as error:
        return _fail(_explain(error, workdir))
    return 0


def _exit_at_once(status: int) -> None:
    """Ends a stopped process without waiting for a blocked reader."""
    from flax_vision.runtime import multihost

    if multihost.process_count() == 1:  # otherwise JAX must disconnect from the others
        sys.stdout.flush()
        os._exit(status)


def _checkpoint_steps(workdir: Path) -> list[int]:
    """Returns the steps of the visible checkpoints, for the message of another error."""
    from flax_vision.weights.run_checkpoints import saved_steps

    with contextlib.suppress(OSError):  # it would hide the first error
        return saved_steps(workdir)
    return []


def _explain(error: OSError, workdir: Path | None = None) -> str:
    """Returns a line about an error of the system, with the name of its file if it has one.

    Args:
      error: Error of the system.
      workdir: Run directory; None before a run is opened.
    """
    reason, name = error.strerror or str(error), str(error.filename or "")
    mend = _MENDS.get(error.errno or 0, f"mend {name or 'that'}")
    again = "give the same command again"
    if workdir and name and Path(name).absolute().is_relative_to(workdir.absolute()):
        name = str(workdir)
        if _checkpoint_steps(workdir):
            reason += ". The checkpoints saved before are whole"
            again += " to go on"
    return f"{f'{name}: ' if name else ''}{reason}; {mend} and {again}."


def _fail(message: str) -> int:
    print_error(message)
    return 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `python train.py --help`.")


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    defaults = flatten(default_config())
    keys = (f"  {key} = {value!r}{_others(key, value)}" for key, value in defaults.items())
    parser = _Parser(
        prog="train.py",
        description=_DESCRIPTION,
        epilog=_EXAMPLES + "\n".join(keys),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        required=True,
        type=expanded_path,
        metavar="FILE[:RECIPE]",
        help="what to train",
    )
    parser.add_argument(
        "--workdir",
        type=expanded_path,
        metavar="DIR",
        help="the run directory (default: runs/ and a name from the file, recipe and settings)",
    )
    others = parser.add_argument_group(
        "many processes", "found by themselves on SLURM, Kubernetes, Open MPI and TPUs"
    )
    others.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 is found")
    others.add_argument("--num-processes", type=int, metavar="N", help="how many there are")
    others.add_argument("--process-id", type=int, metavar="I", help="which this is, from 0")
    options, rest = parser.parse_known_args(_joined(arguments))
    for argument in rest:
        if not argument.startswith("--config."):
            parser.error(f"unknown argument {argument!r}")
    return options, rest


def _others(key: str, default: Any) -> str:
    """Returns text about the other choices of a key; empty if it has no choices."""
    others = [value for value in CHOICES.get(key, ()) if value != default]
    return f"  or {', '.join(others)}" if others else ""


def _joined(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with `--config.KEY VALUE` written as `--config.KEY=VALUE`."""
    joined: list[str] = []
    for argument in arguments:
        if joined and re.fullmatch(r"--config\.[^=]+", joined[-1]) and argument[:2] != "--":
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined
