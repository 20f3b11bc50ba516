"""Check that a run directory can resume or continue with a configuration, with advice if not."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from flax_vision.data.custom_datasets import ARRAYS
from flax_vision.errors import UserError
from flax_vision.models.registry import model_options
from flax_vision.runtime.files import normalized_path
from flax_vision.text import counted
from flax_vision.training.config_schema import DATA_PATHS, INIT_FROM, default_config, flatten
from flax_vision.training.early_stopping import immediate_end
from flax_vision.training.schedules import INDEPENDENT_OF_EPOCHS
from flax_vision.weights.run_checkpoints import find_checkpoints
from flax_vision.weights.run_files import DATASET, RESULT

CHANGEABLE_KEYS = (
    *("checkpoint.save_interval_secs", "checkpoint.max_to_keep", "write_report"),
    "tensorboard.histograms",
    *("data.on_error", "data.num_threads", "data.max_pixels"),
    *("mesh.data", "mesh.column", "mesh.fsdp"),
    "model.remat",
)
"""Keys that a resumed run may change, because they do not affect training."""

_TRAINING_KEYS = (
    *("augmentation.", "batch_size", "epochs", "freeze", "loss.", "optimizer.", "schedule."),
    *("checkpoint.best_metric", "seed", "steps_per_call", "stop."),
)
"""Keys, or their prefixes: a run that differs in them can start from the same weights."""

CONTINUED_SECTIONS = ("epochs", "schedule", "stop")
"""Keys and sections that may change when a finished run continues."""

_NONE = "(none)"


class Continuation(NamedTuple):
    """Changed settings with which a run continues from its newest checkpoint.

    Attributes:
      step: Step of the checkpoint.
      epoch: Next or unfinished epoch, from 1.
      changes: Old and new value by key.
    """

    step: int
    epoch: int
    changes: Mapping[str, tuple[Any, Any]]

    def describe(self, epochs: int) -> str:
        """Returns a line about the changes; `epochs` is the new number of epochs."""
        changes = [f"config.{key} {old} -> {new}" for key, (old, new) in self.changes.items()]
        return (
            f"continues at epoch {self.epoch:,} of {epochs:,}: {', '.join(changes)}; the past "
            "epochs stay as they are"
        )


def check_same_run(
    path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]
) -> Continuation | None:
    """Compares the configuration of a run directory with a new one.

    A finished run may continue with more epochs, another schedule and another section `stop`. An
    unfinished run may change `stop`, and the number of epochs if the rates of the past epochs stay
    the same. `init_from` may be left out, because a resumed run does not read it again.

    Args:
      path: Run directory.
      saved: Configuration in the directory, as nested dictionaries.
      given: New configuration.

    Returns:
      The changed settings; None for the same configuration.

    Raises:
      UserError: The directory belongs to another configuration.
    """
    differences = _list_differences(path, saved, given)
    if not differences:
        return None
    texts = "; ".join(
        f"{key} is {old!r} there and {new!r} now" for key, (old, new) in differences.items()
    )
    if INIT_FROM in differences:
        texts += (
            f", but a resumed run does not read {INIT_FROM} again; leave it out "
            f"(--config.{INIT_FROM}=) to resume"
        )
    if differences.get("data.name", ("",))[0] == ARRAYS:
        texts += ", so give fv.train the same data=(images, labels)"
    if all(key.split(".")[0] in CONTINUED_SECTIONS for key in differences):
        continuation = _continuation(path, differences, flatten(given))
        if isinstance(continuation, Continuation):
            return continuation
        texts += f", {continuation}"
    advice = "Give another --workdir"
    if all(key.startswith(_TRAINING_KEYS) for key in differences):
        advice += f"; with --config.init_from={path} it starts from the weights of this run"
    raise UserError(
        f"run directory {str(path)!r} belongs to another configuration: {texts}. {advice}."
    )


def _list_differences(
    path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Returns the old and the new value of each key in which two configurations differ."""
    new, defaults = flatten(given), flatten(default_config()) | _model_defaults(given)
    # A key that is newer than the run had its default.
    old = {key: x for key, x in defaults.items() if key in new} | flatten(saved)
    old, new = json.loads(json.dumps([old, new]))
    # The digests of the images identify the data, at any path.
    paths = DATA_PATHS if (path / DATASET).exists() else ()
    differences = {
        key: (old.get(key, _NONE), new.get(key, _NONE))
        for key in sorted((old | new).keys() - {*CHANGEABLE_KEYS, *paths})
        if old.get(key, _NONE) != new.get(key, _NONE)
    }
    source = new.get(INIT_FROM)
    if not source or normalized_path(source) == normalized_path(old.get(INIT_FROM, "")):
        differences.pop(INIT_FROM, None)
    return differences


def _model_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the defaults of the model's options, by dotted key."""
    name = config.get("model", {}).get("name")
    options = model_options(name) if name else {}
    # Every saved configuration has the dtype, as text.
    return {f"model.{name}": x for name, x in options.items() if name != "dtype"}


def _continuation(
    path: Path, changes: Mapping[str, tuple[Any, Any]], config: Mapping[str, Any]
) -> Continuation | str:
    """Returns the continuation of a run with changes, or the reason against it."""
    is_finished, name, epochs = (
        (path / RESULT).exists(),
        config.get("schedule.name"),
        config["epochs"],
    )
    if not is_finished and any(key.startswith("schedule.") for key in changes):
        return "but only a finished run can change its schedule"
    if not is_finished and "epochs" in changes and name not in INDEPENDENT_OF_EPOCHS:
        return f"but the rates of the schedule {name!r} depend on the number of epochs"
    checkpoints = find_checkpoints(path)
    if checkpoints is None:
        return "but it has no checkpoint to resume from"
    step, history = checkpoints.newest.step, checkpoints.newest.history
    # The newest checkpoint may be that of an epoch's last step, without the epoch's record.
    done = step * history[-1]["epoch"] / history[-1]["step"] if history else 0
    started = max(math.ceil(done), 1)
    if started > epochs:
        return f"but it has already started {counted(started, 'epoch')}; give at least {started:,}"
    if is_finished and done >= epochs:
        more = f"give more, such as --config.epochs={2 * epochs}"
        return f"but all {counted(epochs, 'epoch')} are finished; {more}"
    stop = {key.removeprefix("stop."): x for key, x in config.items() if key.startswith("stop.")}
    if is_finished and (reason := immediate_end(ConfigDict(stop), history)):
        return f"but {reason}"
    return Continuation(step, int(done) + 1, changes)
