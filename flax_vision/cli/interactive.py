"""Training from Python: in scripts, interactive sessions and notebooks."""

import contextlib
import shutil
import signal
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax import linen as nn
from ml_collections import ConfigDict

from flax_vision.cli.train import write_report
from flax_vision.cli.training_display import make_display
from flax_vision.data.custom_datasets import ARRAYS, ArrayData, arrays_in_memory
from flax_vision.errors import UserError
from flax_vision.runtime import multihost
from flax_vision.runtime.files import to_path
from flax_vision.training.callbacks import Callback, CallbackObserver, resume_advice
from flax_vision.training.config_loader import build_config
from flax_vision.training.fit import fit
from flax_vision.training.signals import RESUME_ADVICE, Interrupted
from flax_vision.weights import run_files
from flax_vision.weights.loading import load_model
from flax_vision.weights.run_checkpoints import saved_steps


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A finished run and its best model.

    Attributes:
      history: Records of the epochs, as in `metrics.jsonl`: `epoch`, `step`, `learning_rate`,
        `train/loss`, `train/top1`, `validation/loss`, `validation/top1` and others.
      result: Result of the run, as in `result.json`: `best_epoch`, `test/top1` and others.
      model: The linen module.
      variables: Variables of the best epoch, as in the result of `fv.load`.
      workdir: Run directory. A temporary one is removed together with this object.
    """

    history: Sequence[dict[str, Any]]
    result: Mapping[str, Any]
    model: nn.Module
    variables: Any
    workdir: Path

    def __repr__(self) -> str:
        return (
            f"TrainedModel({type(self.model).__name__}, {len(self.history)} epochs, "
            f"test top-1 {self.result['test/top1']:.2%}, workdir={str(self.workdir)!r})"
        )


def train(
    config: str | Mapping[str, Any] | ConfigDict,
    workdir: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    *,
    overrides: Mapping[str, Any] | None = None,
    data: ArrayData | None = None,
    class_names: Sequence[str] | None = None,
) -> TrainedModel:
    """Trains a model as `train.py` does, and returns the best model with its results.

    ```python
    import flax_vision as fv

    run = fv.train({"model": {"name": "lenet5_modern"}, "epochs": 2})
    print([record["validation/top1"] for record in run.history], run.result["test/top1"])
    print(fv.features(run.model, run.variables, images, "f6").shape)  # images float32 [N, H, W, C]
    ```

    With a `workdir`, the same call resumes a stopped run, and returns the result of a finished one.
    The directory gets all files that `train.py` writes, such as `report/index.html`.

    An interrupt saves the run after the current step, and raises `KeyboardInterrupt` with the call
    that resumes it. A second interrupt acts at once. SIGTERM saves the run and raises `SystemExit`.
    Signals are handled only in the main thread.

    Args:
      config: Config file such as `"lenet5:mnist"`, or keys that differ from the defaults, in nested
        dictionaries or with dots (`"model.name"`). `flax-vision train --help` lists all keys.
      workdir: Run directory. None for a temporary directory without a report, which is removed
        together with the returned object. It stays if the run is stopped.
      callbacks: Instances of `fv.Callback`, such as loggers.
      overrides: Keys to change in `config`, in nested dictionaries or with dots.
      data: Pair `(images, labels)` in place of the dataset of `config`, or a dictionary with such
        pairs for `"train"`, `"validation"` and `"test"`; see `array_datasets`.
      class_names: Names of the classes of `data`, in the order of integer labels.

    Raises:
      UserError: The configuration, data or directory is not valid, or the loss was not finite.
      OSError: A file of the run cannot be written.
      KeyboardInterrupt: The run was interrupted, and is saved.
      Exception: A callback raised it; the run is saved, and a note shows the call to resume it.
    """
    changes = dict(overrides or {}) | ({"data.name": ARRAYS} if data is not None else {})
    loaded = build_config(config, changes)
    with _dataset(data, class_names), _run_directory(workdir) as path:
        trained = _train(loaded, path, callbacks, loaded.write_report and workdir is not None)
    if workdir is None:
        weakref.finalize(trained, shutil.rmtree, path, ignore_errors=True)
    return trained


def _train(
    config: ConfigDict, path: Path, callbacks: Sequence[Callback], reports: bool
) -> TrainedModel:
    """Trains with the display of this process, and loads the best model."""
    observer = CallbackObserver(display := make_display(), callbacks)
    with display, _errors_of_stopped_runs(path, observer):
        result = fit(config, path, observer)
        if reports and multihost.is_primary():
            write_report(path, display)
    multihost.all_max(0)  # waits until the first process has written the files
    history = [dict(record) for record in run_files.read_records(path) if "epoch" in record]
    loaded = load_model(path)
    return TrainedModel(history, result, loaded.model, loaded.variables, path)


@contextlib.contextmanager
def _dataset(data: ArrayData | None, class_names: Sequence[str] | None) -> Iterator[None]:
    """Makes the arrays a dataset within the block, if there are any."""
    if data is not None:
        with arrays_in_memory(data, class_names):
            yield
    elif class_names is not None:
        raise UserError("class_names is for data, and there is none; give data=(images, labels).")
    else:
        yield


@contextlib.contextmanager
def _run_directory(workdir: str | Path | None) -> Iterator[Path]:
    """Yields the run directory; a temporary one without checkpoints is removed after an error."""
    if workdir is not None:
        yield to_path(workdir)
        return
    if multihost.process_count() > 1:
        raise UserError("workdir is None; give a run of several processes a shared directory.")
    path = Path(tempfile.mkdtemp(prefix="flax_vision-"))
    try:
        yield path
    except BaseException as error:
        if saved_steps(path):
            error.add_note(f"The temporary run directory {path} stays.")
        else:
            shutil.rmtree(path, ignore_errors=True)
        raise


@contextlib.contextmanager
def _errors_of_stopped_runs(path: Path, observer: CallbackObserver) -> Iterator[None]:
    """Raises the exception that Python users expect from a stopped run."""
    try:
        yield
        observer.raise_error(path)
    except Interrupted as interrupted:
        observer.raise_error(path)
        message = str(interrupted)
        if saved_steps(path):
            message = f"{message.removesuffix(RESUME_ADVICE)}{resume_advice(path)}"
        if interrupted.signal == signal.SIGINT:
            raise KeyboardInterrupt(message) from None
        observer.line(message)
        raise SystemExit(interrupted.exit_status) from None
