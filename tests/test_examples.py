"""The programs in examples/; that for ONNX is in tests/parity."""

from example_programs import check_example


def test_classify_stablehlo(export, tmp_path, monkeypatch, capsys):
    model = tmp_path / "net.stablehlo"
    check_example("classify_stablehlo.py", model, export, tmp_path, monkeypatch, capsys)
