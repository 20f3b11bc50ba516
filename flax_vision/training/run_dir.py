"""The directory of a run: its lock, its configuration, its metrics, where it was started."""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from flax_vision.data import fingerprint
from flax_vision.data.splits import Splits
from flax_vision.errors import UserError, add_file_name
from flax_vision.runtime import multihost
from flax_vision.runtime.paths import normalized_path
from flax_vision.runtime.regular_files import read_regular
from flax_vision.runtime.terminal import print_warning
from flax_vision.training.config_schema import DATA_PATHS, INIT_FROM, flatten
from flax_vision.training.finished_run import missing_records, read_finished
from flax_vision.training.launches import describe_launch
from flax_vision.training.resume_check import check_same_run
from flax_vision.training.rollback import LOCK, Rollback
from flax_vision.training.tensorboard import Events
from flax_vision.weights import saved_model
from flax_vision.weights.run_checkpoints import saved_steps
from flax_vision.weights.run_files import (
    CONFIG,
    DATASET,
    LAUNCHES,
    METADATA,
    METRICS,
    REPORT_PAGE,
    RESTORE,
    RESULT,
    read_config,
    read_dataset,
    read_launches,
    to_json,
    write_config,
    write_file,
)
from flax_vision.weights.saved_model import ModelMetadata

_SEEN_SECONDS = 60.0
"""For so long NFS may show a directory as it was."""


