import errno
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from flax_vision.errors import UserError
from flax_vision.training.config_loader import check_config, load_config

CONFIGS = Path(__file__).parents[2] / "configs"
LENET5 = str(CONFIGS / "lenet5.py")
HEAD = "from flax_vision.training.config_schema import default_config\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        file = tmp_path / "mine.py"
        file.write_text(text)
        return str(file)

    return write


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.py")), ids=lambda file: file.stem)
@pytest.mark.parametrize("recipe", ["", "mnist", "fashion_mnist", "cifar10"])
def test_every_config_offers_every_recipe(file, recipe):
    config = load_config(f"{file}:{recipe}", [])
    assert config.data.name == (recipe or "mnist_5k")


def test_recipe_depends_on_the_model():
    config = load_config(LENET5, ["--config.model.name=lenet5_modern"])
    assert config.model.name == "lenet5_modern"
    assert config.loss.name == "cross_entropy"
    assert load_config(LENET5, []).loss.name == "lenet5_map"


def test_overrides_take_the_type_of_the_old_value():
    overrides = ["seed=7", "schedule.lr=1", "data.mean=1,2.5", "data.tfds_dir=/x"]
    config = load_config(LENET5, [f"--config.{override}" for override in overrides])
    assert config.seed == 7
    assert isinstance(config.schedule.lr, float)
    assert config.data.mean == (1, 2.5)
    assert config.data.tfds_dir == "/x"


def test_options_of_the_model_are_keys():
    config = load_config(LENET5, ["--config.model.trainable_codes=True"])
    assert config.model.trainable_codes is True
    assert config.model.dtype == "float32"


def test_file_can_omit_keys_and_recipes(write):
    config = load_config(
        write(
            "from ml_collections import ConfigDict\n"
            "def get_config():\n    return ConfigDict({'epochs': 2, 'model': {'name': 'lenet5'}})\n"
        ),
        [],
    )
    assert (config.epochs, config.batch_size) == (2, 128)


def test_file_can_define_dataclasses(write):
    lines = [
        "from __future__ import annotations",
        "from dataclasses import dataclass",
        HEAD,
        "@dataclass",
        "class Choice:",
        "    epochs: int = 3",
        "def get_config():",
        "    config = default_config()",
        "    config.epochs = Choice().epochs",
        "    return config",
    ]
    assert load_config(write("\n".join(lines)), []).epochs == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["--config.batch_sise=4"],
            "batch_sise is not a key; did you mean 'config.batch_size'.*Valid: batch_size, ep",
        ),
        (["--config.model.code=x"], "model.code is not a key; did you mean 'config.model.codes'"),
        (["--config.model=x"], "config.model is not a key; did you mean 'config.model.name'"),
        (["--config.batch_size=many"], "config.batch_size is 'many'; it must be a whole number"),
        (["--config.batch_size=1.5"], "config.batch_size is '1.5'; it must be a whole number"),
        (
            ["--config.model.trainable_codes=perhaps"],
            "trainable_codes is 'perhaps'; it must be True or False",
        ),
        (["--config.batch_size"], "'--config.batch_size' has no value"),
        (["--config.batch_size=0"], "config.batch_size is 0; it must be from 1 to 2147483647"),
        (["--config.model.name=lenet"], "unknown model 'lenet'; did you mean 'lenet5'"),
    ],
)
def test_invalid_overrides(overrides, message):
    with pytest.raises(UserError, match=message):
        load_config(LENET5, overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "has no `get_config`"),
        ("def get_config(:\n", "line 1: "),
        (HEAD + "\ndef get_config():\n    return 1 / 0\n", "line 4: ZeroDivisionError: division"),
        ("def get_config():\n    raise SystemExit('no')\n", "line 2: SystemExit: no"),
        ("def get_config():\n    raise ValueError('a\\nb')\n", "line 2: ValueError: a b"),
        ("import nowhere_at_all\n", "line 1: ModuleNotFoundError"),
        (
            "def get_config():\n    return {'epochs': 1}\n",
            "the configuration is a dict; give a ConfigDict",
        ),
        (
            HEAD + "def get_config():\n    c = default_config()\n    c.epoch = 1\n    return c\n",
            "config.epoch is not a key; did you mean 'config.epochs'",
        ),
        (
            HEAD
            + "def get_config():\n    c = default_config()\n    c.epochs = 'x'\n    return c\n",
            "line 4: TypeError",
        ),
    ],
)
def test_invalid_files(write, text, message):
    file = write(text)
    with pytest.raises(UserError, match=message) as caught:
        load_config(file, [])
    assert file in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_offers_the_nearest():
    with pytest.raises(UserError, match=r"no config file .*lenet.py'; did you mean .*lenet5.py'"):
        load_config(str(CONFIGS / "lenet.py"), [])


