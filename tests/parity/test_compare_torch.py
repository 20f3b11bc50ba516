"""The arithmetic of the comparison with PyTorch, on figures that were never measured."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def compare_torch():
    file = Path(__file__).parents[2] / "benchmarks/compare_torch.py"
    spec = importlib.util.spec_from_file_location("compare_torch", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def figure(side, step, mode="training"):
    place = {"row": ["vgg16", 8, 224], "mode": mode, "allocator": "keep", "side": side}
    ours = {"gigaflops": 100.0, "limit": 200.0, "compile_seconds": 3.0, "ready_seconds": 4.0}
    return place | ours | {"step": step, "peak_bytes": 1e9}


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


def test_earlier_results_are_not_mixed_in(compare_torch, monkeypatch, tmp_path, capsys):
    (tmp_path / "results.json").touch()
    monkeypatch.setattr(sys, "argv", ["compare_torch.py", "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        compare_torch.main()
    assert "is there already" in capsys.readouterr().err
