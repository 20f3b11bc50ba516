"""The arithmetic of the comparison with PyTorch, on figures that were never measured."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")


MEASURED = {"gigaflops": 100.0, "limit": 200.0, "compile_seconds": 3.0, "ready_seconds": 4.0}


@pytest.fixture(scope="module")
def compare_torch():
    file = Path(__file__).parents[2] / "benchmarks/compare_torch.py"
    spec = importlib.util.spec_from_file_location("compare_torch", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def figure(side, step, mode="training"):
    place = {"row": ["vgg16", 8, 224], "mode": mode, "allocator": "keep", "side": side}
    return place | MEASURED | {"step": step, "peak_bytes": 1e9}


def test_the_faster_form_of_pytorch_counts_round_by_round(compare_torch):
    figures = [
        *(figure("with oneDNN", step) for step in (1.0, 2.0, 4.0)),
        *(figure("pure JAX", step) for step in (2.0, 4.0, 8.0)),
        *(figure("PyTorch", step) for step in (9.0, 9.0, 9.0)),
        *(figure("torch.compile", step) for step in (2.0, 2.0, 2.0)),
    ]
    (row,) = compare_torch.summarize(figures)
    assert row["with oneDNN, ratio"] == "1.00 (0.50 to 2.00)"
    assert row["pure JAX, ratio"] == "0.50 (0.25 to 1.00)"
    assert row["PyTorch, images/s"] == "4.0"
    assert row["with oneDNN, images/s"] == "4.0"
    assert row["with oneDNN, GFLOP/s"] == "50 (25%)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vgg17"], "vgg17: not among lenet5_modern"),
        (["--without", "PyTorch", "torch.compile"], "nothing to compare"),
        (["--show"], "results.json is not there"),
        (["--modes", "both"], "invalid choice"),
    ],
)
def test_mistakes(arguments, message, compare_torch, monkeypatch, tmp_path, capsys):
    command = ["compare_torch.py", "--output", str(tmp_path), *arguments]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="2"):
        compare_torch.main()
    assert message in capsys.readouterr().err


def run(compare_torch, monkeypatch, tmp_path, *arguments):
    """Runs it with measurements of 1 s each, and returns which were made."""
    made = []

    def measure(side, row, mode, environment, seconds):
        made.append((row[0], mode, side))
        return MEASURED | {"step_seconds": [1.0], "peak_bytes": 1e9}

    monkeypatch.setattr(compare_torch, "measure", measure)
    common = ["--rounds=1", "--allocators=keep", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["compare_torch.py", *common, *arguments])
    compare_torch.main()
    return made


def test_it_goes_on_where_it_was_stopped(compare_torch, monkeypatch, tmp_path):
    assert len(run(compare_torch, monkeypatch, tmp_path, "resnet20")) == 8
    results = tmp_path / "results.json"
    results.write_text(json.dumps(json.loads(results.read_text())[:6]))
    made = run(compare_torch, monkeypatch, tmp_path, "resnet20")
    assert made == [("resnet20", "inference", side) for side in ("PyTorch", "torch.compile")]
    assert len(json.loads(results.read_text())) == 8


def test_other_results_are_not_mixed_in(compare_torch, monkeypatch, tmp_path, capsys):
    run(compare_torch, monkeypatch, tmp_path, "resnet20")
    with pytest.raises(SystemExit, match="2"):
        run(compare_torch, monkeypatch, tmp_path, "vgg16")
    assert "has other measurements" in capsys.readouterr().err
