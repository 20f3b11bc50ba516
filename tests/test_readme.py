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
from flax_vision.models.registry import model_options
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
    if "torchvision" in source:
        pytest.importorskip("torchvision", reason="torchvision is in the extra `parity`")
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


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("flax-vision ")])
def test_other_commands(line, capsys):
    assert flax_vision_main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


def test_table_of_a_network_is_what_the_command_prints(capsys):
    assert flax_vision_main(["summary", "googlenet"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (shown,) = re.findall(r"```\n(layer .*?)```", README, re.DOTALL)
    assert shown.splitlines() == printed[: len(shown.splitlines())]


def test_names_in_the_table_of_networks_exist():
    table = README[README.index("| | names | options |") : README.index("All take float32")]
    cells = [line.split("|") for line in table.strip().splitlines()[2:]]
    names = {name for cell in cells for name in re.findall(r"`(\w+)`", cell[2])} - {"_bn"}
    options = {option for cell in cells for option in re.findall(r"`(\w+)`", cell[3])}
    assert names <= set(fv.list_models())
    assert options <= {option for name in names for option in model_options(name)}
