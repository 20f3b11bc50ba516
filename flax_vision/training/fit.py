"""One training run: build, train, evaluate, export."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flax_vision.data.custom_datasets import has_arrays
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.runtime import multihost
from flax_vision.runtime.files import to_path
from flax_vision.training import build, config_loader, data_pipeline, partitioning, run_dir
from flax_vision.training.config_schema import DATA_PATHS, flatten
from flax_vision.training.progress import TrainingObserver
from flax_vision.training.signals import Interruption
from flax_vision.training.trainer import Trainer


def fit(
    config: ConfigDict, workdir: str | Path, observer: TrainingObserver | None = None
) -> dict[str, Any]:
    """Trains, tests and exports a model, or resumes an earlier call that was stopped.

    Args:
      config: Keys that differ from the defaults, or all keys.
      workdir: Run directory.
      observer: Receiver of the progress; None for warnings only.

    Returns:
      The result of the run: the last record of `metrics.jsonl`.

    Raises:
      UserError: The directory, the data or the configuration is not valid, or the loss was not
        finite.
      OSError: A file of the run cannot be written.
      Interrupted: Ctrl-C or SIGTERM arrived, and the state was saved.
    """
    config, workdir = config_loader.check_config(config), to_path(workdir)
    observer = observer or TrainingObserver()
    _check_same_settings(config, workdir)
    partitioning.make_partitioner(config)  # an error here leaves no directory behind
    with run_dir.open_run(workdir, config.to_dict()) as directory:
        config.init_from = directory.init_from
        result, test_images = directory.result(), None
        if result is None:
            result, test_images = _train(config, directory, observer)
        else:
            if directory.data_moved or has_arrays():
                was_stratified = directory.was_stratified()
                directory.check_dataset(
                    data_pipeline.load_data(config, observer.reading, was_stratified)
                )
            observer.line("this run is finished; its result:")
        title = f"{config.model.name} on {config.data.name}"
        observer.result(title, result, directory.export, test_images)
        return result


def _train(
    config: ConfigDict, directory: run_dir.RunDirectory, observer: TrainingObserver
) -> tuple[dict[str, Any], Dataset]:
    """Builds, trains, evaluates and exports; returns the result and the test images."""
    with Interruption() as interruption:
        with interruption.reading():
            on_progress = _stoppable(observer.reading, interruption)
            metadata = directory.metadata()
            was_stratified = directory.was_stratified()
            experiment = build.build_experiment(
                config, on_progress, directory.check_dataset, metadata, was_stratified
            )
        with Trainer(experiment, directory, observer, interruption) as trainer:
            trainer.start()
            observer.start(config.to_dict(), interruption.request_stop)
            trainer.train()
            return trainer.finish(), experiment.splits.test


def _check_same_settings(config: ConfigDict, workdir: Path) -> None:
    """Raises a UserError if another process of the run has other settings."""
    settings = flatten(config.to_dict(), "config.")
    for key in DATA_PATHS:  # the images themselves are compared later
        del settings[f"config.{key}"]
    multihost.check_same({**settings, "--workdir": str(workdir)})


def _stoppable(on_progress: ProgressFn, interruption: Interruption) -> ProgressFn:
    """Returns a progress function that also raises `Interrupted` after a signal."""

    def report(what: str, done: int, total: int) -> None:
        on_progress(what, done, total)
        interruption.stop_reading()  # in case the handler's own exception was lost

    return report
