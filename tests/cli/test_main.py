import json
import os
import signal
import subprocess
import sys
from functools import partial

import pytest

from flax_vision.analysis import benchmark
from flax_vision.cli import main as program
from flax_vision.cli.main import main
from flax_vision.errors import UserError
from flax_vision.runtime import environment

BENCH = ("bench", "lenet5", "--mode=inference", "--batch-size=2", "--seconds=0.01")


def run_json(capsys, *arguments):
    assert main([*arguments, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_models(capsys):
    assert main(["models", "lenet5*"]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "year", "parameters", "multiply-adds", "paper"]
    assert first.split()[:4] == ["lenet5", "1998", "60,000", "325,680"]
    assert second.startswith("lenet5_modern")


def test_models_as_json(capsys):
    (row,) = run_json(capsys, "models", "resnet50")
    assert row["parameters"] == 25_557_032
    assert row["paper"].startswith("He et al.")


def test_summary(capsys):
    rows = run_json(capsys, "summary", "alexnet")
    assert rows[0] == {
        "layer": "conv1",
        "kernels": ["11x11/4 96"],
        "output": [55, 55, 96],
        "parameters": 34_944,
        "multiply-adds": 105_415_200,
    }
    assert (rows[-1]["layer"], rows[-1]["parameters"]) == ("total", 60_965_224)


def test_summary_with_image_size_classes_and_options(capsys):
    rows = run_json(
        capsys,
        *("summary", "googlenet", "--image-size", "64x96", "--num-classes", "10"),
        *("--options", "stem=separable", "auxiliary_heads=False", "dropout=0.25"),
    )
    outputs = {row["layer"]: row["output"] for row in rows}
    assert outputs["conv1_depthwise"] == [32, 48, 24]
    assert outputs["linear"] == [10]
    assert {"layer": "dropout", "kernels": ["25%"]}.items() <= next(
        row for row in rows if row["layer"] == "dropout"
    ).items()


def test_summary_in_columns(capsys):
    assert main(["summary", "lenet5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["C1", "5x5", "6", "28x28x6", "156", "117,600"]
    assert lines[-1].split() == ["total", "60,000", "325,680"]


def test_summary_on_a_mesh(capsys):
    arguments = ("summary", "lenet5_modern", "--mesh", "data=2", "--batch-size", "4")
    found = run_json(capsys, *arguments)
    assert list(found) == ["layers", "batch_size", "data=2"]
    assert found["layers"] == run_json(capsys, "summary", "lenet5_modern")
    assert found["batch_size"] == 4
    assert found["data=2"][-1] == {
        "layer": "total",
        "parameters, bytes": 4 * 61_706,
        "forward, bytes": 0,
        "backward, bytes": 4 * 61_706,
        "forward, an image": 0,
        "backward, an image": 61_706,
    }


@pytest.mark.slow
def test_summary_on_emulated_devices():
    """Runs in a new process, because devices are emulated only before JAX is imported."""
    command = [sys.executable, "-c", "import sys, flax_vision.cli.main as c; sys.exit(c.main())"]
    run = partial(subprocess.run, capture_output=True, text=True, check=False)
    done = run([*command, *["summary", "alexnet", "--mesh", "data=2,column=2", "--format", "json"]])
    found = json.loads(done.stdout)
    assert list(found) == ["layers", "batch_size", "data=2,column=2", "data=4"]
    sent = {row["layer"]: row["forward, an image"] for row in found["data=2,column=2"]}
    # Each device sends for half of the images.
    assert sent["conv3"] == 13 * 13 * 128 * 4 // 2
    assert sent["total"] == (13 * 13 * 128 + 6 * 6 * 128 + 2048 + 2048) * 4 // 2
    done = run([*command, *["summary", "alexnet", "--mesh", "column=3"]])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the mesh of data 1 x column 3 has an axis 'column' of 3")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("models vgg", "no model matches 'vgg'; valid: alexnet"),
        ("summary vgg17", "unknown model 'vgg17'; did you mean 'vgg19'?"),
        ("summary vgg16 --image-size 31", "at least 32x32"),
        (
            "summary vgg16 --image-size big",
            "argument --image-size: 'big' is no image size; give",
        ),
        ("summary vgg16 --image-size 0", "'0' is no image size"),
        ("summary vgg16 --image-size 1x2x3", "'1x2x3' is no image size"),
        ("summary vgg16 --num-classes 0", "num_classes is 0"),
        ("summary vgg16 --options lrn", "argument --options: 'lrn' is not KEY=VALUE"),
        ("summary vgg16 --options num_classes=5", "give --num-classes N"),
        ("summary vgg16 --options name=5", "give the model as NAME"),
        ("summary vgg16 --options dropout=2 --options batch_norm=block", "dropout of vgg16 is 2"),
        ("summary vgg16 --options lrn=1", "unknown option of vgg16 'lrn'"),
        ("summary vgg16 --mesh column=2", "vgg16 has no columns; give it 1, or choose"),
        ("summary vgg16 --mesh rows=2", "argument --mesh: unknown axis 'rows'"),
        ("summary vgg16 --mesh data=many", "'data=many' is not AXIS=N"),
        ("summary vgg16 --mesh data=2 --batch-size 3", "a batch of 3 images cannot be divided"),
        ("summary resnet50 --options shortcut=D", "unknown shortcut of resnet50 'D'"),
        ("summary resnet50 --options depth=18", "unknown option of resnet50 'depth'"),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert not printed.out


@pytest.fixture
def known_limit(monkeypatch):
    """Skips timing the largest matrix product."""
    monkeypatch.setattr(benchmark, "matrix_product_gigaflops", lambda: 50.0)


@pytest.mark.slow
@pytest.mark.usefixtures("known_limit")
def test_bench(capsys):
    (speed,) = run_json(capsys, *BENCH, "--options", "background=0.0")
    assert (speed["model"], speed["mode"], speed["batch_size"]) == ("lenet5", "inference", 2)
    assert len(speed["step_seconds"]) >= 3
    assert speed["limit"] == 50.0


@pytest.mark.slow
def test_bench_as_a_table(capsys):
    assert main([*BENCH]) == 0
    captured = capsys.readouterr()
    header, row = captured.out.splitlines()
    assert header.split()[:3] == ["model", "mode", "batch"]
    assert row.split()[:3] == ["lenet5", "inference", "2"]
    assert "convolutions: " in captured.err


@pytest.mark.parametrize("command", ["bench", "profile"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lenet6"], ["unknown model", "lenet6", "lenet5"]),
        (["lenet5", "--options", "bakground=0"], ["bakground", "background"]),
        (["lenet5", "--options", "name=vgg16"], ["name", "NAME"]),
        (["vgg16", "--image-size", "16"], ["32x32", "16"]),
    ],
)
def test_mistakes_end_before_the_measurements(command, arguments, words, capsys):
    assert main([command, *arguments]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert all(word in captured.err for word in words)
    assert "measuring" not in captured.err


@pytest.mark.slow
@pytest.mark.usefixtures("known_limit")
def test_batch_larger_than_memory(capsys):
    assert main(["bench", "lenet5", "--mode", "inference", "--batch-size", "100000000000"]) == 2
    assert "100,000,000,000 images in a step does not fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "value"), [("--batch-size", "0"), ("--seconds", "-1"), ("--seconds", "soon")]
)
def test_invalid_numbers(argument, value, capsys):
    assert main(["bench", "lenet5", argument, value]) == 2
    assert repr(value) in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("quick_generator")
def test_profile(capsys):
    (rows,) = run_json(capsys, "profile", "lenet5", "--batch-size=2", "--by=layer").values()
    assert {"C1", "S2", "C3", "OUT"} <= {row["layer"] for row in rows}
    assert sum(row["share, %"] for row in rows) == pytest.approx(100, abs=1)


def test_closed_pipe_is_no_error():
    command = [sys.executable, "-c", "import sys, flax_vision.cli.main as c; sys.exit(c.main())"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*command, "models"], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_too_long_path_is_one_line(capsys):
    assert main(["export", "a" * 300, "--format", "orbax", "-o", "b" * 300]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.fixture
def no_devices(monkeypatch):
    """Makes JAX find none of the devices in JAX_PLATFORMS."""

    def refuse():
        raise UserError("no devices")

    monkeypatch.setattr(environment, "check_platforms", refuse)


@pytest.mark.usefixtures("no_devices")
@pytest.mark.parametrize(
    "arguments",
    [
        *("summary lenet5", "bench lenet5", "profile lenet5", "evaluate x", "predict x y"),
        *("report x", "export x --format orbax -o y", "import-weights vgg16 x.safetensors y"),
    ],
)
def test_commands_without_a_device_fail_first(arguments, capsys):
    assert main(arguments.split()) == 2
    assert capsys.readouterr() == ("", "error: no devices\n")


@pytest.mark.usefixtures("no_devices")
def test_models_are_listed_without_a_device():
    assert main(["models"]) == 0


@pytest.mark.slow
def test_unavailable_platform():
    command = [sys.executable, "-c", "import sys, flax_vision.cli.main as c; sys.exit(c.main())"]
    environment = {**os.environ, "JAX_PLATFORMS": "nonsense"}
    done = subprocess.run(
        [*command, "summary", "lenet5"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(
        "error: JAX_PLATFORMS is 'nonsense', but JAX finds no such device"
    )


@pytest.mark.parametrize("command", ["prepare", "sweep", "paper"])
def test_ctrl_c_says_that_the_command_can_resume(command, monkeypatch):
    handlers = []
    monkeypatch.setattr(program, "stop_at_once_on_ctrl_c", lambda: handlers.append("resume"))
    monkeypatch.setattr(program.environment, "handle_ctrl_c", handlers.append)
    program._handle_ctrl_c([command, "x"])
    program._handle_ctrl_c(["models"])
    assert handlers == ["resume", signal.SIG_DFL]