class RunDirectory:
    """A directory that belongs to one configuration and, while it is open, to one run.

    Of the run's processes the first alone writes into it, but for the checkpoints.

    Attributes:
      path: the directory.
      checkpoints: the directory of the checkpoints.
      export: the directory of the exported best model.
      data_moved: Whether the data of a resumed run have another path than before.
      init_from: Model with which the run began, even if a later start leaves it out.
    """

    data_moved = False
    init_from = ""

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self.path = path
        self._config = config
        self.checkpoints = path / "checkpoints"
        self.export = path / "export"
        self._metrics = path / METRICS
        self._result = path / RESULT
        self._events = Events(path)

    def check_exists(self) -> None:
        """Raises a UserError if the directory was removed during the run."""
        files = (self.path / LOCK, self.path / CONFIG)
        if multihost.is_primary() and not any(file.exists() for file in files):
            raise UserError(
                f"run directory {str(self.path)!r} was removed or moved during the run; give the "
                "same command again to begin anew, or move it back first to go on."
            )

    def restore_config(self) -> None:
        """Writes `config.json` again, with a warning, if another program removed it.

        Raises:
          UserError: The whole directory was removed.
        """
        self.check_exists()
        if multihost.is_primary() and not (self.path / CONFIG).exists():
            print_warning(f"{self.path / CONFIG} was removed during the run; it is written again")
            self._write_config()

    def log(self, record: Mapping[str, Any]) -> None:
        """Adds a record to `metrics.jsonl` and its numbers to the TensorBoard events."""
        if not multihost.is_primary():
            return
        self._add_line(record)
        self._events.add(record)

    def begin(self, metadata: ModelMetadata, history: Sequence[Mapping[str, Any]]) -> None:
        """Writes the run's files, and removes the result and report of an earlier end.

        Args:
          metadata: Description of the model.
          history: Records of the epochs up to the checkpoint at which the run resumes.
        """
        if multihost.is_primary():
            for name in (REPORT_PAGE, RESULT):
                (self.path / name).unlink(missing_ok=True)
        self.rewind(history)
        self.write_metadata(metadata)
        if multihost.is_primary():
            self._write_config()

    def rewind(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Makes `metrics.jsonl` and the events say what the history says, and nothing else.

        Args:
          history: the records of the epochs up to the checkpoint from which a run goes on.
        """
        if not multihost.is_primary():
            return
        self.check_exists()
        write_file(self._metrics, "".join(json.dumps(record) + "\n" for record in history))
        self._events.close()
        for record in history:
            self._events.add(record)

    def write_metadata(self, metadata: ModelMetadata) -> None:
        """Writes the description of the model, with its preprocessing."""
        if multihost.is_primary():
            self.check_exists()
            write_file(self.path / METADATA, metadata.to_json())

    def metadata(self) -> ModelMetadata | None:
        """Returns the model's description in a resumed run; None if unknown or the run is new.

        Raises:
          UserError: The file with it is damaged, and a run with `init_from` needs it.
        """
        file = self.path / METADATA
        if not saved_steps(self.path) or not file.exists():
            return None
        try:
            return saved_model.read_metadata(file, "delete it to read config.init_from again")
        except UserError:
            if self._config.get("init_from"):
                raise
            return None  # prepare() computes all of it again

    def result(self) -> dict[str, Any] | None:
        """Returns what a finished run came to, or None where the run is not finished.

        All processes of the run call it at once, and hear what the first has read.
        """
        found = multihost.primary_only(self._read_result)
        result: dict[str, Any] | None = json.loads(multihost.all_gather_text(json.dumps(found))[0])
        return result

    def finish(self, result: Mapping[str, Any]) -> None:
        """Writes down what the run came to."""
        if not multihost.is_primary():
            return
        self.restore_config()
        self._add_line(result)
        # The rest of it are figures of the best epoch and of the whole run, no points of a curve.
        test = {name: value for name, value in result.items() if name.startswith("test/")}
        self._events.add({"step": result["step"], **test})
        write_file(self._result, to_json(result))

    def claim_images(self, parts: Splits) -> None:
        """Writes down which images the run learns from, and is chosen and tested by.

        Raises:
          UserError: it has a checkpoint, and had others when that was written; or the processes of
            the run do not have the same.
        """
        found = fingerprint.split_fingerprints(parts)
        mend = "Bring those of process 0 to where the other reads them."
        multihost.check_same(fingerprint.summaries(found), "the same images", mend)
        multihost.primary_only(lambda: self._claim_images(found))

    def close(self) -> None:
        """Closes the files."""
        self._events.close()

    def _claim_images(self, found: Mapping[str, fingerprint.Fingerprint]) -> None:
        self.check_exists()
        kept = None
        if _is_begun(self.path):
            kept = read_dataset(self.path, "delete it to go on without comparing the images")
        if kept is not None:
            changed = {
                part: fingerprint.describe_changes(kept[part], found[part]) for part in found
            }
            told = [f"{part}: {text}" for part, text in changed.items() if text]
            if told:
                raise UserError(
                    f"run directory {str(self.path)!r} belongs to other images than there are now: "
                    f"{'; '.join(told)}. Bring them back as they were, or give another --workdir."
                )
        write_file(self.path / DATASET, json.dumps(found) + "\n")

    def _read_result(self) -> dict[str, Any] | None:
        if read_config(self.path).get("epochs") != self._config.get("epochs"):
            return None  # the run resumes with another number of epochs
        result = read_finished(self.path)
        if result is not None and (records := missing_records(self.path)) is not None:
            self.rewind(records)
            self.finish(result)
        return result

    def _write_config(self) -> None:
        """Writes `config.json`, with the model that the run began with."""
        began_with = {INIT_FROM: self.init_from} if INIT_FROM in self._config else {}
        write_config(self.path, {**self._config, **began_with})

    def _add_line(self, record: Mapping[str, Any]) -> None:
        self.check_exists()
        with add_file_name(self._metrics), self._metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")


@contextlib.contextmanager
def open_run(path: Path, config: Mapping[str, Any]) -> Iterator[RunDirectory]:
    """Opens the directory of a run, and creates it where it does not exist.

    If an error ends the run before its first new checkpoint, the directory is restored.

    Args:
      path: the directory.
      config: the configuration, as nested dictionaries.

    Raises:
      UserError: the directory cannot be written, another process is using it, it belongs to
        another configuration, or not all processes of the run see it.
    """
    run = RunDirectory(path, config)
    with contextlib.ExitStack() as stack:
        began = multihost.primary_only(lambda: _take(path, config, stack)) or config
        run.data_moved = any(multihost.all_max(_data_places(began) != _data_places(config)))
        run.init_from = multihost.all_gather_text(began.get(INIT_FROM, ""))[0]
        stack.callback(run.close)
        _check_seen(path)
        yield run


def _take(path: Path, config: Mapping[str, Any], stack: contextlib.ExitStack) -> Mapping[str, Any]:
    """Locks and claims the directory until the stack is closed.

    Returns:
      The configuration with which the run began.
    """
    try:
        _check_wildcards(path)
        lock, rollback = filelock.FileLock(path / LOCK), Rollback(path)
        stack.callback(rollback.remove_new_folders)
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        stack.callback(lock.release)
        stack.enter_context(rollback)
        return _claim(path, config)
    except filelock.Timeout as error:
        raise _in_use(path) from error
    except OSError as error:
        raise UserError(
            f"run directory {str(path)!r} cannot be written ({error.strerror}); give another "
            "--workdir."
        ) from error


def _check_wildcards(path: Path) -> None:
    wildcards = sorted(set(str(path.absolute())) & set("[]*?\\"))
    if wildcards and not _is_begun(path):
        raise UserError(
            f"run directory {str(path.absolute())!r} has {' '.join(wildcards)} in its path, by "
            "which Orbax, which writes the checkpoints, does not find them again; give another "
            "--workdir."
        )


def _check_seen(path: Path) -> None:
    """Raises a UserError unless every process sees what the first has just written."""
    written = multihost.all_gather_text(_digest_of_starts(path))[0]
    deadline = time.monotonic() + _SEEN_SECONDS
    while _digest_of_starts(path) != written and time.monotonic() < deadline:
        time.sleep(0.2)
    for process, seen in enumerate(multihost.all_gather_text(_digest_of_starts(path))):
        if seen != written:
            raise UserError(
                f"process {process} does not see run directory {str(path)!r} of process 0; it must "
                "be on a disk that all share: give such a --workdir."
            )


def _digest_of_starts(path: Path) -> str:
    try:
        return hashlib.sha256(read_regular(path / LAUNCHES)).hexdigest()
    except OSError:
        return ""


def _in_use(path: Path) -> UserError:
    starts: list[dict[str, Any]] = []
    with contextlib.suppress(UserError):  # the file only names the other run
        starts = read_launches(path, "")
    owner = f", process {starts[-1].get('process')} on {starts[-1]['host']}" if starts else ""
    return UserError(
        f"run directory {str(path)!r} is in use by another run{owner}; wait for it, or give "
        "another --workdir."
    )


def _claim(path: Path, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Compares and writes `config.json`, and adds this start to `launches.json`.

    Returns:
      The configuration with which the run began.
    """
    began = config
    if _is_begun(path):
        saved = read_config(path, f"{RESTORE}, or give another --workdir")
        if not saved:
            raise UserError(
                f"run directory {str(path)!r} has checkpoints but no {CONFIG}, so their "
                "configuration is unknown; give another --workdir."
            )
        check_same_run(path, saved, config)
        began = saved
    # Another number of epochs takes effect only when the run resumes.
    kept = {key: began[key] for key in ("epochs", INIT_FROM) if key in began}
    write_config(path, {**config, **kept})
    write_file(path / LAUNCHES, to_json([*_read_starts(path), describe_launch()]))
    return began


def _read_starts(path: Path) -> list[dict[str, Any]]:
    """Returns the entries of `launches.json`; an empty list and a warning if it is damaged."""
    try:
        return read_launches(path, "a new file replaces it")
    except UserError as damage:
        print_warning(damage)
        return []


def _data_places(config: Mapping[str, Any]) -> list[str]:
    flat = flatten(config)
    return [normalized_path(flat.get(key, "")) for key in DATA_PATHS]


def _is_begun(path: Path) -> bool:
    """Returns whether the directory has a checkpoint or a result, which must not be lost."""
    return bool(saved_steps(path)) or (path / RESULT).exists()
