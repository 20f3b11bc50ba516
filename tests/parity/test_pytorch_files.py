"""PyTorch files of all ages and kinds, and torchvision's pretrained weights."""

import re
import socket
import subprocess
import sys
import zipfile
from http.client import BadStatusLine
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from safetensors.numpy import save_file

from flax_vision.cli.main import main
from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.weights import saved_model
from flax_vision.weights.import_weights import import_weights
from flax_vision.weights.pretrained import _download, imagenet_class_names, load_pretrained
from flax_vision.weights.state_dict import read_state_dict
from flax_vision.weights.torchvision import from_torchvision
from flax_vision.weights.torchvision_modules import torchvision_name

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")
torchvision = pytest.importorskip("torchvision", reason="torchvision is in the extra `parity`")

from test_torchvision_models import SIZES

NAME = "resnet18_v1_5"


class Evil:
    """Creates a file when it is unpickled."""

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
        "slice": whole[1:, 1::2],
        "none": torch.zeros(0, 3),
    }
    torch.save(tensors, tmp_path / "net.pth")
    for key, array in read_state_dict(tmp_path / "net.pth").items():
        np.testing.assert_array_equal(array, tensors[key].numpy(), strict=True)


def pack_again(path, compression=zipfile.ZIP_STORED, **changed):
    """Writes PyTorch's archive as another program would, with other contents of some records."""
    with zipfile.ZipFile(path) as archive:
        content = {item.filename: archive.read(item) for item in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, item in content.items():
            item = changed.get(name.partition("/")[2], item)
            if item is not None:
                archive.writestr(name, item)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archive_that_another_program_packed(compression, state_dict, tmp_path):
    """The tensors are not where PyTorch computes that they are."""
    path = tmp_path / "net.pth"
    torch.save(state_dict, path)
    pack_again(path, compression)
    found = read_state_dict(path)
    assert found.keys() == state_dict.keys()
    for key, x in state_dict.items():
        np.testing.assert_array_equal(np.asarray(found[key]), x.numpy(), strict=True)


@pytest.mark.parametrize("archive", [True, False])
def test_files_of_all_ages_are_imported(archive, state_dict, tmp_path, monkeypatch):
    path = tmp_path / "net.pth"
    torch.save(state_dict, path, _use_new_zipfile_serialization=archive)
    saved = []
    monkeypatch.setattr(saved_model, "save", lambda path, *what: saved.extend(what))
    assert main(["import-weights", NAME, str(path), str(tmp_path / "net")]) == 0
    np.testing.assert_array_equal(saved[1]["params"]["fc"]["bias"], state_dict["fc.bias"])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"epoch": 3}, "epoch is a int of int64, not an array"),
        ({"note": "text"}, "note is a str of <U4, not an array"),
        ({"fc.bias": torch.zeros(3, dtype=torch.complex64)}, "fc.bias is a .* of complex64, not"),
        (
            {"fc.bias": torch.full([3], torch.nan)},
            ".*finite.*give weights of a training that went well",
        ),
    ],
)
def test_what_else_is_in_a_file_is_one_line(extra, message, state_dict, tmp_path, capsys):
    path = tmp_path / "net.pth"
    torch.save({**state_dict, **extra}, path, _use_new_zipfile_serialization=False)
    assert main(["import-weights", NAME, str(path), str(tmp_path / "net")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"error: {message}", line)
    assert not (tmp_path / "net").exists()


def test_pytorch_that_is_too_old(tmp_path, monkeypatch):
    (tmp_path / "net.pth").touch()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.5.1+cpu")
    with pytest.raises(
        UserError, match="needs PyTorch 2.6 or later, .*; 2.5.1.cpu is installed: pip"
    ):
        read_state_dict(tmp_path / "net.pth")


def test_tensors_are_views_of_the_mapped_file(state_dict, tmp_path):
    torch.save(state_dict, tmp_path / "net.pth")
    found = read_state_dict(tmp_path / "net.pth")
    starts = {x.untyped_storage().data_ptr() - x.data_ptr() for x in found.values()}
    assert starts == {0}
    path = str(tmp_path / "net.pth")
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if path in line]
    (first, last), *_ = [[int(x, 16) for x in line.split()[0].split("-")] for line in mapped]
    assert all(first <= x.data_ptr() < last for x in found.values())


def test_import_and_jax_in_one_process_print_nothing(state_dict, tmp_path):
    """PyTorch and JAX each have threads and OpenMP of their own."""
    torch.save(state_dict, tmp_path / "net.pth")
    source = (
        "import sys, jax, jax.numpy as jnp; from pathlib import Path; "
        "from flax_vision.weights.state_dict import read_state_dict; "
        "x = jnp.ones((256, 256)); (x @ x).block_until_ready(); "
        "found = read_state_dict(Path(sys.argv[1])); "
        "y = jnp.asarray(found['fc.weight'].numpy()); "
        "print(float((x @ x)[0, 0]), y.shape)"
    )
    command = [sys.executable, "-W", "error", "-c", source, str(tmp_path / "net.pth")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("256.0 (3, 512)\n", "")


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


def changed_archive(path, **changed):
    torch.save({"fc.bias": torch.zeros(300)}, path)
    pack_again(path, **changed)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b""), "is damaged, or not a PyTorch file"),
        (
            lambda path: path.write_bytes(b"no weights at all"),
            "is damaged, or not a PyTorch file",
        ),
        (empty_archive, "is damaged, or not a PyTorch file"),
        (
            lambda path: changed_archive(path, **{"data.pkl": None}),
            "is damaged, or not a PyTorch file (RuntimeError: PytorchStreamReader failed loc",
        ),
        (
            lambda path: changed_archive(path, **{"data.pkl": b"\x80\x02}q\x00"}),
            "is damaged, or not a PyTorch file (EOFError)",
        ),
        (
            lambda path: changed_archive(path, **{"data/0": b"short"}),
            "is damaged, or not a PyTorch file (RuntimeError: Trying to resize storage",
        ),
        (
            lambda path: changed_archive(path, **{"data/0": None}),
            "is damaged, or not a PyTorch file (RuntimeError: PytorchStreamReader failed loc",
        ),
        (
            lambda path: save_file({"fc.bias": np.zeros(3)}, path),
            "is damaged, or not a PyTorch file",
        ),
        (lambda path: torch.save([1, 2], path), "holds a list; save the model's state_dict()"),
        (lambda path: torch.save(torch.zeros(2), path), "holds a Tensor; save the model's"),
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
    with pytest.raises(UserError, match="is damaged, or not a PyTorch file"):
        read_state_dict(path)


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
