"""From a configuration to a trained, tested and exported network."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.errors import UserError
from flax_vision.runtime import multihost
from flax_vision.runtime.paths import to_path
from flax_vision.training.build import build_experiment
from flax_vision.training.config_loader import check_config
from flax_vision.training.config_schema import DATA_PATHS, flatten
from flax_vision.training.data_pipeline import load_data
from flax_vision.training.display import Display
from flax_vision.training.partitioning import make_partitioner
from flax_vision.training.run_dir import open_run
from flax_vision.training.signals import Interruption
from flax_vision.training.trainer import Trainer
from flax_vision.weights.run_files import REPORT_PAGE


def fit(config: ConfigDict, workdir: str | Path) -> dict[str, Any]:
    """Trains, tests and exports a network, or goes on where an earlier call was stopped.

    Args:
      config: Keys that differ from the defaults, or all keys.
      workdir: the run directory.

    Returns:
      What the run came to, as in the last line of `metrics.jsonl`.

    Raises:
      UserError: the directory, the data or the configuration does not allow it, or the loss was
        not finite.
      OSError: A file of the run cannot be written.
      Interrupted: Ctrl-C or SIGTERM came, and the state was saved.
    """
    config, workdir = check_config(config), to_path(workdir)
    settings = flatten(config.to_dict(), "config.")
    for key in DATA_PATHS:  # the images themselves are compared
        del settings[f"config.{key}"]
    multihost.check_same({**settings, "--workdir": str(workdir)})
    make_partitioner(config)  # a mistake leaves no directory behind
    with open_run(workdir, config.to_dict()) as directory, Display() as display:
        config.init_from = directory.init_from
        result, tested = directory.result(), None
        if result is None:
            with Interruption() as interruption:
                with interruption.reading():
                    report = _reporter(display, interruption)
                    saved = directory.metadata()
                    experiment = build_experiment(config, report, directory.check_dataset, saved)
                with Trainer(experiment, directory, display, interruption) as run:
                    run.start()
                    run.train()
                    result = run.finish()
            tested = experiment.splits.test
        else:
            if directory.data_moved:
                directory.check_dataset(load_data(config, display.reading))
            display.line("this run is finished; it came to:")
        display.result(f"{config.model.name} on {config.data.name}", result, directory.export)
        is_reported = tested is None and (workdir / REPORT_PAGE).exists()
        if config.write_report and not is_reported and multihost.is_first():
            _report(workdir, tested, display)
        return result


def _report(workdir: Path, tested: Dataset | None, display: Display) -> None:
    """Writes the report of a finished run; a failure is only a warning.

    Args:
      workdir: Run directory.
      tested: Test images; None to read them again.
      display: Display of the progress and of problems.
    """
    try:
        from flax_vision.analysis.report.writer import write_report
    except UserError as error:  # for matplotlib is not there
        display.line(f"no report: {error}, then flax-vision report {workdir}")
        return
    display.begin(0)
    try:
        page, warning = write_report(workdir, tested, on_progress=display.reading)
    except (Exception, KeyboardInterrupt) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        display.warning(f"no report ({reason}); to try again: flax-vision report {workdir}")
    else:
        if warning:
            display.warning(warning)
        display.line(f"report: {page}")


def _reporter(display: Display, interruption: Interruption) -> ProgressFn:
    """Returns what shows how far the reading of the data is, and leaves when asked to stop."""

    def report(what: str, done: int, total: int) -> None:
        display.reading(what, done, total)
        interruption.stop_reading()  # in case the signal's own exception was lost

    return report
