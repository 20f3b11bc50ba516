"""Loads a configuration from a config file and the overrides of a command line."""

import contextlib
import importlib.machinery
import importlib.util
import inspect
import json
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from flax.traverse_util import unflatten_dict
from ml_collections import ConfigDict, config_flags

from flax_vision.errors import UserError
from flax_vision.models.registry import model_options
from flax_vision.runtime.files import expanded_path
from flax_vision.training.config_files import find_config, installed_folder
from flax_vision.training.config_keys import KEYS
from flax_vision.training.config_schema import PATH_KEYS, check, default_config, flatten, split_spec
from flax_vision.training.config_values import STORED_FORMS, stored_form, with_stored_forms
from flax_vision.training.renamed_keys import unknown_key

_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a string",
    tuple: "a tuple",
}

_PACKAGE = "configs"
"""Package from which config files import each other."""

_MODEL = "--config.model.name="


def load_config(spec: str, overrides: Sequence[str]) -> ConfigDict:
    """Runs a config file and applies the overrides of the command line.

    Args:
      spec: `CONFIG` or `CONFIG:RECIPE`; CONFIG is a path or a name, as in `find_config`.
      overrides: Arguments such as `--config.batch_size=64`.

    Returns:
      The checked configuration, with every option of the model.

    Raises:
      UserError: The file, the recipe, a key or a value is wrong.
    """
    models = [text.removeprefix(_MODEL) for text in overrides if text.startswith(_MODEL)]
    return check_config(_override(run_config_file(spec, models[-1] if models else ""), overrides))


def build_config(
    config: str | Mapping[str, Any] | ConfigDict, overrides: Mapping[str, Any] | None = None
) -> ConfigDict:
    """Returns the checked configuration of a config file, or of keys in Python.

    Args:
      config: Config file and recipe, as in `load_config`, or keys that differ from the defaults, in
        nested dictionaries or with dots.
      overrides: Keys to change, in nested dictionaries or with dots. A changed `model.name` is
        passed to the config file, as on the command line.

    Raises:
      UserError: The file, the recipe, a key or a value is wrong.
    """
    changes = flatten(overrides or {})
    if isinstance(config, str | Path):
        return load_config(str(config), [f"--config.{key}={x}" for key, x in changes.items()])
    if not isinstance(config, Mapping | ConfigDict):
        raise UserError(
            f"config is {config!r}; give a config file such as 'configs/lenet5.py', a dictionary "
            "such as {'model.name': 'resnet20'}, or a ConfigDict."
        )
    values = {key: stored_form(key, x) for key, x in {**flatten(config), **changes}.items()}
    return check_config(ConfigDict(unflatten_dict(values, sep=".")))


def run_config_file(spec: str, model: str = "") -> ConfigDict:
    """Returns the configuration of a config file, without checks of its values.

    Args:
      spec: `CONFIG` or `CONFIG:RECIPE`; CONFIG is a path or a name, as in `find_config`.
      model: Name of the model; empty for the file's own.

    Raises:
      UserError: The file, the recipe or the model is wrong.
    """
    name, recipe = split_spec(spec)
    path = find_config(name)
    with _add_location(path), _config_package(path.parent):
        config = _complete(_call(_import_get_config(path), recipe, model))
    _add_model_options(config, model or config.model.name)
    return config


def check_config(config: ConfigDict) -> ConfigDict:
    """Returns a complete and valid copy of a configuration.

    Args:
      config: Keys to set; all others get their defaults.

    Raises:
      UserError: A key does not exist, or a value is invalid.
    """
    complete = _complete(config)
    _add_model_options(complete, complete.model.name)
    flat = flatten(complete)
    complete.update_from_flattened_dict({key: expanded_path(flat[key]) for key in PATH_KEYS})
    for key, value in flat.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"config.{key} is {_on_one_line(value)}; it must be a number, a string, True, "
                "False or a tuple of these."
            ) from error
    check(complete)
    return complete


