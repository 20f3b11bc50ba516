"""The arithmetic of `benchmarks/compare_torch.py`, on invented figures."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest


@pytest.fixture
def compare_torch(monkeypatch):
    file = Path(__file__).parents[2] / "benchmarks/compare_torch.py"
    monkeypatch.syspath_prepend(str(file.parent))
    spec = importlib.util.spec_from_file_location("compare_torch", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def side(*steps):
    """Returns figures of a side with steps of 100 GFLOP, of the given seconds in each turn."""
    turns = [{"step_seconds": [step] * 3, "peak_bytes": 1e9} for step in steps]
    return {"operations": 100e9, "compile_seconds": 3.0, "ready_seconds": 4.0, "turns": turns}


def test_the_faster_form_of_pytorch_counts_round_by_round(compare_torch):
    sides = {
        "with oneDNN": side(1.0, 2.0, 4.0),
        "pure JAX": side(2.0, 4.0, 8.0),
        "PyTorch": side(9.0, 9.0, 9.0),
        "torch.compile": side(2.0, 2.0, 2.0),
        "a large matrix product": side(0.5, 1.0, 0.6),
    }
    case = {"row": ["vgg16", 8, 224], "mode": "training", "allocator": "keep"}
    row = compare_torch.table_row(case | {"sides": sides})
    assert row["with oneDNN, ratio"] == "1.00 (0.50 to 2.00)"
    assert row["pure JAX, ratio"] == "0.50 (0.25 to 1.00)"
    assert row["PyTorch, images/s"] == "4.0"
    assert row["with oneDNN, images/s"] == "4.0"
    assert row["with oneDNN, GFLOP/s"] == "50 (25%)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vgg17"], "unknown model vgg17; valid: lenet5_modern"),
        (["--without", "PyTorch", "torch.compile"], "nothing to compare"),
        (["--show"], "results.json does not exist"),
        (["--modes", "both"], "invalid choice"),
    ],
)
def test_argument_errors(arguments, message, compare_torch, monkeypatch, tmp_path, capsys):
    command = ["compare_torch.py", "--output", str(tmp_path), *arguments]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="2"):
        compare_torch.main()
    assert message in capsys.readouterr().err


def run(compare_torch, monkeypatch, tmp_path, *arguments):
    """Runs the program with steps of 1 s, and returns the measured cases."""
    measured = []

    def measure(case, sides, rounds, seconds):
        measured.append((case["row"][0], case["mode"]))
        return {name: side(*[1.0] * rounds) for name in (*sides, "a large matrix product")}

    monkeypatch.setattr(compare_torch, "measure", measure)
    common = ["--rounds=1", "--allocators=keep", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["compare_torch.py", *common, *arguments])
    compare_torch.main()
    return measured


def test_the_same_command_resumes(compare_torch, monkeypatch, tmp_path):
    assert len(run(compare_torch, monkeypatch, tmp_path, "vgg16")) == 4
    results = tmp_path / "results.json"
    results.write_text(json.dumps(json.loads(results.read_text())[:3]))
    assert run(compare_torch, monkeypatch, tmp_path, "vgg16") == [("vgg16", "inference")]
    assert len(json.loads(results.read_text())) == 4


def test_other_results_are_not_mixed_in(compare_torch, monkeypatch, tmp_path, capsys):
    run(compare_torch, monkeypatch, tmp_path, "resnet20")
    with pytest.raises(SystemExit, match="2"):
        run(compare_torch, monkeypatch, tmp_path, "vgg16")
    assert "has other measurements" in capsys.readouterr().err


def test_sides_take_turns_as_processes(compare_torch, monkeypatch):
    pytest.importorskip("torchvision")
    monkeypatch.setenv("PYTHONPATH", str(Path(compare_torch.__file__).parents[1]))
    case = {"row": ["lenet5_modern", 2, 28], "mode": "inference", "allocator": "keep"}
    figures = compare_torch.measure(case, ["pure JAX", "PyTorch"], rounds=2, seconds=0.01)
    assert list(figures) == ["pure JAX", "PyTorch", "a large matrix product"]
    assert all(len(side["turns"]) == 2 for side in figures.values())
    assert figures["pure JAX"]["compile_seconds"] > 0
