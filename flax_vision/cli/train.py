"""Trains a model from a config file.

At the end, the best model is tested once and exported.

After a stop, even by kill -9, the same command resumes the run. The run ends with the same
parameters as without the stop.

Examples:
  python train.py lenet5                  # 5,000 real digits, embedded.
  python train.py lenet5:fashion_mnist    # Recipe of the file, by name.
  python train.py resnet50:folder --config.data.image_dir=DIR  # Your images.
  python train.py --config my_config.py --config.seed=1 --config.epochs=5

CONFIG is a config file, configs/NAME.py in this directory, or NAME of an installed config file.

The classes of a folder are numbered in natural order: 9 before 10, upper and lower case alike.
--config.data.class_order=sorted numbers them as torchvision's ImageFolder does.
--config.data.labels=FILE.csv reads the labels from a table instead, with the columns path, label
and perhaps split. --config.data.classes=cat,dog uses some of the classes.

--import MODULE imports a Python module that registers custom models and datasets, by
fv.register_model and fv.register_dataset.

--config.KEY=VALUE sets any key of the configuration. config.model also has the options of its
model. `--help KEY` shows a key with an example, `--help data` a section, and `--help resnet50` the
options of a model. Config files start from these defaults:
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

from flax_vision.cli.arguments import Parser, join_overrides, print_user_error, split_overrides
from flax_vision.cli.config_help import add_help, keys_help
from flax_vision.cli.imports import add_import, import_modules
from flax_vision.errors import UserError
from flax_vision.runtime import environment
from flax_vision.runtime.files import expanded_path
from flax_vision.runtime.terminal import configure_streams, print_error, print_warning
from flax_vision.text import printable
from flax_vision.training.config_files import config_names
from flax_vision.training.signals import SIGNALED, Interrupted, stop_at_once_on_ctrl_c
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

SCRIPT = "python train.py"
"""The program in the help page; `flax-vision train` is the same program."""

_USAGE = """[CONFIG[:RECIPE] | --config CONFIG[:RECIPE]] [--workdir DIR]
       [--config.KEY=VALUE ...] [--coordinator HOST:PORT --num-processes N --process-id I]"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status.

    The status is 0 for a finished run, 1 if another process of the run died, and 2 for a mistake of
    the user. After a signal that stopped the run it is 128 and the signal's number.
    """
    is_program = arguments is None
    return run(sys.argv[1:] if arguments is None else arguments, SCRIPT, is_program)


def run(arguments: Sequence[str], program: str, is_program: bool) -> int:
    """Runs the command line, and returns the exit status; see `main`.

    Args:
      arguments: Arguments without the name of the program.
      program: Command that starts the program, for messages.
      is_program: Whether this process has no other purpose.
    """
    if is_program and not configure_streams():
        print_warning("standard output is closed; metrics.jsonl of the run shows its progress")
    try:
        options, overrides = _parse(arguments, program)
        if is_program:
            stop_at_once_on_ctrl_c()
            environment.configure_process()
        import_modules(options.imports)
        # These import JAX, which takes a second. --help and mistyped options end before it.
        from flax_vision.cli.default_workdir import default_workdir
        from flax_vision.training.config_loader import load_config

        config = load_config(options.config, overrides)
        workdir = Path(options.workdir or default_workdir(options.config, overrides))
        status = _fit_with_others(options, config, workdir)
        if is_program and status > SIGNALED:
            exit_at_once(status)
        return status
    except UserError as error:
        print_user_error(error)
        return 2
    except OSError as error:
        return _fail(_explain(error))


def _parse(arguments: Sequence[str], program: str = SCRIPT) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options, and the arguments that set keys of the configuration."""
    parser = _parser(program)
    options, rest = parser.parse_known_args(join_overrides(arguments))
    overrides, rest = split_overrides(rest)
    if options.config is None and rest and not rest[0].startswith("-"):
        options.config = expanded_path(rest.pop(0))
    parser.check_unknown(rest)
    if options.config is None:
        names = ", ".join(config_names())
        parser.error(f"no config file; give --config with a path, or with one of {names}")
    return options, overrides


def _parser(program: str) -> Parser:
    description, _, epilog = (__doc__ or "").replace(SCRIPT, program).partition("\n\n")
    parser = Parser(
        prog=program,
        usage=f"{program} {_USAGE}",
        description=description,
        epilog=f"{epilog}\n{keys_help()}",
        allow_abbrev=False,
        add_help=False,
        passthrough=("--config.",),
    )
    add_help(parser)
    add = parser.add_argument
    file = "config file or its name, and a recipe; the flag --config may be left out"
    add("--config", type=expanded_path, metavar="CONFIG[:RECIPE]", help=file)
    workdir = "run directory (default: runs/ and a name from the file, recipe and settings)"
    add("--workdir", type=expanded_path, metavar="DIR", help=workdir)
    add_import(parser)
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
        _print_first(f"run directory: {workdir}")
        status = _fit(config, workdir)
    except Interrupted as interrupted:
        if multihost.is_primary():
            print(printable(interrupted), flush=True)
        status = interrupted.exit_status
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


def _print_first(line: str) -> None:
    """Prints a line in the first process; exits, as rich does, if the reader is gone."""
    from flax_vision.runtime import multihost

    if multihost.is_primary():
        try:
            print(printable(line), flush=True)
        except BrokenPipeError:
            raise SystemExit(1) from None


def _print_loss(workdir: Path) -> None:
    """Prints the error for a run that lost one of its processes."""
    steps = _checkpoint_steps(workdir)
    last = f"The last checkpoint is step {max(steps):,} in" if steps else "No checkpoint is in"
    script, words = Path(sys.argv[0]).name, ["python", *sys.orig_argv[1:]]
    command = shlex.join([script, *sys.argv[1:]] if script == "flax-vision" else words)
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
                write_report(workdir, display)
    except OSError as error:
        return _fail(_explain(error, workdir))
    return 0


def write_report(workdir: Path, display: "TrainingDisplay") -> None:
    """Writes the report of a finished run, unless it has one; a failure is only a warning."""
    if display.test_images is None and (workdir / REPORT_PAGE).exists():
        return
    display.begin(0)
    try:
        from flax_vision.analysis.report import writer

        images, on_progress = display.test_images, display.reading
        page, warning = writer.write_report(workdir, images, on_progress=on_progress)
    except (Exception, KeyboardInterrupt) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        display.warning(f"no report ({reason}); to try again: flax-vision report {workdir}")
        return
    if warning:
        display.warning(warning)
    display.line(f"report: {page}")


def exit_at_once(status: int) -> None:
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
