"""The option --import of both programs."""

import pytest

from flax_vision.cli import train
from flax_vision.cli.main import main

pytestmark = pytest.mark.usefixtures("temporary_names")

NET = """
import flax_vision as fv
from flax import linen as nn

class Net(nn.Module):
    num_classes: int = 10

    @nn.compact
    def __call__(self, images, *, train=False):
        return nn.Dense(self.num_classes)(images.mean((1, 2)))

fv.register_model("net", Net, image_shape=(8, 8, 3))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes mymodels.py into the current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mymodels.py"


@pytest.mark.parametrize("is_first", [True, False])
def test_commands_know_the_models_of_a_module(is_first, module, capsys):
    module.write_text(NET)
    option, command = ["--import", "mymodels"], ["models", "n*"]
    assert main(option + command if is_first else command + option) == 0
    assert "net" in capsys.readouterr().out
    assert main(["summary", "net"]) == 0
    assert "dense" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = 1 / 0", "mymodels.py, line 2: ZeroDivisionError: division by zero"),
        ("x = 1\ny = = 2", "mymodels.py, line 2: invalid syntax"),
        ("import nothing", "mymodels.py, line 1: ModuleNotFoundError: No module named 'nothing'"),
        (NET.replace('"net"', '"lenet5"'), "mymodels.py, line 12: a model 'lenet5' exists already"),
        ("import numpy\nnumpy.zeros(-1)", "mymodels.py, line 2: ValueError: negative dimensions"),
        ("raise SystemExit(3)", "mymodels.py, line 1: SystemExit: 3"),
    ],
)
def test_errors_in_a_module_are_one_line(text, message, module, capsys):
    module.write_text(text)
    assert main(["--import", "mymodels", "models"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --import mymodels: ")
    assert message in line


@pytest.mark.parametrize("name", ["mymodels", "mymodels.nets"])
def test_module_that_does_not_exist(name, module, capsys):
    assert train.main(["--import", name, "--config", "lenet5.py"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--import {name}: there is no Python module 'mymodels' in {module.parent}" in line
