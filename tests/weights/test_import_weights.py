"""From a state dictionary in a file to an export directory."""

import errno
import json
import os
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

import flax_vision as fv
from flax_vision.cli.main import main
from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.models.registry import find_variant
from flax_vision.weights import import_weights as module
from flax_vision.weights import pretrained, saved_model
from flax_vision.weights.import_weights import import_weights

NAME, CLASSES = "resnet18_v1_5", ["cat", "dog", "owl"]


def random_file(path, name=NAME, **options):
    """Writes torchvision's state dictionary of a network, whose random variables it returns."""
    model = fv.create_model(name, num_classes=len(CLASSES), **options)
    images = jax.ShapeDtypeStruct((1, *find_variant(name).image_shape), "float32")
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: random.random(leaf.shape, np.float32), shapes)
    save_file(fv.weights.to_torchvision(name, variables), path)
    return variables


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tmp_path_factory.mktemp("source") / "net.safetensors"


@pytest.fixture(scope="module")
def variables(source):
    return random_file(source)


@pytest.fixture(scope="module")
def names(source):
    path = source.with_name("names.txt")
    path.write_text("\ncat\n dog \nowl\n\n")
    return path


@pytest.fixture
def unwritten(monkeypatch):
    """Imports that write nothing, and are quick."""
    monkeypatch.setattr(saved_model, "save", lambda path, metadata, variables: None)


def test_import_is_an_export_directory_with_all_that_is_needed(
    source, variables, names, tmp_path, capsys
):
    target = tmp_path / "imports/net"
    command = ["import-weights", NAME, str(source), str(target), "--classes", str(names)]
    assert main([*command, "--format", "json"]) == 0
    output = capsys.readouterr()
    metadata = saved_model.load_metadata(target)
    assert metadata.name == NAME
    assert metadata.class_names == CLASSES
    assert metadata.image_shape == [224, 224, 3]
    assert metadata.crop == CropPolicy(224, 256, (256, 256), as_torchvision=True)
    assert metadata.preprocessing == Preprocessing(
        [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    )
    model, loaded = fv.load(target)
    assert model == fv.create_model(NAME, num_classes=3)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)
    printed = json.loads(output.out)
    assert printed["class_names"] == CLASSES
    assert len(printed["arrays"]) == len(flatten_dict(variables)) == 102
    assert {
        "array": "params/conv3_1/projection/kernel",
        "shape": [1, 1, 64, 128],
        "torchvision": "layer2.0.downsample.0.weight",
        "torchvision shape": [128, 64, 1, 1],
    } in printed["arrays"]
    assert "102 arrays, 3 classes (names: as given); center crop of 224x224 at 256" in output.err


@pytest.mark.usefixtures("variables", "unwritten")
def test_table_has_a_line_for_each_array(source, tmp_path, capsys):
    assert main(["import-weights", NAME, str(source), str(tmp_path / "net")]) == 0
    output = capsys.readouterr()
    (line,) = [line for line in output.out.splitlines() if "params/fc/bias" in line]
    assert line.split() == ["params/fc/bias", "3", "fc.bias", "3"]
    assert "(names: numbers)" in output.err


@pytest.mark.usefixtures("variables", "unwritten")
def test_classes_without_names_have_their_numbers(source, tmp_path):
    imported = import_weights(NAME, str(source), tmp_path / "net")
    assert imported.metadata.class_names == ["0", "1", "2"]
    assert imported.class_names_from == "numbers"


def test_a_thousand_classes_are_imagenets(monkeypatch):
    thousand = [f"n{number}" for number in range(1000)]
    monkeypatch.setattr(module.pretrained, "imagenet_class_names", lambda: thousand)
    assert module._class_names(1000, None, None) == (thousand, "ImageNet's, from torchvision")
    assert module._class_names(999, None, None)[1] == "numbers"
    assert module._class_names(1000, None, ["x"] * 1000)[0] == ["x"] * 1000


@pytest.mark.usefixtures("variables", "unwritten")
def test_another_scale(source, tmp_path):
    crop = import_weights(NAME, str(source), tmp_path / "net", resize=232).metadata.crop
    assert crop == CropPolicy(224, 232, (232, 232), as_torchvision=True)