def test_unreadable_directory(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(UserError, match="config file 'a/b.py' cannot be read .Permission denied.;"):
        load_config("a/b.py", [])


def test_missing_file_does_not_offer_itself(tmp_path):
    os.mkfifo(tmp_path / "mine.py")
    with pytest.raises(UserError, match=r"no config file .*mine.py'. In .*: no .py file.$"):
        load_config(str(tmp_path / "mine.py"), [])


def test_unknown_recipe(write):
    with pytest.raises(UserError, match="unknown recipe 'mnst'; did you mean 'mnist'"):
        load_config(f"{LENET5}:mnst", [])
    file = write(HEAD + "def get_config():\n    return default_config()\n")
    with pytest.raises(UserError, match="has no recipes, so 'mnist' does not exist; leave it out"):
        load_config(f"{file}:mnist", [])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"optimizer": {"name": "adamax"}},
            "unknown config.optimizer.name 'adamax'; did you .*'adam",
        ),
        ({"schedule": {"lr": -1.0}}, "lr is -1.0; it must be greater than 0"),
        (
            {"optimiser": {"name": "sgd"}},
            "optimiser.name is not a key; did you mean 'config.optimizer",
        ),
        ({"epochs": "2"}, "config.epochs is '2'; it must be a whole number, such as 10, its def"),
        ({"epochs": True}, "config.epochs is True; it must be a whole number"),
        ({"init_from": None}, "config.init_from is None; it must be a string"),
        ({"data": "mnist_5k"}, "config.data is not a key; did you mean 'config.data."),
        ({"seed": ConfigDict()}, "config.seed is .*; it must be a whole number, such as 0"),
        ({"sead": ConfigDict()}, "config.sead is not a key; did you mean 'config.seed'"),
        ({"schedule": {"lr": 10**400}}, "config.schedule.lr is 10*; it must"),
        ({"data": {"mean": (10**400,)}}, "config.data.mean is .10*,.; it must be finite numbers"),
        ({"data": {"mean": (np.float32(1),)}}, "config.data.mean is .*; it must be a number, a st"),
        ({"model": {"name": "lenet5", "background": ConfigDict()}}, "background is .*; it must be"),
        ({"batch_size": 2**31}, "batch_size is 2147483648; it must be from 1 to 2147483647"),
        ({"epochs": 99999999999}, "epochs is 99999999999; it must be from 1 to 2147483647"),
        (
            {"data": {"num_threads": 2**31}},
            "data.num_threads is 2147483648; it must be from 0 to 21474836",
        ),
        ({"model": {"name": "lenet6"}}, "unknown model 'lenet6'"),
    ],
)
def test_configuration_from_python_is_checked(values, message):
    with pytest.raises(UserError, match=message):
        check_config(ConfigDict(values))


def test_configuration_must_be_a_config_dict():
    with pytest.raises(UserError, match="the configuration is a dict; give a ConfigDict"):
        check_config({"epochs": 2})


def test_checked_configuration_is_a_complete_copy():
    config = ConfigDict({"epochs": 2, "data": {"mean": [1.0]}})
    checked = check_config(config)
    assert (checked.epochs, checked.batch_size, checked.data.mean) == (2, 128, (1.0,))
    assert checked.model.background == -0.1
    assert config.to_dict() == {"epochs": 2, "data": {"mean": [1.0]}}
    assert check_config(checked) == checked


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.dtype(jnp.bfloat16), "bfloat16"])
def test_dtype_becomes_its_name(dtype):
    given = ConfigDict({"model": {"name": "lenet5", "dtype": dtype}, "data": ConfigDict()})
    assert check_config(given).model.dtype == "bfloat16"
    assert given.model.dtype == dtype


def test_tilde_is_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    overrides = ["init_from=~/a", "data.tfds_dir=~/b", "data.image_dir=~/c", "data.name=folder"]
    config = load_config(LENET5, [f"--config.{override}" for override in overrides])
    assert config.init_from == "/home/me/a"
    assert (config.data.tfds_dir, config.data.image_dir) == ("/home/me/b", "/home/me/c")
