"""The command that finds a learning rate."""

import json
from pathlib import Path

import numpy as np
import pytest

from flax_vision.cli.main import main
from flax_vision.training import lr_finder
from flax_vision.training.lr_finder import analyze

LENET5 = str(Path(__file__).parents[2] / "configs/lenet5.py")
RATES = np.geomspace(1e-4, 10, 50)
TEST = analyze(RATES, 3 - 2 * np.exp(-(np.log10(RATES / 0.1) ** 2)))


@pytest.fixture
def given(monkeypatch, tmp_path):
    """Arguments of the range tests, which all have one result."""
    calls = []
    monkeypatch.setattr(lr_finder, "find_learning_rate", lambda *x: calls.append(x) or TEST)
    monkeypatch.chdir(tmp_path)
    return calls


def test_suggestion_curve_and_command(given, tmp_path, capsys):
    overrides = ["--config.model.name", "lenet5_modern", "--config.batch_size=64"]
    assert main(["lr-find", "--config", LENET5, *overrides, "--steps=50"]) == 0
    (config, *settings, _) = given[0]
    assert (config.model.name, config.batch_size) == ("lenet5_modern", 64)
    assert settings == [1e-6, 10.0, 50]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"suggestion: {TEST.suggestion:.2g}, ")
    assert lines[-1].endswith(
        f"flax-vision train {LENET5} --config.model.name=lenet5_modern --config.batch_size=64 "
        f"--config.schedule.lr={TEST.suggestion:.2g}"
    )
    assert (tmp_path / "lr-find.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["lr-find.png"]


def test_json(given, tmp_path, capsys):
    output = str(tmp_path / "curve.svg")
    assert main(["lr-find", "--config", LENET5, "-o", output, "--format=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["suggestion"] == TEST.suggestion
    assert found["rates"] == TEST.rates.tolist()
    assert found["picture"] == output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min-lr=1", "--max-lr=0.1"], "the rates rise from 1 to 0.1; give"),
        (["--config.batchsize=3"], "did you mean 'config.batch_size'"),
        (["--config.epochs"], "'--config.epochs' has no value"),
        (
            ["--stepz=3"],
            "unknown argument '--stepz' of `flax-vision lr-find`; did you mean '--steps'",
        ),
        (["-o", "curve"], "--output 'curve' has no valid extension"),
        (["-o", "old.png"], "--output 'old.png' exists; give --overwrite"),
    ],
)
def test_mistakes(arguments, message, given, tmp_path, capsys):
    (tmp_path / "old.png").write_text("")
    assert main(["lr-find", "--config", LENET5, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not given


def test_other_commands_take_no_keys(capsys):
    assert main(["models", "--config.epochs=3"]) == 2
    assert "unknown argument '--config.epochs'" in capsys.readouterr().err
