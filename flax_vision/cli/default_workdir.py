"""The default run directory of a command."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flax_vision.training.config_loader import load_config, run_config_file
from flax_vision.training.config_schema import flatten, split_spec
from flax_vision.training.resume_check import CHANGEABLE_KEYS
from flax_vision.training.run_names import directory_name, setting_text

_MODEL_NAME = "model.name"


def default_workdir(spec: str, overrides: Sequence[str]) -> str:
    """Returns the default run directory of a command, such as `runs/lenet5-mnist-lr0.1-seed1`.

    The name contains the settings that differ from the config file's own values. Their order and
    spelling do not matter. Settings that a resumed run may change are left out.

    Args:
      spec: Path or name of a config file, and `:RECIPE` if there is one.
      overrides: Valid arguments such as `--config.batch_size=64`.

    Raises:
      UserError: The file, the recipe, a key or a value is wrong.
    """
    path, recipe = split_spec(spec)
    words = filter(None, [Path(path).stem, recipe, *_settings(spec, overrides)])
    return f"runs/{directory_name('-'.join(words))}"


def _settings(spec: str, overrides: Sequence[str]) -> Iterator[str]:
    """Yields the settings of a command that differ from its config file's own values."""
    config = flatten(load_config(spec, overrides))
    keys = {override.removeprefix("--config.").partition("=")[0] for override in overrides}
    own = {}
    if keys:
        # The file may set other values for another model.
        own = flatten(run_config_file(spec, config[_MODEL_NAME] if _MODEL_NAME in keys else ""))
    if _MODEL_NAME in keys:
        own[_MODEL_NAME] = run_config_file(spec).model.name
    short = _short_names(config)
    for key in sorted(keys - {*CHANGEABLE_KEYS}):
        value, own_value = (setting_text(key, values[key]) for values in (config, own))
        if value != own_value:
            yield _joined(short[key], value)


def _short_names(keys: Mapping[str, Any]) -> dict[str, str]:
    """Returns the last part of each key, or the whole key if that part is not unique."""
    last = {key: key.rpartition(".")[2] for key in keys}
    counts = Counter(last.values())
    return {key: name if counts[name] == 1 else key for key, name in last.items()}


def _joined(key: str, text: str) -> str:
    """Returns `key=text`, or for a single number `keytext`."""
    is_number = re.fullmatch(r"\d[\d.e+-]*", text) and not key[-1].isdigit()
    return f"{key}{text}" if is_number else f"{key}={text}"
