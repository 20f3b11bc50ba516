"""Exports that are refused or fail: one line each, and nothing is left behind."""

import dataclasses

import pytest
from lenet_metadata import METADATA
from safetensors import SafetensorError

from flax_vision.cli.main import main
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.runtime.checksums import write_checksums
from flax_vision.weights import export, saved_model

MISTAKES = [
    (["--format", "orbax", "-o", "{there}"], "exists; give another -o"),
    (["--format", "safetensors", "-o", "{new}.pth"], "ends with .safetensors"),
    (["--format", "torchvision", "-o", "{new}.onnx"], "ends with .pth or .pt or .safetensors"),
    (["--format", "torchvision", "-o", "{new}.safetensors"], "torchvision model 'lenet5_modern'"),
    (["--format", "safetensors", "-o", "{new}/x.safetensors"], "there is no directory"),
    (["--format", "orbax", "--preprocessing", "-o", "{new}"], "is for --format stablehlo"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing(arguments, message, run, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    names = {"there": tmp_path / "there", "new": tmp_path / "new"}
    given = [argument.format(**names) for argument in arguments]
    assert main(["export", str(run), *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert [file.name for file in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_has_no_graph(dtype, tmp_path, monkeypatch, capsys):
    metadata = dataclasses.replace(METADATA, options={"dtype": dtype})
    (tmp_path / "net").mkdir()
    (tmp_path / "net/model.json").write_text(metadata.to_json())
    write_checksums(tmp_path / "net")
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: True)
    arguments = ["--format", "onnx", "-o", str(tmp_path / "net.onnx")]
    assert main(["export", str(tmp_path / "net"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"this lenet5_modern computes in {dtype}, and ONNX is for models that" in line
    assert not (tmp_path / "net.onnx").exists()


def test_unknown_format_and_no_model(run, tmp_path):
    with pytest.raises(UserError, match="did you mean 'orbax'"):
        export.export(run, "orbaks", tmp_path / "net")
    with pytest.raises(UserError, match="no model in"):
        export.export(tmp_path, "orbax", tmp_path / "net")


def test_network_that_torchvision_has_not(tmp_path):
    metadata = saved_model.ModelMetadata(
        "resnet18_v1_5",
        {"stem_pool": "caffe"},
        ["a"],
        [224, 224, 3],
        Preprocessing([0.0], [1.0]),
        {},
    )
    with pytest.raises(UserError, match="stem_pool is 'caffe' here and 'torch' there"):
        export._write_torchvision(tmp_path / "net.safetensors", metadata, {})


def test_what_is_not_installed_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install flatbuffers"):
        export.export(run, "stablehlo", tmp_path / "net.stablehlo")
    with pytest.raises(UserError, match="pip install torch$"):
        export.export(run, "torchvision", tmp_path / "net.pth")


def test_disk_that_is_full_leaves_nothing(run, tmp_path, monkeypatch):
    def fail(path, metadata, variables):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(export._FORMATS, "safetensors", export._Format(fail, (".safetensors",)))
    with pytest.raises(UserError, match="No space left"):
        export.export(run, "safetensors", tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_what_safetensors_says_of_a_full_disk_is_an_error_of_the_disk(run, tmp_path, monkeypatch):
    def fail(arrays, path, metadata):
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    monkeypatch.setattr(export, "save_file", fail)
    with pytest.raises(UserError, match="cannot be written .*No space left on device.*another -o"):
        export.export(run, "safetensors", tmp_path / "net.safetensors")
