"""torchvision's pretrained weights: their download, preprocessing and class names."""

import socket
from http.client import BadStatusLine
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from flax_vision.cli.main import main
from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.weights import saved_model
from flax_vision.weights.import_weights import import_weights
from flax_vision.weights.pretrained import _download, imagenet_class_names, load_pretrained
from flax_vision.weights.torchvision_modules import torchvision_name

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")
torchvision = pytest.importorskip("torchvision", reason="torchvision is in the extra `parity`")

from test_torchvision_models import SIZES

NAME = "resnet18_v1_5"


@pytest.fixture
def hub(tmp_path):
    """Temporary directory of downloads."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub/checkpoints"
    torch.hub.set_dir(before)


def test_weights_that_are_there_are_not_downloaded(hub, tmp_path, monkeypatch):
    module = torchvision.models.resnet18(weights=None)
    hub.mkdir(parents=True)
    torch.save(module.state_dict(), hub / "resnet18-f37072fd.pth")
    saved = []
    monkeypatch.setattr(saved_model, "save", lambda path, *what: saved.extend(what))
    imported = import_weights(NAME, "torchvision:DEFAULT", tmp_path / "net")
    metadata, variables = saved
    assert metadata.class_names[:2] == ["tench", "goldfish"]
    assert imported.class_names_from == "ImageNet's, from torchvision"
    assert metadata.preprocessing == Preprocessing(
        [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    )
    np.testing.assert_array_equal(variables["params"]["fc"]["bias"], module.fc.bias.detach())


WEIGHTS = [
    (name, weights)
    for name in SIZES
    for weights in torchvision.models.get_model_weights(torchvision_name(name))
    if weights.name != "IMAGENET1K_FEATURES"
]
"""Every pretrained weights of the fifteen models in torchvision."""


@pytest.fixture
def downloads(hub, monkeypatch):
    """Requested downloads: address and start of the checksum."""
    asked = []

    def download(url, path, hash_prefix):
        asked.append((url, hash_prefix))
        Path(path).touch()

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    return asked


def state_dict_of(builder):
    """Returns arrays of the right names and shapes that take no memory."""
    options = {"init_weights": False} if builder == "googlenet" else {}
    with torch.device("meta"):
        module = torchvision.models.get_model(builder, **options)
    return {
        key: np.broadcast_to(np.float32(0.5), tuple(x.shape))
        for key, x in module.state_dict().items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "weights"), WEIGHTS)
def test_metadata_records_torchvisions_preprocessing(
    name, weights, downloads, tmp_path, monkeypatch
):
    found = state_dict_of(torchvision_name(name))
    monkeypatch.setattr("flax_vision.weights.pretrained.read_state_dict", lambda path: found)
    monkeypatch.setattr(saved_model, "save", lambda path, *what: None)
    metadata = import_weights(name, f"torchvision:{weights.name}", tmp_path / "net").metadata
    ((url, beginning),) = downloads
    assert url == weights.url
    assert url.endswith(f"-{beginning}.pth")
    preset = weights.transforms()
    size = preset.resize_size[0]
    assert metadata.crop == CropPolicy(preset.crop_size[0], size, (size, size), as_torchvision=True)
    # That is how a view like torchvision's resizes; test_photographs_in_both.py compares pixels.
    assert (preset.interpolation.value, preset.antialias) == ("bilinear", True)
    mean, std = preset.mean, preset.std
    if name == "googlenet_torchvision":  # its transform_input
        mean, std = [0.5], [0.5]
    np.testing.assert_allclose(metadata.preprocessing.mean, 255 * np.array(mean), rtol=1e-7)
    np.testing.assert_allclose(metadata.preprocessing.std, 255 * np.array(std), rtol=1e-7)
    assert metadata.class_names == weights.meta["categories"]


def test_weights_are_of_fifteen_networks_and_three_of_them_of_two_scales():
    assert len({name for name, _ in WEIGHTS}) == 15
    two = [name for name, weights in WEIGHTS if weights.transforms().resize_size == [232]]
    assert two == ["resnet50_v1_5", "resnet101_v1_5", "resnet152_v1_5"]


@pytest.mark.parametrize("name", ["vgg16", "vgg_d"])
def test_features_alone_are_refused_before_the_download(name, downloads):
    message = "torchvision:IMAGENET1K_FEATURES has no trained classifier; .*torchvision:DEFAULT"
    with pytest.raises(UserError, match=message):
        load_pretrained(name, "IMAGENET1K_FEATURES")
    assert not downloads


@pytest.mark.parametrize("weights", ["IMAGENET1K_V9", "resnet18", "VGG16_Weights.DEFAULT", ""])
def test_weights_that_there_are_not(weights):
    message = (
        f"unknown weights of torchvision's resnet18 '{weights}'.*Valid: DEFAULT, IMAGENET1K_V1"
    )
    with pytest.raises(UserError, match=message):
        load_pretrained(NAME, weights)


@pytest.mark.parametrize(
    "error",
    [
        URLError("no network"),
        RuntimeError("invalid hash value"),
        TimeoutError("timed out"),
        BadStatusLine("no answer of the web's"),
    ],
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


def test_server_that_is_silent_is_given_up(hub, monkeypatch):
    monkeypatch.setattr("flax_vision.weights.pretrained._TIMEOUT", 0.1)
    before = socket.getdefaulttimeout()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/net-12345678.pth"
        with pytest.raises(UserError, match=f"{url} cannot be downloaded .*timed out"):
            _download(url)
    assert socket.getdefaulttimeout() == before
    assert list(hub.iterdir()) == []


def test_names_of_imagenet_are_torchvisions():
    expected = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    assert list(imagenet_class_names()) == expected