@pytest.mark.usefixtures("unwritten")
@pytest.mark.parametrize("auxiliary_heads", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_googlenet_has_its_own_input_and_its_heads(auxiliary_heads, tmp_path):
    path, name = tmp_path / "net.safetensors", "googlenet_torchvision"
    random_file(path, name, auxiliary_heads=auxiliary_heads)
    metadata = import_weights(name, str(path), tmp_path / "net").metadata
    assert metadata.preprocessing == Preprocessing([127.5], [127.5])
    assert metadata.options == {"auxiliary_heads": auxiliary_heads}
    metadata = import_weights(name, str(path), tmp_path / "net", transform_input=False).metadata
    assert metadata.preprocessing == pretrained.Transforms().preprocessing


def check(message, capsys, *arguments):
    """Runs the command, which must fail with one line and write nothing."""
    assert main(["import-weights", *map(str, arguments)]) == 2
    output = capsys.readouterr()
    assert re.search(message, output.err), output.err
    assert output.err.count("\n") == 1
    assert not output.out


def test_tensors_that_do_not_fit_are_all_named(source, variables, tmp_path, capsys):
    missing = (
        r"not the 182 arrays of resnet34_v1_5, but 102; missing: layer1\.2\.bn1\.bias \[64\], "
    )
    check(missing, capsys, "resnet34_v1_5", source, tmp_path / "net")
    misshapen = r"; misshapen: fc\.weight \[3, 512\] instead of \[3, 2048\], layer1\.0\.conv1"
    check(misshapen, capsys, "resnet50_v1_5", source, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite(number, source, variables, tmp_path, capsys):
    tensors = load_file(source)
    tensors["fc.bias"][1] = number
    save_file(tensors, tmp_path / "bad.safetensors")
    message = r"not all numbers are finite in fc\.bias; give weights of a training"
    check(message, capsys, NAME, tmp_path / "bad.safetensors", tmp_path / "net")


def test_variances_below_0(source, variables, tmp_path, capsys):
    tensors = load_file(source)
    tensors["bn1.running_var"][2] = -1
    save_file(tensors, tmp_path / "bad.safetensors")
    message = r"'bn1\.running_var' has variances below 0"
    check(message, capsys, NAME, tmp_path / "bad.safetensors", tmp_path / "net")


class Tensor:
    """What an old file of PyTorch's has: no array of NumPy's, but it can become one."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def __array__(self, dtype=None, copy=None):
        return self._array

    def sum(self, *arguments, **settings):
        raise TypeError("dtype must be PyTorch's")


@pytest.mark.usefixtures("variables", "unwritten")
def test_tensors_that_are_no_arrays(source, tmp_path, monkeypatch):
    tensors = {name: Tensor(x) for name, x in load_file(source).items()}
    monkeypatch.setattr(module, "read_state_dict", lambda path: tensors)
    assert len(import_weights(NAME, "old.pth", tmp_path / "net").arrays) == 102


def test_class_list_of_the_wrong_length(source, variables, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    message = "2 class names are given, but the last layer has 3 classes; give a name"
    check(message, capsys, NAME, source, tmp_path / "net", "--classes", names)


def test_class_list_that_is_a_pipe(source, tmp_path, capsys):
    os.mkfifo(tmp_path / "names")
    message = r"names' cannot be read \(it is a named pipe, not a regular file\); give a text file"
    check(message, capsys, NAME, source, tmp_path / "net", "--classes", tmp_path / "names")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_class_list_that_cannot_be_read(content, source, variables, tmp_path, capsys):
    names = tmp_path / "names.txt"
    if content:
        names.write_bytes(content)
    message = "--classes '.*names.txt' cannot be read .*; give a text file"
    check(message, capsys, NAME, source, tmp_path / "net", "--classes", names)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_directory_that_exists(make, source, tmp_path, capsys):
    make(tmp_path / "net")
    check("net' exists already; give a directory that", capsys, NAME, source, tmp_path / "net")


def test_directory_that_cannot_be_written(source, variables, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    message = "file/net' cannot be written .*; give another directory, or make room"
    check(message, capsys, NAME, source, tmp_path / "file/net")

    def full(path, tree):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(saved_model.array_tree, "save_tree", full)
    check(r"net' cannot be written \(No space left", capsys, NAME, source, tmp_path / "net")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet18", "{source}", "net"], "unknown torchvision model 'resnet18'; did you"),
        (["plain18", "{source}", "net"], "torchvision has no plain networks"),
        ([NAME, "{source}", "net", "--resize", "223"], "resize is 223; give at least 224"),
        ([NAME, "{source}", "net", "--resize", "0"], "resize is 0; give at least 224"),
        ([NAME, "{source}", "net", "--no-transform-input"], "is for GoogLeNet, not for resnet18"),
        ([NAME, "nowhere.safetensors", "net"], "'nowhere.safetensors' does not exist"),
    ],
)
def test_other_mistakes(arguments, message, source, variables, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    check(message, capsys, *(part.format(source=source) for part in arguments))


def test_input_of_googlenet_alone():
    with pytest.raises(UserError, match="transform_input .* is for GoogLeNet, not for resnet18"):
        import_weights(NAME, "x.safetensors", Path("nowhere"), transform_input=True)


def test_class_names_that_are_not_all_different(tmp_path):
    names = ["crane", "cat", "crane", "dog", "cat"]
    with pytest.raises(UserError, match="have 'crane', 'cat' more than once, .* give each class a"):
        import_weights(NAME, "x.safetensors", tmp_path / "net", class_names=names)
    with pytest.raises(UserError, match="have 'caf\u00e9' more than once"):
        import_weights(NAME, "x", tmp_path / "net", class_names=["caf\u00e9", "cafe\u0301"])
