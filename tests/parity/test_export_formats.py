"""Exported models in torchvision and in ONNX Runtime, in processes without flax_vision."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")
pytest.importorskip("torchvision", reason="torchvision is in the extra `parity`")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is in the extra `parity`")
pytest.importorskip("jax2onnx", reason="jax2onnx is in the extra `parity`")
onnx = pytest.importorskip("onnx", reason="ONNX is in the extra `parity`")

from copying import random_variables, relative
from example_programs import check_example

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.models.googlenet import auxiliary_logits
from flax_vision.weights import saved_model
from flax_vision.weights.export import export
from flax_vision.weights.exported_function import describe

pytestmark = pytest.mark.slow
DEFAULT = Preprocessing([0.0], [255.0])
READER = Path(__file__).parents[1] / "weights/read_elsewhere.py"


def check(name, shape, form, file, folder, torchvision_model="", **options):
    """Exports a model with random parameters, and compares the logits of three images."""
    model, variables = export_model(name, shape, folder, **options)
    images = np.random.default_rng(0).standard_normal((3, *shape), np.float32)
    export(folder, form, folder / file)
    found = logits_elsewhere(form, folder / file, images, torchvision_model)
    expected = jax.jit(model.apply)(variables, images)
    assert relative(found, np.asarray(expected)) < 1e-5


def export_model(name, shape, folder, preprocessing=DEFAULT, **options):
    metadata = saved_model.ModelMetadata(
        name=name,
        options=options,
        class_names=list("0123456789"),
        image_shape=list(shape),
        preprocessing=preprocessing,
        metrics={},
    )
    model = metadata.create_model()
    variables = random_variables(model, metadata.input_shape)
    saved_model.save(folder / "export", metadata, variables)
    return model, variables


def logits_elsewhere(reader, path, images, torchvision_model):
    """Returns the logits of another process, which cannot import flax_vision."""
    np.save(path.with_name("images.npy"), images)
    files = [path, path.with_name("images.npy"), path.with_name("logits.npy")]
    subprocess.run([sys.executable, READER, reader, *files, torchvision_model], check=True)
    return np.load(path.with_name("logits.npy"))


@pytest.mark.parametrize(
    ("name", "torchvision_model", "file"),
    [
        ("alexnet_owt", "alexnet", "net.pth"),
        ("vgg11_bn", "vgg11_bn", "net.safetensors"),
        ("googlenet_torchvision", "googlenet", "net.pth"),
        ("resnet18_v1_5", "resnet18", "net.pth"),
    ],
)
def test_torchvision_loads_it_strictly(name, torchvision_model, file, tmp_path):
    options = {"auxiliary_heads": False} if torchvision_model == "googlenet" else {}
    check(name, (224, 224, 3), "torchvision", file, tmp_path, torchvision_model, **options)


def test_onnx_metadata_has_the_class_names(tmp_path):
    export_model("lenet5_modern", (28, 28, 1), tmp_path)
    export(tmp_path, "onnx", tmp_path / "net.onnx")
    properties = {each.key: each.value for each in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert json.loads(properties["class_names"]) == list("0123456789")


def test_torchvision_loads_the_auxiliary_heads(tmp_path):
    shape, path = (224, 224, 3), tmp_path / "net.safetensors"
    model, variables = export_model("googlenet_torchvision", shape, tmp_path)
    export(tmp_path, "torchvision", path)
    images = np.random.default_rng(0).standard_normal((3, *shape), np.float32)
    found = logits_elsewhere("torchvision_with_heads", path, images, "googlenet")
    apply = jax.jit(partial(model.apply, mutable="intermediates"))
    logits, state = apply(variables, images)
    heads = auxiliary_logits(state["intermediates"])
    for theirs, ours in zip(np.split(found, 3, axis=1), [logits, *heads], strict=True):
        assert relative(theirs, np.asarray(ours)) < 1e-5


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet5", (28, 28, 1)),
        ("lenet5_modern", (28, 28, 1)),
        ("alexnet", (64, 64, 3)),
        ("alexnet_owt", (64, 64, 3)),
        ("vgg_a_lrn", (32, 32, 3)),
        ("vgg11_bn", (32, 32, 3)),
        ("googlenet", (224, 224, 3)),
        ("googlenet_torchvision", (224, 224, 3)),
        ("resnet20", (32, 32, 3)),
        ("resnet50", (64, 64, 3)),
        ("resnet18_v1_5", (224, 224, 3)),
    ],
)
def test_onnx_runtime_gets_the_same_logits(name, shape, tmp_path):
    check(name, shape, "onnx", "net.onnx", tmp_path)


MEAN_IMAGE = np.random.default_rng(0).uniform(0, 255, (72, 72, 3)).round(3).tolist()


@pytest.mark.parametrize(
    ("name", "shape", "preprocessing"),
    [
        ("lenet5", (28, 28, 1), Preprocessing([20.0], [200.0])),  # pads to 32x32
        ("lenet5_modern", (20, 24, 1), Preprocessing([120.0], [70.0], resize=30, crop=28)),
        ("alexnet", (72, 72, 3), Preprocessing(MEAN_IMAGE, [60.0], crop=64)),
        ("resnet20", (32, 32, 1), Preprocessing([125.0, 123.0, 114.0], [63.0], channels=3)),
        ("resnet20", (32, 32, 3), Preprocessing([125.0], [63.0, 62.0, 67.0])),
    ],
)
def test_onnx_runtime_gets_the_same_logits_of_pixels(name, shape, preprocessing, tmp_path):
    model, variables = export_model(name, shape, tmp_path, preprocessing)
    export(tmp_path, "onnx", tmp_path / "net.onnx", preprocessing=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    found = logits_elsewhere("onnx", tmp_path / "net.onnx", pixels, "")
    expected = jax.jit(model.apply)(variables, preprocessing(pixels))
    assert relative(found, np.asarray(expected)) < 1e-5


@pytest.mark.parametrize("preprocessing", [False, True])
def test_onnx_metadata_describe_the_input(preprocessing, tmp_path):
    export_model("lenet5_modern", (28, 28, 1), tmp_path)
    export(tmp_path, "onnx", tmp_path / "net.onnx", preprocessing)
    properties = {each.key: each.value for each in onnx.load(tmp_path / "net.onnx").metadata_props}
    found = {key: json.loads(text) for key, text in properties.items()}
    metadata = saved_model.load_metadata(tmp_path)
    assert found.pop("model.json") == json.loads(metadata.to_json())
    assert found == describe(metadata, preprocessing)
    assert found["input_dtype"] == ("uint8" if preprocessing else "float32")


def test_example_classifies_as_the_classifier(export, tmp_path, monkeypatch, capsys):
    model = tmp_path / "net.onnx"
    check_example("classify_onnx.py", model, export, tmp_path, monkeypatch, capsys)
