"""Trains a model as its config file says, tests the best model once at the end, and exports it.

After a stop, even by kill -9, the same command resumes the run. The run ends with the same
parameters as without the stop.

Examples:
  python train.py --config configs/lenet5.py                  # 5,000 real digits, embedded.
  python train.py --config configs/lenet5.py:fashion_mnist    # Recipe of the file, by name.
  python train.py --config configs/lenet5.py --config.seed=1 --config.epochs=5

The classes of a folder are numbered in natural order: 9 before 10, upper and lower case alike.
--config.data.class_order=sorted numbers them as torchvision's ImageFolder does.

--config.KEY=VALUE sets any key of the configuration. config.model also has the options of its
model. `--help KEY` shows a key with an example, `--help data` a section. Config files start from
these defaults:
"""

import argparse
import contextlib
import errno
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flax_vision.cli.arguments import Parser, join_overrides, split_overrides
from flax_vision.cli.config_help import add_help, keys_help
from flax_vision.errors import UserError
from flax_vision.runtime import environment
from flax_vision.runtime.files import expanded_path
from flax_vision.runtime.terminal import configure_streams, print_error, print_warning
from flax_vision.text import printable
from flax_vision.training.signals import Interrupted, stop_at_once_on_ctrl_c
from flax_vision.weights.run_files import REPORT_PAGE

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from flax_vision.cli.training_display import TrainingDisplay

_ADVICE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "allow larger files (ulimit -f)",
}
"""Advice for errors of the disk."""

_SIGNALED = 128
"""Base of the exit status after a signal; the signal's number is added."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status.

    The status is 0 for a finished run, 1 if another process of the run died, and 2 for a mistake of
    the user. After a signal that stopped the run it is 128 and the signal's number.
    """
    is_program = arguments is None
    if is_program and not configure_streams():
        print_warning("standard output is closed; metrics.jsonl of the run shows its progress")
    try:
        options, overrides = _parse(sys.argv[1:] if arguments is None else arguments)
        if is_program:
            stop_at_once_on_ctrl_c()
            environment.configure_process()
        # These import JAX, which takes a second. --help and mistyped options end before it.
        from flax_vision.cli.default_workdir import default_workdir
        from flax_vision.training.config_loader import load_config

        config = load_config(options.config, overrides)
        workdir = Path(options.workdir or default_workdir(options.config, overrides))
        status = _fit_with_others(options, config, workdir)
        if is_program and status > _SIGNALED:
            _exit_at_once(status)
        return status
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(_explain(error))


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options, and the arguments that set keys of the configuration."""
    parser = _parser()
    options, rest = parser.parse_known_args(join_overrides(arguments))
    overrides, others = split_overrides(rest)
    parser.check_unknown(others)
    return options, overrides


def _parser() -> Parser:
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python train.py",
        description=description,
        epilog=f"{epilog}\n{keys_help()}",
        allow_abbrev=False,
        add_help=False,
    )
    add_help(parser)
    add = parser.add_argument
    file = "config file, and the name of a recipe in it"
    add("--config", required=True, type=expanded_path, metavar="FILE[:RECIPE]", help=file)
    workdir = "run directory (default: runs/ and a name from the file, recipe and settings)"
    add("--workdir", type=expanded_path, metavar="DIR", help=workdir)
    where = "JAX finds these on SLURM, Kubernetes, Open MPI and TPUs."
    add = parser.add_argument_group("several processes", where).add_argument
    add("--coordinator", metavar="HOST:PORT", help="address of process 0")
    add("--num-processes", type=int, metavar="N", help="number of processes")
    add("--process-id", type=int, metavar="I", help="number of this process, from 0")
    return parser


def _fit_with_others(options: argparse.Namespace, config: "ConfigDict", workdir: Path) -> int:
    """Joins the other processes of the run, fits, and returns the exit status."""
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
    except SystemExit as error:  # rich exits when the reader of its output is gone
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
    """Prints the error for a run that lost one of its processes."""
    steps = _checkpoint_steps(workdir)
    last = f"The last checkpoint is step {max(steps):,} in" if steps else "No checkpoint is in"
    command = shlex.join(["python", *sys.orig_argv[1:]])
    print_error(
        f"another process of this run ended, or cannot be reached. {last} {workdir}. Start all "
        f"processes again to resume, this one with: {command}"
    )


def _fit(config: "ConfigDict", workdir: Path) -> int:
    from flax_vision.cli.training_display import TrainingDisplay
    from flax_vision.runtime import multihost
    from flax_vision.training.fit import fit

    try:
        with TrainingDisplay() as display:
            fit(config, workdir, display)
            if config.write_report and multihost.is_primary():
                _write_report(workdir, display)
    except OSError as error:
        return _fail(_explain(error, workdir))
    return 0


def _write_report(workdir: Path, display: "TrainingDisplay") -> None:
    """Writes the report of a finished run, unless it has one; a failure is only a warning."""
    if display.test_images is None and (workdir / REPORT_PAGE).exists():
        return
    display.begin(0)
    try:
        from flax_vision.analysis.report.writer import write_report

        page, warning = write_report(workdir, display.test_images, on_progress=display.reading)
    except (Exception, KeyboardInterrupt) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        display.warning(f"no report ({reason}); to try again: flax-vision report {workdir}")
        return
    if warning:
        display.warning(warning)
    display.line(f"report: {page}")


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
    """Returns a line about a system error, with the name of its file if it has one.

    Args:
      error: The system error.
      workdir: Run directory; None before a run is opened.
    """
    reason, name = error.strerror or str(error), str(error.filename or "")
    advice = _ADVICE.get(error.errno or 0, f"correct {name or 'that'}")
    again = "repeat the command"
    if workdir and name and Path(name).absolute().is_relative_to(workdir.absolute()):
        name = str(workdir)
        if _checkpoint_steps(workdir):
            reason += ". The checkpoints saved before are whole"
            again += " to resume"
    return f"{f'{name}: ' if name else ''}{reason}; {advice} and {again}."


def _fail(message: str) -> int:
    print_error(message)
    return 2
