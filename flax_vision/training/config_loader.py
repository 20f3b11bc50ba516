"""From a config file and the overrides on a command line to a configuration."""

import difflib
import importlib.machinery
import importlib.util
import inspect
import json
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags

from flax_vision.errors import UserError, unknown
from flax_vision.models.registry import model_options
from flax_vision.runtime.paths import expanded_path
from flax_vision.training.config_schema import PATH_KEYS, check, default_config, flatten, split_spec

_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a string",
    tuple: "a tuple",
}


def load_config(spec: str, overrides: Sequence[str]) -> ConfigDict:
    """Runs a config file and applies what the command line sets.

    Args:
      spec: `PATH`, or `PATH:RECIPE`.
      overrides: arguments such as `--config.batch_size=64`.

    Returns:
      The checked configuration, complete to the last option of the network.

    Raises:
      UserError: the file, the recipe, a key or a value is wrong.
    """
    path, recipe = split_spec(spec)
    model = _last_value("model.name", overrides)
    config = _run(Path(path), lambda get_config: _complete(_call(get_config, recipe, model)))
    _add_model_options(config, model or config.model.name)
    return check_config(_override(config, overrides))


def check_config(config: ConfigDict) -> ConfigDict:
    """Returns a complete and valid copy of a configuration.

    Args:
      config: Keys to set; all others get their defaults.

    Raises:
      UserError: A key does not exist, or a value is invalid.
    """
    complete = _complete(config)
    _add_model_options(complete, complete.model.name)
    paths = {key: expanded_path(flatten(complete)[key]) for key in PATH_KEYS}
    complete.update_from_flattened_dict(paths)
    _check_plain(complete)
    check(complete)
    return complete


def _check_plain(config: ConfigDict) -> None:
    """Raises a UserError for a value that JSON cannot hold, such as an array."""
    for key, value in flatten(config).items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"config.{key} is {_on_one_line(value)}; it must be a number, a string, True, "
                "False or a tuple of these."
            ) from error


def _run(path: Path, use: Callable[[Callable[..., Any]], ConfigDict]) -> ConfigDict:
    """Returns what `use` makes of the file's `get_config`, with errors that name the file."""
    try:
        is_file = path.is_file()
    except OSError as error:
        raise UserError(
            f"config file {str(path)!r} cannot be read ({error.strerror}); give another --config."
        ) from error
    if not is_file:
        raise _no_file(path)
    loader = importlib.machinery.SourceFileLoader("config", str(path.absolute()))
    spec = importlib.util.spec_from_loader("config", loader)
    assert spec is not None  # a loader was given
    # Dataclasses look their module up there.
    module = sys.modules["config"] = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
        if not hasattr(module, "get_config"):
            raise UserError("it has no `get_config`, a function that returns a ConfigDict.")
        return use(module.get_config)
    except SyntaxError as error:
        where = f", line {error.lineno}" if error.lineno else ""
        raise UserError(f"config file {str(path)!r}{where}: {error.msg}.") from error
    except UserError as error:
        raise UserError(f"config file {str(path)!r}: {error}") from error
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
        where = f", line {lines[-1]}" if lines else ""
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"config file {str(path)!r}{where}: {problem}") from error


def _no_file(path: Path) -> UserError:
    siblings = sorted(str(file) for file in path.parent.glob("*.py") if file != path)
    nearest = difflib.get_close_matches(str(path), siblings, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    found = ", ".join(siblings) or "no .py file"
    return UserError(f"no config file {str(path)!r}{hint} In {path.parent}: {found}.")


def _call(get_config: Callable[..., Any], recipe: str, model: str) -> Any:
    """Calls `get_config` with what it takes of the recipe and of the network's name, if given."""
    takes = inspect.signature(get_config).parameters
    if recipe and "recipe" not in takes:
        raise UserError(f"it has no recipes, so not {recipe!r} either.")
    given = {"recipe": recipe, "model": model}
    config = get_config(**{name: value for name, value in given.items() if value and name in takes})
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"get_config returned {type(config).__name__}; it must return a ConfigDict."
        )
    return config


def _complete(config: ConfigDict) -> ConfigDict:
    """Returns the configuration with defaults for its missing keys."""
    if not isinstance(config, ConfigDict):
        raise UserError(f"the configuration is a {type(config).__name__}; give a ConfigDict.")
    complete = default_config()
    defaults = flatten(complete)
    for key, value in flatten(config).items():
        if isinstance(value, ConfigDict) and any(name.startswith(f"{key}.") for name in defaults):
            continue  # an empty section
        if key not in defaults and not key.startswith("model."):
            raise unknown("key", key, defaults)
        if key in defaults and not _has_type_of(defaults[key], value):
            raise _wrong_type(key, value, defaults[key], "its default")
    complete.update(config)
    return complete


def _has_type_of(default: Any, value: Any) -> bool:
    """Returns whether a ConfigDict accepts a value in place of a default, by its type."""
    if isinstance(default, float) and type(value) is int:
        return abs(value) <= sys.float_info.max
    return type(value) is type(default) or (isinstance(default, tuple) and type(value) is list)


def _last_value(key: str, overrides: Sequence[str]) -> str:
    """Returns what the overrides set a key to, empty where they do not."""
    prefix = f"--config.{key}="
    values = [
        override.removeprefix(prefix) for override in overrides if override.startswith(prefix)
    ]
    return values[-1] if values else ""


def _add_model_options(config: ConfigDict, model: str) -> None:
    """Puts every option of the network into `config.model`, so that it can be overridden."""
    for option, default in model_options(model).items():
        value = config.model.get(option, default)
        # A configuration is also JSON, which has no types like jnp.float32.
        if isinstance(value, type | np.dtype):
            value = np.dtype(value).name
        with config.ignore_type():
            config.model[option] = value


def _override(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    for override in overrides:
        key = re.sub(r"^--config\.|=.*$", "", override, flags=re.DOTALL)
        if "=" not in override:
            raise UserError(f"{override!r} has no value; write {override}=VALUE.")
        if key not in flatten(config):
            raise unknown("key", f"config.{key}", [f"config.{key}" for key in flatten(config)])
    values = flags.FlagValues()
    typed = ["train.py", *overrides]
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=typed)
    try:
        values(typed)
    except (flags.Error, ValueError, TypeError) as error:
        raise _of_another_type(str(error), overrides, flatten(config)) from error
    return values.config


def _of_another_type(text: str, overrides: Sequence[str], defaults: dict[str, Any]) -> UserError:
    """Returns the error for absl's text such as `flag --config.epochs=x: invalid literal ...`."""
    for override in overrides:
        key, _, value = override.removeprefix("--config.").partition("=")
        if text.startswith(f"flag {override}: "):
            return _wrong_type(key, value, defaults[key], "its value in the file")
    return UserError(text.removeprefix("flag "))


def _on_one_line(value: Any) -> str:
    return " ".join(repr(value).split())


def _wrong_type(key: str, value: Any, example: Any, origin: str) -> UserError:
    kind = _KINDS[type(example)]
    return UserError(
        f"config.{key} is {_on_one_line(value)}; it must be {kind}, such as {example!r}, {origin}."
    )
