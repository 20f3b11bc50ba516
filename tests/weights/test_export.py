"""Exports in other formats, read in other processes."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from lenet_metadata import METADATA

import flax_vision as fv
from flax_vision.cli.main import main
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.ops import backend
from flax_vision.weights import export, saved_model
from flax_vision.weights.exported_function import describe

NORMALIZED = saved_model.ModelMetadata(
    name="resnet20",
    options={},
    class_names=["cat", "dog", "owl"],
    image_shape=[32, 32, 3],
    preprocessing=Preprocessing([125.0, 123.0, 114.0], [63.0, 62.0, 67.0]),
    metrics={},
)
READER = Path(__file__).parent / "read_elsewhere.py"


@pytest.fixture(scope="module")
def normalized(tmp_path_factory):
    """A model with batch statistics that differ from their initial values."""
    path = tmp_path_factory.mktemp("normalized")
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    shapes = flatten_dict(jax.eval_shape(NORMALIZED.create_model().init, jax.random.key(0), images))
    random = np.random.default_rng(0)
    ranges = {"kernel": (-0.1, 0.1), "var": (0.5, 1.5), "scale": (-1.5, 1.5)}
    arrays = {
        path: random.uniform(*ranges.get(path[-1], (-0.5, 0.5)), x.shape).astype(np.float32)
        for path, x in shapes.items()
    }
    saved_model.save(path / "export", NORMALIZED, unflatten_dict(arrays))
    return path


def logits_elsewhere(form, path, images, folder, model=""):
    """Returns the logits of another process, which cannot import flax_vision."""
    np.save(folder / "images.npy", images)
    files = [str(path), str(folder / "images.npy"), str(folder / "logits.npy")]
    subprocess.run([sys.executable, READER, form, *files, model], check=True)
    return np.load(folder / "logits.npy")


def check_arrays(file, variables):
    """Compares the arrays of the other process with the variables, bit for bit."""
    expected = flatten_dict(variables, sep="/")
    with np.load(file) as found:
        assert set(found) == expected.keys()
        for name, x in expected.items():
            np.testing.assert_array_equal(found[name], x, err_msg=name, strict=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "name"),
    [
        pytest.param("orbax", "net", marks=pytest.mark.slow),
        pytest.param("safetensors", "net.safetensors", marks=pytest.mark.slow),
        ("stablehlo", "net.stablehlo"),
    ],
)
def test_another_program_gets_the_same_logits(form, name, run, tmp_path, capsys):
    path = tmp_path / name
    assert main(["export", str(run), "--format", form, "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    images = np.random.default_rng(0).standard_normal((3, 28, 28, 1), np.float32)
    model, variables = fv.load(run)
    expected = np.asarray(model.apply(variables, images))
    found = logits_elsewhere(form, path, images, tmp_path, "lenet5_modern")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.mark.slow
@pytest.mark.parametrize(("form", "name"), [("orbax", "net"), ("safetensors", "net.safetensors")])
def test_another_program_gets_the_same_arrays_and_statistics(form, name, normalized, tmp_path):
    export.export(normalized, form, tmp_path / name)
    images = np.random.default_rng(0).standard_normal((3, 32, 32, 3), np.float32)
    model, variables = fv.load(normalized)
    found = logits_elsewhere(form, tmp_path / name, images, tmp_path, "resnet20")
    assert {"params", "batch_stats"} == variables.keys()
    check_arrays(tmp_path / "logits.npz", variables)
    expected = np.asarray(jax.jit(model.apply)(variables, images))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("preprocessing", [False, True])
def test_another_program_runs_a_network_with_statistics(preprocessing, normalized, tmp_path):
    path = tmp_path / "net.stablehlo"
    export.export(normalized, "stablehlo", path, preprocessing)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    seen = np.asarray(NORMALIZED.preprocessing(pixels))
    model, variables = fv.load(normalized)
    expected = np.asarray(jax.jit(model.apply)(variables, seen))
    found = logits_elsewhere("stablehlo", path, pixels if preprocessing else seen, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_preprocessing_is_a_part_of_it_on_request(run, tmp_path):
    path = tmp_path / "net.stablehlo"
    export.export(run, "stablehlo", path, preprocessing=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 24, 1), np.uint8)
    model, variables = fv.load(run)
    expected = np.asarray(model.apply(variables, METADATA.preprocessing(images)))
    found = logits_elsewhere("stablehlo", path, images, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "vgg_a_lrn", "resnet20"])
def test_stablehlo_has_none_of_our_own_calls(name, tmp_path, monkeypatch):
    shape = (80, 80, 3)
    model = fv.create_model(name, num_classes=2)
    images = jax.ShapeDtypeStruct((1, *shape), "float32")
    abstract = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), abstract)
    lowered = []
    original = jax.export.export

    def kept(function, **settings):
        return lambda x: lowered.append(original(function, **settings)(x)) or lowered[-1]

    monkeypatch.setattr(jax.export, "export", kept)
    monkeypatch.setattr(jax.export.Exported, "serialize", lambda self: b"")
    program = export.ExportedFunction(lambda x: model.apply(variables, x), shape, "float32", {})
    export._write_stablehlo(tmp_path / "net", METADATA, program)
    text = lowered[0].mlir_module()
    calls = {
        line.split("@")[1].split("(")[0] for line in text.splitlines() if "custom_call" in line
    }
    assert calls <= {"shape_assertion"}  # that there is at least one image
    assert "stablehlo.convolution" in text
    assert "optimization_barrier" not in text


def test_reference_ops_are_temporary():
    fast = backend.use_cpu_kernels()
    with backend.reference_ops():
        assert not backend.use_cpu_kernels()
    assert backend.use_cpu_kernels() == fast


def test_safetensors_have_our_names_and_the_metadata(run, tmp_path):
    from safetensors import safe_open

    path = tmp_path / "net.safetensors"
    export.export(run, "safetensors", path)
    with safe_open(path, "np") as file:
        names, metadata = set(file.keys()), file.metadata()
        kernel = file.get_tensor("params/C1/kernel")
    assert {"params/C1/kernel", "params/C1/bias", "params/F6/kernel"} <= names
    assert path.stat().st_mode & 0o777 == 0o644
    assert json.loads(metadata["model.json"])["class_names"] == ["cat", "dog", "owl"]
    np.testing.assert_array_equal(kernel, fv.load(run)[1]["params"]["C1"]["kernel"])


def test_class_names_stand_in_the_metadata(run, tmp_path):
    from safetensors import safe_open

    path = tmp_path / "net.safetensors"
    export.export(run, "safetensors", path)
    with safe_open(path, "np") as file:
        assert json.loads(file.metadata()["class_names"]) == ["cat", "dog", "owl"]
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_class_names_stand_in_the_metadata_of_torchvisions_form(tmp_path):
    from safetensors import safe_open

    name, path = "resnet18_v1_5", tmp_path / "net.safetensors"
    metadata = dataclasses.replace(NORMALIZED, name=name)
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    abstract = jax.eval_shape(metadata.create_model().init, jax.random.key(0), images)
    export._write_torchvision(path, metadata, jax.tree.map(lambda x: np.zeros(x.shape), abstract))
    with safe_open(path, "np") as file:
        assert json.loads(file.metadata()["class_names"]) == ["cat", "dog", "owl"]
        assert json.loads(file.metadata()["model.json"])["name"] == name


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".stablehlo"])
def test_metadata_file_stands_beside_files_without_metadata(suffix, run, tmp_path, monkeypatch):
    def write(path, metadata, model):
        path.write_text("numbers")

    form, path = "stablehlo" if suffix == ".stablehlo" else "torchvision", tmp_path / f"net{suffix}"
    monkeypatch.setitem(export._FORMATS, form, export._Format(write, (suffix,)))
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: True)
    export.export(run, form, path)
    beside = tmp_path / f"net{suffix}.json"
    assert saved_model.from_json(beside.read_text()) == METADATA
    assert {file.name for file in tmp_path.iterdir()} == {path.name, beside.name}
    path.unlink()
    with pytest.raises(UserError, match=f"net{suffix}.json' exists; give another -o"):
        export.export(run, form, path)


@pytest.mark.parametrize("preprocessing", [False, True])
def test_description_is_written_beside_stablehlo(preprocessing, run, tmp_path, monkeypatch):
    monkeypatch.setitem(
        export._FORMATS,
        "stablehlo",
        export._Format(lambda path, *_: path.touch(), (".stablehlo",), is_function=True),
    )
    export.export(run, "stablehlo", tmp_path / "net.stablehlo", preprocessing)
    text = (tmp_path / "net.stablehlo.json").read_text()
    assert json.loads(text) == json.loads(METADATA.to_json()) | describe(METADATA, preprocessing)


def test_export_replaces_the_rest_of_a_killed_one(run, tmp_path):
    (tmp_path / ".net.safetensors.unfinished").mkdir()
    (tmp_path / ".net.safetensors.unfinished/rest").touch()
    export.export(run, "safetensors", tmp_path / "net.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_orbax_is_what_load_takes(run, tmp_path):
    export.export(run, "orbax", tmp_path / "net")
    assert saved_model.load_metadata(tmp_path / "net") == METADATA
    assert fv.load(tmp_path / "net")[0] == fv.load(run)[0]
