"""Help pages and unknown arguments of `flax-vision`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flax_vision.cli import bench
from flax_vision.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND; see `flax-vision --help`."),
        (["modles"], "unknown command 'modles'; did you mean 'models'? Valid: bench, "),
        (["--format=json", "models"], "'--format=json' is before the command; see `flax-"),
    ],
)
def test_unknown_command(arguments, message, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {message}")
    assert printed.count("\n") == 1


def test_help_has_a_line_for_each_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    listed = {words[0]: words[1:] for line in lines if (words := line.split()) and line[:2] == "  "}
    files = {file.stem for file in Path(bench.__file__).parent.glob("*.py")}
    assert {name.replace("-", "_") for name in listed} - {"_h,"} <= files
    assert {"train", "models", "compare", "evaluate", "bench"} <= listed.keys()
    assert all(len(line) < 100 for line in lines)
    assert "Training:" in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models", "a", "\x1b[2J"], r"unknown argument '\x1b[2J' of `flax-vision models`."),
        (
            ["models", "--fromat=json"],
            "unknown argument '--fromat' of `flax-vision models`; did you mean '--format'?",
        ),
        (
            ["models", "--protocol", "ten_crop"],
            "unknown argument '--protocol' of `flax-vision models`; it belongs to `flax-vision "
            "evaluate`.",
        ),
    ],
)
def test_unknown_argument_has_the_usage_of_its_command(arguments, message, capsys):
    assert main(arguments) == 2
    error, *usage = capsys.readouterr().err.splitlines()
    assert error == f"error: {message}"
    assert " ".join("".join(usage).split()).startswith("usage: flax-vision models [-h] [--format")


def test_unknown_argument_comes_before_a_missing_one(capsys):
    assert main(["export", "--protocol", "ten_crop"]) == 2
    assert "'--protocol' of `flax-vision export`" in capsys.readouterr().err


def test_flags_may_be_abbreviated(capsys):
    assert main(["models", "lenet5", "--form", "json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_train_is_the_training_program(capsys):
    assert main(["train", "--wrokdir=x"]) == 2
    error, *usage = capsys.readouterr().err.splitlines()
    assert error == (
        "error: unknown argument '--wrokdir' of `flax-vision train`; did you mean '--workdir'?"
    )
    assert usage[0].startswith("usage: flax-vision train [CONFIG[:RECIPE] | --config ")
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert "  flax-vision train lenet5 " in text
    assert "train.py" not in text


def test_module_is_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "flax_vision", "models", "lenet5", "--format=json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)[0]["name"] == "lenet5"
