"""The runs of a sweep: settings, seeds, directories and configurations."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flax_vision.errors import UserError
from flax_vision.text import listed
from flax_vision.training.config_loader import build_config
from flax_vision.training.config_schema import flatten
from flax_vision.training.run_names import directory_name, setting_text

Settings = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]
"""Settings one by one, or a grid: the values of each key."""

_MAX_NAMED = 3
"""Number of runs that a message names."""


@dataclass(frozen=True)
class SweepRun:
    """A run of a sweep.

    Attributes:
      settings: Values of the run's own settings, by dotted key.
      seed: Seed of the run.
      workdir: Run directory.
      result: Result, as in `result.json`; None for an unfinished run.
      error: First line of the error that ended the run; empty for none.
    """

    settings: dict[str, Any]
    seed: int
    workdir: Path
    result: dict[str, Any] | None = None
    error: str = ""


def plan_sweep(
    config: str | Mapping[str, Any] | ConfigDict,
    settings: Settings,
    seeds: Sequence[int],
    workdir: Path,
    overrides: Mapping[str, Any] | None = None,
) -> list[tuple[SweepRun, ConfigDict]]:
    """Returns the runs of a sweep and their configurations, without starting any.

    Args:
      config: As in `run_sweep`.
      settings: As in `run_sweep`.
      seeds: Seeds of each group.
      workdir: Directory of the sweep.
      overrides: Keys to change in `config` for all runs.

    Raises:
      UserError: A setting is not valid, or two runs would have the same directory.
    """
    groups, changes = expand_grid(settings), flatten(overrides or {})
    _check_not_empty(groups, seeds)
    planned = []
    for group, seed in itertools.product(groups, seeds):
        run_config = build_config(config, {**changes, **group, "seed": seed})
        flat = flatten(run_config)
        values = {key: flat[key] for key in sorted(group)}
        run = SweepRun(values, seed, workdir / run_name(values, seed))
        planned.append((run, run_config))
    _check_distinct([run for run, _ in planned])
    return planned


def expand_grid(settings: Settings) -> list[dict[str, Any]]:
    """Returns the settings of each group of runs, by dotted key.

    The last key of a grid changes fastest.

    Raises:
      UserError: The values of a key are not a list.
    """
    if not isinstance(settings, Mapping):
        return [flatten(group) for group in settings]
    for key, values in settings.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise UserError(f"the values of {key!r} are {values!r}; give a list of values.")
    return [
        dict(zip(settings, values, strict=True)) for values in itertools.product(*settings.values())
    ]


def run_name(settings: Mapping[str, Any], seed: int) -> str:
    """Returns the name of a run's directory, such as `model.name=resnet20,seed=0`."""
    words = [f"{key}={setting_text(key, settings[key])}" for key in sorted(settings)]
    return directory_name(",".join([*words, f"seed={seed}"]))


def _check_not_empty(groups: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> None:
    for name, values in {"settings": groups, "seeds": seeds}.items():
        if not values:
            raise UserError(f"{name} is empty, so there is no run; give at least one.")
    for group in groups:
        if "seed" in group:
            raise UserError(f"seed is one of the settings ({group['seed']!r}); give it in `seeds`.")


def _check_distinct(runs: Sequence[SweepRun]) -> None:
    """Raises a UserError if two runs would have the same directory."""
    names = [run.workdir.name for run in runs]
    twice = list(dict.fromkeys(name for name in names if names.count(name) > 1))
    if twice:
        raise UserError(
            f"two runs would have the directory {listed(twice, _MAX_NAMED)}; give each value and "
            "each seed once, and values that differ in more than special characters."
        )
