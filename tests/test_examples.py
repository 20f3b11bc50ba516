"""The programs in examples/; that for ONNX is in tests/parity."""

import ast
import shlex

import pytest
from example_programs import EXAMPLES, check_example

from flax_vision.cli.main import main
from flax_vision.cli.train import main as train_main

SMALL = ["--config.epochs=1", "--config.batch_size=256", "--config.data.val_fraction=0.7"]
SMALL += ["--config.mesh.data=1"]


def test_classify_stablehlo(export, tmp_path, monkeypatch, capsys):
    model = tmp_path / "net.stablehlo"
    check_example("classify_stablehlo.py", model, export, tmp_path, monkeypatch, capsys)


def commands(name):
    """Returns the commands in the docstring of an example."""
    text = ast.get_docstring(ast.parse((EXAMPLES / name).read_text())).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return [shlex.split(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["custom_model.py", "custom_dataset.py"])
def test_custom_model_and_dataset(name, temporary_names, tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").symlink_to(EXAMPLES)
    (tmp_path / "configs").symlink_to(EXAMPLES.parent / "configs")
    monkeypatch.chdir(tmp_path)
    (_, _, *train), *others = commands(name)
    assert train_main([*train, *SMALL]) == 0
    assert "report: runs/" in capsys.readouterr().out
    for _, *arguments in others:
        assert main(arguments) == 0
    assert others
