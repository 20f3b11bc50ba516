"""Check that a run directory can resume with a configuration, with advice if not."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flax_vision.errors import UserError
from flax_vision.models.registry import model_options
from flax_vision.runtime.files import normalized_path
from flax_vision.text import counted
from flax_vision.training.config_schema import DATA_PATHS, INIT_FROM, default_config, flatten
from flax_vision.training.schedules import INDEPENDENT_OF_EPOCHS
from flax_vision.weights.run_checkpoints import find_checkpoints
from flax_vision.weights.run_files import DATASET

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
    *("seed", "steps_per_call"),
)
"""Keys, or their prefixes: a run that differs in them can start from the same weights."""

_NONE = "(none)"


def check_same_run(path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises a UserError if a run directory belongs to another configuration.

    The number of epochs may change if the rates of the past epochs stay the same. `init_from` may
    be left out, because a resumed run does not read it again.

    Args:
      path: Run directory.
      saved: Configuration in the directory, as nested dictionaries.
      given: New configuration.
    """
    differences = _list_differences(path, saved, given)
    if set(differences) == {"epochs"}:
        obstacle = _obstacle_to_epochs(path, flatten(given))
        if not obstacle:
            return
        differences["epochs"] += f", {obstacle}"
    if differences:
        advice = "Give another --workdir"
        if all(key.startswith(_TRAINING_KEYS) for key in differences):
            advice += f"; with --config.init_from={path} it starts from the weights of this run"
        raise UserError(
            f"run directory {str(path)!r} belongs to another configuration: "
            f"{'; '.join(differences.values())}. {advice}."
        )


def _list_differences(
    path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, str]:
    """Returns texts about the keys in which two configurations differ, by key."""
    new, defaults = flatten(given), flatten(default_config()) | _model_defaults(given)
    # A key that is newer than the run had its default.
    old = {key: x for key, x in defaults.items() if key in new} | flatten(saved)
    old, new = json.loads(json.dumps([old, new]))
    # The digests of the images identify the data, at any path.
    paths = DATA_PATHS if (path / DATASET).exists() else ()
    differences = {
        key: f"{key} is {old.get(key, _NONE)!r} there and {new.get(key, _NONE)!r} now"
        for key in sorted((old | new).keys() - {*CHANGEABLE_KEYS, *paths})
        if old.get(key, _NONE) != new.get(key, _NONE)
    }
    if INIT_FROM in differences:
        source = new.get(INIT_FROM)
        if source and normalized_path(source) != normalized_path(old.get(INIT_FROM, "")):
            differences[INIT_FROM] += (
                ", but a resumed run does not read it again; leave it out "
                f"(--config.{INIT_FROM}=) to resume"
            )
        else:
            del differences[INIT_FROM]
    return differences


def _model_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the defaults of the model's options, by dotted key."""
    options = model_options(config["model"]["name"])
    # The type of the arithmetic is in every saved configuration, as text.
    return {f"model.{name}": x for name, x in options.items() if name != "dtype"}


def _obstacle_to_epochs(path: Path, config: Mapping[str, Any]) -> str:
    """Returns the reason why a run cannot change its number of epochs; empty if it can."""
    name = config.get("schedule.name")
    if name not in INDEPENDENT_OF_EPOCHS:
        return f"but the rates of the schedule {name!r} depend on the number of epochs"
    checkpoints = find_checkpoints(path)
    if checkpoints is None:
        return "but it has no checkpoint to resume from"
    newest, started = checkpoints.newest, 1
    if newest.history:
        last = newest.history[-1]
        started = math.ceil(newest.step * last["epoch"] / last["step"])
    if started > config["epochs"]:
        return f"but it has already started {counted(started, 'epoch')}; give at least {started:,}"
    return ""