@contextlib.contextmanager
def _add_location(path: Path) -> Iterator[None]:
    """Turns every error into a UserError with the name of the config file and the line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename) == path.absolute()]
        line = own[-1].lineno if own else None
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        if isinstance(error, UserError):
            line, problem = None, str(error)
        elif isinstance(error, SyntaxError) and error.filename == str(path.absolute()):
            line, problem = error.lineno, f"{error.msg}."
        elif isinstance(error, ValueError | TypeError) and own and _sets_rates(error, own[-1].line):
            problem = (
                "a file sets the rates of layers by pairs, not by a dictionary; write "
                'config.optimizer.lr_mult = (("conv.*", 0.1),).'
            )
        elif isinstance(error, AttributeError) and own:
            # A missing section, such as the `view` of older versions.
            key = re.search(r"config\.(\w+\.\w+)", own[-1].line or "")
            problem = str(unknown_key(key[1], flatten(default_config()))) if key else problem
        where = f", line {line}" if line else ""
        raise UserError(f"config file {str(path)!r}{where}: {problem}") from error


def _sets_rates(error: Exception, line: str | None) -> bool:
    """Returns whether an error of ml_collections is about a dictionary for `optimizer.lr_mult`."""
    pattern = re.search(r"does not accept dots.* the key (\S+) contains", str(error))
    is_pattern = pattern is not None and pattern[1] not in KEYS
    return is_pattern or "lr_mult" in (line or "")


@contextlib.contextmanager
def _config_package(folder: Path) -> Iterator[None]:
    """Lets config files import each other from the package `configs`.

    The package has the files of `folder`, then of every folder `configs` on `sys.path`, then of
    this library. A copied folder therefore uses its own files, under any name, and shadows no other
    module.
    """

    def remove() -> dict[str, types.ModuleType]:
        names = [name for name in sys.modules if name.split(".")[0] == _PACKAGE]
        return {name: sys.modules.pop(name) for name in names}

    before = remove()
    package = sys.modules[_PACKAGE] = types.ModuleType(_PACKAGE)
    on_path = [str(Path(entry, _PACKAGE)) for entry in sys.path]
    package.__path__ = [str(folder.absolute()), *on_path, str(installed_folder())]
    try:
        yield
    finally:
        remove()
        sys.modules.update(before)


def _import_get_config(path: Path) -> Any:
    loader = importlib.machinery.SourceFileLoader("config", str(path.absolute()))
    spec = importlib.util.spec_from_loader("config", loader)
    assert spec is not None  # a loader was given
    # Dataclasses look their module up there.
    module = sys.modules["config"] = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise UserError("it has no `get_config`, a function that returns a ConfigDict.")
    return module.get_config


def _call(get_config: Callable[..., Any], recipe: str, model: str) -> Any:
    """Calls `get_config`, with the recipe and the name of the model if it has such parameters."""
    parameters = inspect.signature(get_config).parameters
    if recipe and "recipe" not in parameters:
        raise UserError(f"it has no recipes, so {recipe!r} does not exist; leave it out.")
    given = {"recipe": recipe, "model": model}
    return get_config(**{name: x for name, x in given.items() if x and name in parameters})


def _complete(config: Any) -> ConfigDict:
    """Returns the configuration with defaults for its missing keys."""
    if not isinstance(config, ConfigDict):
        raise UserError(f"the configuration is a {type(config).__name__}; give a ConfigDict.")
    complete, config = default_config(), with_stored_forms(config)
    defaults = flatten(complete)
    for key, value in flatten(config).items():
        if isinstance(value, ConfigDict) and any(name.startswith(f"{key}.") for name in defaults):
            continue  # an empty section
        if key not in defaults and not key.startswith("model."):
            raise unknown_key(key, defaults)
        if key in defaults and not _has_type_of(defaults[key], value):
            raise _wrong_type(key, value, defaults[key], "its default")
    complete.update(config)
    return complete


def _has_type_of(default: Any, value: Any) -> bool:
    """Returns whether a ConfigDict accepts a value in place of a default, by its type."""
    if isinstance(default, float) and type(value) is int:
        return abs(value) <= sys.float_info.max
    return type(value) is type(default) or (isinstance(default, tuple) and type(value) is list)


def _add_model_options(config: ConfigDict, model: str) -> None:
    """Adds every option of the model to `config.model`, which makes it a key."""
    for option, default in model_options(model).items():
        value = config.model.get(option, default)
        # A configuration is also JSON, which has no types like jnp.float32.
        if isinstance(value, type | np.dtype):
            value = np.dtype(value).name
        with config.ignore_type():
            config.model[option] = value


def _override(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    """Returns the configuration with the values of arguments such as `--config.epochs=3`."""
    for override in overrides:
        key, equals, value = override.removeprefix("--config.").partition("=")
        keys = flatten(config)
        if not equals:
            raise UserError(f"{override!r} has no value; write {override}=VALUE.")
        if key not in keys:
            raise unknown_key(key, keys)
        if key in STORED_FORMS:
            value = STORED_FORMS[key](value)
            if not _has_type_of(keys[key], value):
                rule = KEYS[key].rule
                raise UserError(f"config.{key} is {value!r}; it must be {rule and rule.text}.")
            config.update_from_flattened_dict({key: value})
            continue
        values, arguments = flags.FlagValues(), ["train.py", override]
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=arguments)
        try:
            values(arguments)
        except (flags.Error, ValueError, TypeError) as error:
            raise _wrong_type(key, value, keys[key], "its value in the file") from error
        config = values.config
    return config


def _on_one_line(value: Any) -> str:
    return " ".join(repr(value).split())


def _wrong_type(key: str, value: Any, example: Any, origin: str) -> UserError:
    return UserError(
        f"config.{key} is {_on_one_line(value)}; it must be {_KINDS[type(example)]}, such as "
        f"{example!r}, {origin}."
    )
