"""Files of PyTorch's, of all ages and kinds, and what torchvision publishes."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from flax_vision.cli import main
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.weights import exported
from flax_vision.weights.importing import import_weights
from flax_vision.weights.published import names_of_imagenet, published
from flax_vision.weights.state_dicts import read_state_dict
from flax_vision.weights.torchvision import from_torchvision

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")
torchvision = pytest.importorskip("torchvision", reason="torchvision is in the extra `parity`")

NAME = "resnet18_v1_5"


class Evil:
    """What makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def state_dict():
    return torchvision.models.resnet18(weights=None, num_classes=3).state_dict()


@pytest.mark.parametrize(
    ("wrap", "archive"),
    [
        (dict, False),
        (dict, True),
        (lambda found: {"state_dict": found, "epoch": 90, "best_acc1": 0.5}, True),
        (lambda found: {"model": {f"module.{key}": x for key, x in found.items()}}, False),
        (lambda found: {"model_state_dict": found, "optimizer": {"lr": 0.1}}, False),
    ],
)
def test_state_dictionary_alone_or_among_other_things(wrap, archive, state_dict, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(wrap(state_dict), path, _use_new_zipfile_serialization=archive)
    found = read_state_dict(path)
    assert found.keys() == state_dict.keys()
    for key, x in state_dict.items():
        np.testing.assert_array_equal(np.asarray(found[key]), x.numpy(), strict=True)


def test_views_of_one_storage_and_tensors_without_elements(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "whole": whole,
        "turned": whole.T,
        "part": whole[1:, 1::2],
        "none": torch.zeros(0, 3),
    }
    torch.save(tensors, tmp_path / "net.pth")
    for key, array in read_state_dict(tmp_path / "net.pth").items():
        np.testing.assert_array_equal(array, tensors[key].numpy(), strict=True)


def test_compressed_archive(state_dict, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(state_dict, path)
    with zipfile.ZipFile(path) as archive:
        content = {item.filename: archive.read(item) for item in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, item in content.items():
            archive.writestr(name, item)
    found = read_state_dict(path)
    np.testing.assert_array_equal(np.asarray(found["fc.bias"]), state_dict["fc.bias"].numpy())


def test_pytorch_that_is_too_old(tmp_path, monkeypatch):
    (tmp_path / "net.pth").touch()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.6.1+cpu")
    with pytest.raises(UserError, match="2.7 or later is needed, and 2.6.1.cpu is installed: pip"):
        read_state_dict(tmp_path / "net.pth")


def test_pytorch_takes_no_memory_of_the_program(state_dict, tmp_path):
    torch.save(state_dict, tmp_path / "net.pth")
    source = (
        "import sys; from pathlib import Path; "
        "from flax_vision.weights.state_dicts import read_state_dict; "
        "read_state_dict(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", source, tmp_path / "net.pth"], check=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_precisions(dtype, state_dict, tmp_path):
    wanted = getattr(torch, dtype)
    cast = {key: x.to(wanted) if x.is_floating_point() else x for key, x in state_dict.items()}
    torch.save(cast, tmp_path / "net.pth")
    variables = from_torchvision(NAME, read_state_dict(tmp_path / "net.pth"))
    kernel = variables["params"]["fc"]["kernel"]
    assert kernel.dtype == (np.float64 if dtype == "float64" else np.float32)
    np.testing.assert_array_equal(kernel.T, cast["fc.weight"].to(torch.float64).numpy())


@pytest.mark.parametrize("archive", [True, False])
def test_nothing_in_a_file_is_run(archive, tmp_path):
    path, made = tmp_path / "net.pth", tmp_path / "made"
    torch.save({"fc.bias": Evil(made)}, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(UserError, match="holds more than tensors .*; nothing was run. Save the"):
        read_state_dict(path)
    assert not made.exists()


def test_whole_module_is_more_than_tensors(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"more than tensors \(torch.nn.modules.linear.Linear\)"):
        read_state_dict(tmp_path / "net.pth")


def empty_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no weights")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b""), "is damaged, or no file of PyTorch's"),
        (
            lambda path: path.write_bytes(b"no weights at all"),
            "is damaged, or no file of PyTorch's",
        ),
        (empty_archive, "is damaged, or no file of PyTorch's"),
        (lambda path: torch.save([1, 2], path), "holds a list; save the network's state_dict()"),
        (lambda path: torch.save(torch.zeros(2), path), "holds a Tensor; save the network's"),
    ],
)
def test_what_is_no_state_dictionary(write, message, tmp_path):
    write(tmp_path / "net.pth")
    with pytest.raises(UserError, match=re.escape(message)) as error:
        read_state_dict(tmp_path / "net.pth")
    assert "\n" not in str(error.value)


def test_file_that_was_cut(state_dict, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(state_dict, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="is damaged, or no file of PyTorch's"):
        read_state_dict(path)


@pytest.fixture
def hub(tmp_path):
    """A directory of downloads of its own."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub/checkpoints"
    torch.hub.set_dir(before)


def test_weights_that_are_there_are_not_downloaded(hub, tmp_path, monkeypatch):
    module = torchvision.models.resnet18(weights=None)
    hub.mkdir(parents=True)
    torch.save(module.state_dict(), hub / "resnet18-f37072fd.pth")
    kept = []
    monkeypatch.setattr(exported, "save", lambda path, *what: kept.extend(what))
    imported = import_weights(NAME, "torchvision:DEFAULT", tmp_path / "net")
    card, variables = kept
    assert card.class_names[:2] == ["tench", "goldfish"]
    assert imported.class_names_from == "torchvision's, of ImageNet"
    assert card.preprocessing == Preprocessing([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    np.testing.assert_array_equal(variables["params"]["fc"]["bias"], module.fc.bias.detach())


def test_scale_is_what_torchvision_says_of_its_weights(hub, monkeypatch):
    monkeypatch.setattr("flax_vision.weights.published.read_state_dict", lambda path: {})
    hub.mkdir(parents=True)
    sizes = {}
    for weights, file in {"V1": "resnet50-0676ba61.pth", "V2": "resnet50-11ad3fa6.pth"}.items():
        (hub / file).touch()
        found = published("resnet50_v1_5", f"ResNet50_Weights.IMAGENET1K_{weights}")
        sizes[weights] = found.transforms.resize
    assert sizes == {"V1": 256, "V2": 232}


@pytest.mark.parametrize("weights", ["IMAGENET1K_V9", "resnet18", "VGG16_Weights.DEFAULT", ""])
def test_weights_that_there_are_not(weights):
    message = (
        f"unknown weights of torchvision's resnet18 '{weights}'.*Valid: DEFAULT, IMAGENET1K_V1"
    )
    with pytest.raises(UserError, match=message):
        published(NAME, weights)


@pytest.mark.parametrize(
    "error", [URLError("no network"), RuntimeError("invalid hash value"), TimeoutError("timed out")]
)
def test_download_that_fails_is_one_line(error, hub, tmp_path, monkeypatch, capsys):
    def fail(*arguments, **settings):
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    assert main(["import-weights", NAME, "torchvision:DEFAULT", str(tmp_path / "net")]) == 2
    output = capsys.readouterr()
    assert not output.out
    (line,) = output.err.splitlines()
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth cannot be downloaded" in line
    assert f"put the file into '{hub}', or give its path" in line
    assert not (tmp_path / "net").exists()


def test_names_of_imagenet_are_torchvisions():
    expected = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    assert list(names_of_imagenet()) == expected
