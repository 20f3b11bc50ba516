"""Checks whether a run directory can resume with a configuration, with advice if not."""

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from flax_vision.errors import UserError
from flax_vision.runtime.paths import normalized_path
from flax_vision.text import counted
from flax_vision.training.config_schema import DATA_PATHS, INIT_FROM, default_config, flatten
from flax_vision.training.schedules import INDEPENDENT_OF_EPOCHS
from flax_vision.weights.run_checkpoints import Checkpoint, find_checkpoints
from flax_vision.weights.run_files import DATASET

CHANGEABLE_KEYS = (
    *(
        "checkpoint.save_interval_secs",
        "checkpoint.max_to_keep",
        "data.on_error",
        "data.num_threads",
        "write_report",
    ),
    *("data.max_pixels", "mesh.data", "mesh.column", "mesh.fsdp"),
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

    The number of epochs may change, if the rates of the past epochs stay the same. `init_from` may
    be left out, because a begun run does not read it again.

    Args:
      path: Run directory.
      saved: Configuration in the directory, as nested dictionaries.
      given: New configuration.
    """
    old, new = _with_defaults(flatten(saved), flatten(given))
    # The digests of the images identify the data, at any path.
    places = DATA_PATHS if (path / DATASET).exists() else ()
    differences = {
        key: f"{key} is {old.get(key, _NONE)!r} there and {new.get(key, _NONE)!r} now"
        for key in sorted((old | new).keys() - {*CHANGEABLE_KEYS, *places, INIT_FROM})
        if old.get(key, _NONE) != new.get(key, _NONE)
    }
    if new.get(INIT_FROM) and _init_from(old) != _init_from(new):
        differences[INIT_FROM] = (
            f"{INIT_FROM} is {old.get(INIT_FROM, _NONE)!r} there and {new[INIT_FROM]!r} now, but a "
            f"begun run does not read it again; leave it out (--config.{INIT_FROM}=) to go on"
        )
    if set(differences) == {"epochs"}:
        obstacle = _obstacle_to_epochs(path, old, new)
        if not obstacle:
            return
        differences["epochs"] += f", {obstacle}"
    if differences:
        raise UserError(
            f"run directory {str(path)!r} belongs to another configuration: "
            f"{'; '.join(differences.values())}. {_advice(path, differences)}"
        )


def _with_defaults(
    saved: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns both configurations as JSON; the saved one gets the defaults of new keys."""
    defaults = flatten(default_config().to_dict())
    began = {key: defaults[key] for key in given if key in defaults} | dict(saved)
    return json.loads(json.dumps(began)), json.loads(json.dumps(given))


def _init_from(config: Mapping[str, Any]) -> str:
    return normalized_path(config.get(INIT_FROM, ""))


def _advice(path: Path, keys: Collection[str]) -> str:
    if all(key.startswith(_TRAINING_KEYS) for key in keys):
        return (
            "Give another --workdir; with "
            f"--config.init_from={path} it starts from the weights of this run."
        )
    return "Give another --workdir."


def _obstacle_to_epochs(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Returns why a run cannot change its number of epochs; empty if it can."""
    name = new.get("schedule.name")
    if name not in INDEPENDENT_OF_EPOCHS:
        return f"but the rates of the schedule {name!r} depend on the number of epochs"
    found = find_checkpoints(path)
    if found is None:
        return "but it has no checkpoint to go on from"
    begun = _epochs_begun(found.newest)
    if begun > new["epochs"]:
        return f"but it has already begun {counted(begun, 'epoch')}; give at least {begun:,}"
    return ""


def _epochs_begun(newest: Checkpoint) -> int:
    if not newest.history:
        return 1
    last = newest.history[-1]
    return math.ceil(newest.step * last["epoch"] / last["step"])
