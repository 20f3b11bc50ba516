"""The files of a run directory: configuration, metrics, dataset, splits, model and result."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flax_vision.data import fingerprint
from flax_vision.data.split_record import splits_csv
from flax_vision.data.splits import Splits
from flax_vision.errors import UserError, add_file_name
from flax_vision.runtime import multihost
from flax_vision.runtime.files import normalized_path
from flax_vision.runtime.terminal import print_warning
from flax_vision.training import finished_run, rollback, run_lock, tensorboard
from flax_vision.training.config_schema import DATA_PATHS, INIT_FROM, flatten
from flax_vision.training.resume_check import Continuation
from flax_vision.weights import run_files, saved_model
from flax_vision.weights.run_checkpoints import History, saved_steps


class RunDirectory:
    """A directory that belongs to one configuration and, while it is open, to one run.

    Only the first process writes into it; all processes write the checkpoints.

    Attributes:
      path: The directory.
      checkpoints: Directory of the checkpoints.
      export: Directory of the exported best model.
      data_moved: Whether the data of a resumed run have another path than before.
      init_from: Model with which the run began, even if a later start leaves it out.
      continuation: Changed settings with which the run continues; None for none.
      rescheduled_at: Step at which the present schedule began; None for the first step.
    """

    data_moved = False
    init_from = ""
    continuation: Continuation | None = None
    rescheduled_at: int | None = None

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self.path = path
        self._config = config
        self.checkpoints = path / "checkpoints"
        self.export = path / "export"
        self._metrics = path / run_files.METRICS
        self._events = tensorboard.Events(path)

    def check_exists(self) -> None:
        """Raises a UserError if the directory was removed during the run."""
        files = (self.path / rollback.LOCK, self.path / run_files.CONFIG)
        if multihost.is_primary() and not any(file.exists() for file in files):
            raise UserError(
                f"run directory {str(self.path)!r} was removed or moved during the run; give the "
                "same command to start over, or move it back first to resume."
            )

    def restore_config(self) -> None:
        """Writes `config.json` again, with a warning, if another program removed it.

        Raises:
          UserError: The whole directory was removed.
        """
        self.check_exists()
        if multihost.is_primary() and not (self.path / run_files.CONFIG).exists():
            print_warning(
                f"{self.path / run_files.CONFIG} was removed during the run; it is written again"
            )
            self._write_config()

    def start(self, metadata: saved_model.ModelMetadata, history: History) -> None:
        """Writes the run's files, and removes the result and report of an earlier end.

        Args:
          metadata: Description of the model.
          history: Records of the epochs up to the checkpoint at which the run resumes.
        """
        if multihost.is_primary():
            self.check_exists()
            for name in (run_files.REPORT_PAGE, run_files.RESULT):
                (self.path / name).unlink(missing_ok=True)
            self._write_config()
            self.rewind(history)
            self.write_metadata(metadata)

    def rewind(self, history: History) -> None:
        """Replaces the content of `metrics.jsonl` and the TensorBoard events, in one process.

        Args:
          history: Records of the epochs up to the checkpoint at which the run resumes.
        """
        self.check_exists()
        run_files.write_file(
            self._metrics, "".join(json.dumps(record) + "\n" for record in history)
        )
        self._events.rewind(history)

    def log(self, record: Mapping[str, Any]) -> None:
        """Adds a record to `metrics.jsonl` and its numbers to the TensorBoard events."""
        if multihost.is_primary():
            self._add_line(record)
            self._events.add(record)

    def log_histograms(self, step: int, histograms: Mapping[str, tensorboard.Histogram]) -> None:
        """Adds histograms, by name, to the TensorBoard events."""
        if multihost.is_primary() and histograms:
            self._events.add_histograms(step, histograms)

    def write_metadata(self, metadata: saved_model.ModelMetadata) -> None:
        """Writes the description of the model, with its preprocessing, in one process."""
        self.check_exists()
        run_files.write_file(self.path / run_files.METADATA, metadata.to_json())

    def metadata(self) -> saved_model.ModelMetadata | None:
        """Returns the model's description in a resumed run; None if unknown or the run is new.

        Raises:
          UserError: The file is damaged, and a run with `init_from` needs it.
        """
        file = self.path / run_files.METADATA
        if not saved_steps(self.path) or not file.exists():
            return None
        try:
            return saved_model.read_metadata(file, "delete it to read config.init_from again")
        except UserError:
            if self._config.get("init_from"):
                raise
            return None  # build_experiment() computes all of it again

    def result(self) -> dict[str, Any] | None:
        """Returns the result of a finished run; None for an unfinished run.

        All processes call it together and get the result that the first has read.
        """
        own = multihost.primary_only(self._read_result)
        result: dict[str, Any] | None = json.loads(multihost.all_gather_text(json.dumps(own))[0])
        return result

    def finish(self, result: Mapping[str, Any]) -> None:
        """Writes the result of the run."""
        if not multihost.is_primary():
            return
        self.restore_config()
        self._add_line(result)
        # The other numbers belong to the best epoch or the whole run, not to this step.
        test = {
            name: value
            for name, value in result.items()
            if name.startswith("test/") and isinstance(value, int | float)
        }
        self._events.add({"step": result["step"], **test})
        self._events.add_hparams(result["step"], flatten(self._config), test)
        run_files.write_file(self.path / run_files.RESULT, run_files.to_json(result))

    def was_stratified(self) -> bool | None:
        """Returns whether the splits of a resumed run are stratified; None for a new run.

        All processes call it together and get the answer of the first.

        Raises:
          UserError: The record of the images is damaged.
        """
        own = multihost.primary_only(self._read_was_stratified)
        was_stratified: bool | None = json.loads(multihost.all_gather_text(json.dumps(own))[0])
        return was_stratified

    def check_dataset(self, splits: Splits) -> None:
        """Records the images of a new run, and compares them in a resumed run.

        Raises:
          UserError: The images differ from before, or between the processes.
        """
        found = fingerprint.split_fingerprints(splits)
        hint = "Bring those of process 0 to where the other reads them."
        multihost.check_same(fingerprint.summaries(found), "the same images", hint)
        multihost.primary_only(lambda: self._record_dataset(found))
        multihost.primary_only(lambda: self._record_splits(splits))

    def close(self) -> None:
        """Closes the files."""
        self._events.close()

    def _read_dataset(self) -> dict[str, Any] | None:
        """Returns the record of a resumed run's images; None without one."""
        if not run_lock.has_progress(self.path):
            return None
        hint = "delete it to continue without comparing the images"
        return run_files.read_dataset(self.path, hint)

    def _read_was_stratified(self) -> bool | None:
        saved = self._read_dataset()
        return fingerprint.is_stratified(saved) if saved else None

    def _record_dataset(self, found: Mapping[str, fingerprint.Fingerprint]) -> None:
        self.check_exists()
        if saved := self._read_dataset():
            changes = {
                split: fingerprint.describe_changes(saved[split], found[split]) for split in found
            }
            texts = [f"{split}: {text}" for split, text in changes.items() if text]
            if texts:
                raise UserError(
                    f"run directory {str(self.path)!r} belongs to other images than there are now: "
                    f"{'; '.join(texts)}. Bring them back as they were, or give another --workdir."
                )
        run_files.write_file(self.path / run_files.DATASET, json.dumps(found) + "\n")

    def _record_splits(self, splits: Splits) -> None:
        """Writes the split of each image file, if the images are from a folder."""
        text = splits_csv(splits, self._config.get("data", {}).get("image_dir", ""))
        if text:
            run_files.write_file(self.path / run_files.SPLITS, text)

    def _read_result(self) -> dict[str, Any] | None:
        if self.continuation:
            return None
        result = finished_run.read_finished(self.path)
        if result is not None and (records := finished_run.missing_records(self.path)) is not None:
            self.rewind(records)
            self.finish(result)
        return result

    def _write_config(self) -> None:
        """Writes `config.json`, with the model that the run began with."""
        began_with = {INIT_FROM: self.init_from} if INIT_FROM in self._config else {}
        run_files.write_config(self.path, {**self._config, **began_with})

    def _add_line(self, record: Mapping[str, Any]) -> None:
        self.check_exists()
        with add_file_name(self._metrics), self._metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")


@contextlib.contextmanager
def open_run(path: Path, config: Mapping[str, Any]) -> Iterator[RunDirectory]:
    """Opens the directory of a run, and creates it if it does not exist.

    If an error ends the run before its first new checkpoint, the directory is restored.

    Args:
      path: Run directory.
      config: Configuration as nested dictionaries.

    Raises:
      UserError: The directory cannot be written, is in use, belongs to another configuration, or
        is not visible to all processes.
    """
    run = RunDirectory(path, config)
    with contextlib.ExitStack() as stack:
        launch = multihost.primary_only(lambda: run_lock.lock_run(path, config, stack))
        original, *change = launch or run_lock.Launch(config)
        run.data_moved = any(multihost.all_max(_data_paths(original) != _data_paths(config)))
        run.init_from = multihost.all_gather_text(original.get(INIT_FROM, ""))[0]
        continued, run.rescheduled_at = json.loads(multihost.all_gather_text(json.dumps(change))[0])
        run.continuation = Continuation(*continued) if continued else None
        stack.callback(run.close)
        run_lock.check_shared(path)
        yield run


def _data_paths(config: Mapping[str, Any]) -> list[str]:
    flat = flatten(config)
    return [normalized_path(flat.get(key, "")) for key in DATA_PATHS]
