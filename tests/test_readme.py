"""The README's Python runs as printed, and its commands parse as printed."""

import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import flax_vision as fv
from flax_vision.cli import main as flax_vision_main
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.training import command
from flax_vision.training.config_file import load_config
from flax_vision.weights import exported

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]
TRAINING = [part for line in COMMANDS for part in line.split(" && ") if "train.py" in part]


@pytest.fixture
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("source", blocks("python"))
def test_python_runs(source, tmp_path, monkeypatch):
    card = exported.ModelCard(
        name="lenet5",
        options={},
        class_names=list("0123456789"),
        image_shape=[28, 28, 1],
        preprocessing=Preprocessing([20.0], [200.0]),
        metrics={},
    )
    variables = card.create_model().init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    exported.save(tmp_path / "runs/lenet5/export", card, variables)
    monkeypatch.chdir(tmp_path)
    exec(source, {})


@pytest.mark.parametrize("line", [part for part in TRAINING if "--help" not in part])
@pytest.mark.usefixtures("at_the_root")
def test_training_commands_have_a_configuration(line):
    _, script, *arguments = shlex.split(line)
    assert script == "train.py"
    options, overrides = command._parse(arguments)
    load_config(options.config, overrides)


def test_other_commands(capsys):
    assert "flax-vision models" in COMMANDS
    assert flax_vision_main(["models"]) == 0
    assert capsys.readouterr().out.split() == fv.list_models()
