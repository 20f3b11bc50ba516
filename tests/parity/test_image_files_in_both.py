"""Image files through torchvision and through this library, up to the logits.

The weights are random, because a test cannot download torchvision's. They are imported from files.
"""

import json
from importlib.resources import files

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import flax_vision as fv
from flax_vision.cli.main import main
from flax_vision.data.decode import decode_crops
from flax_vision.weights import pretrained, saved_model
from flax_vision.weights.import_weights import import_weights
from flax_vision.weights.torchvision_modules import torchvision_name

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")
pytest.importorskip("torchvision", reason="torchvision is in the extra `parity`")
pytest.importorskip("sklearn", reason="scikit-learn is in the extra `parity`")

from copying import random_variables, relative
from test_torchvision_models import SIZES
from torchvision import models as theirs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image_files(tmp_path_factory):
    """JPEG files of a temple and a flower, in the cameras' sizes and in others."""
    folder = tmp_path_factory.mktemp("images")
    images = files("sklearn.datasets") / "images"
    for name in ("china", "flower"):
        (folder / f"{name}.jpg").write_bytes((images / f"{name}.jpg").read_bytes())
    with Image.open(folder / "china.jpg") as china, Image.open(folder / "flower.jpg") as flower:
        china.crop((100, 0, 401, 427)).save(folder / "high.jpg", quality=90)
        flower.resize((1501, 1003)).save(folder / "large.jpg", quality=80)
        flower.resize((201, 150)).save(folder / "small.jpg", quality=95)
        china.resize((333, 256)).save(folder / "odd.jpg", subsampling=0)
    return sorted(folder.iterdir())


def transforms_of(name):
    return theirs.get_model_weights(torchvision_name(name)).IMAGENET1K_V1.transforms()


def make_theirs(name, state_dict):
    """Returns torchvision's module with the given arrays, without its slow initialization."""
    builder = torchvision_name(name)
    options = {"transform_input": True, "aux_logits": True} if builder == "googlenet" else {}
    if builder == "googlenet" or builder.startswith("vgg"):
        options["init_weights"] = False
    with torch.device("meta"):
        module = theirs.get_model(builder, weights=None, **options)
    tensors = {key: torch.from_numpy(x) for key, x in state_dict.items()}
    module.load_state_dict(tensors, assign=True)
    return module.eval()


def random_state_dict(name):
    options = {"auxiliary_heads": True} if "googlenet" in name else {}
    variables = random_variables(fv.create_model(name, **options), (224, 224, 3))
    return fv.weights.to_torchvision(name, variables)


def their_logits(module, transforms, paths):
    images = [transforms(Image.open(path).convert("RGB")) for path in paths]
    with torch.inference_mode():
        return module(torch.stack(images)).numpy()


@pytest.mark.parametrize("name", SIZES)
def test_logits_and_the_five_most_probable_classes(name, image_files, tmp_path, monkeypatch):
    state_dict = random_state_dict(name)
    expected = their_logits(make_theirs(name, state_dict), transforms_of(name), image_files)
    path = tmp_path / "net.safetensors"
    save_file(state_dict, path)
    saved = []
    monkeypatch.setattr(saved_model, "save", lambda path, *arguments: saved.extend(arguments))
    import_weights(name, str(path), tmp_path / "net")
    metadata, variables = saved
    crop_boxes, shape = metadata.crop.center_crop.crop_boxes, metadata.image_shape
    pixels = [decode_crops(file.read_bytes(), crop_boxes, shape)[0] for file in image_files]
    logits = jax.jit(metadata.create_model().apply)(
        variables, metadata.preprocessing(np.stack(pixels))
    )
    path.unlink()
    assert relative(np.asarray(logits), expected) < 1e-5
    best = [np.argsort(-row, kind="stable")[:5].tolist() for row in (*logits, *expected)]
    assert best[: len(image_files)] == best[len(image_files) :]
    assert len({tuple(five) for five in best}) > 1
    for key, x in fv.weights.to_torchvision(name, variables).items():
        np.testing.assert_array_equal(x, state_dict[key], strict=True)


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "IMAGENET1K_V2"])
def test_pixels_equal_torchvision_to_the_bit(weights, image_files, monkeypatch):
    monkeypatch.setattr(pretrained, "read_state_dict", lambda path: {})
    monkeypatch.setattr(pretrained, "_download", lambda url: None)
    transforms = theirs.ResNet50_Weights[weights].transforms()
    mean, std = (np.array(numbers)[:, None, None] for numbers in (transforms.mean, transforms.std))
    crop = pretrained.load_pretrained("resnet50_v1_5", weights).transforms.crop_policy
    assert crop.eval_resize == transforms.resize_size[0]
    for path in image_files:
        ours = decode_crops(path.read_bytes(), crop.center_crop.crop_boxes, crop.image_shape)[0]
        normalized = transforms(Image.open(path).convert("RGB")).double().numpy()
        pixels = (255 * (normalized * std + mean)).round().astype(np.uint8)
        np.testing.assert_array_equal(ours, pixels.transpose(1, 2, 0), err_msg=path.name)


def test_import_predict_and_export_commands(image_files, tmp_path, capsys):
    """A .pth file becomes predictions, and an export that torchvision's module loads."""
    name = "resnet18_v1_5"
    module = make_theirs(name, random_state_dict(name))
    torch.save(module.state_dict(), tmp_path / "net.pth")
    net, back = str(tmp_path / "net"), str(tmp_path / "back.pth")
    assert main(["import-weights", name, str(tmp_path / "net.pth"), net]) == 0
    capsys.readouterr()
    assert main(["predict", net, *map(str, image_files), "--format", "json"]) == 0
    transforms = transforms_of(name)
    names = theirs.get_model_weights("resnet18").IMAGENET1K_V1.meta["categories"]
    logits = their_logits(module, transforms, image_files)
    probabilities, order = torch.from_numpy(logits).softmax(1).topk(5)
    for row, path, numbers, five in zip(
        json.loads(capsys.readouterr().out), image_files, order, probabilities, strict=True
    ):
        assert row["file"] == str(path)
        assert [each["class"] for each in row["top"]] == [names[number] for number in numbers]
        found = [each["probability"] for each in row["top"]]
        np.testing.assert_allclose(found, five.numpy(), rtol=1e-3)
    assert main(["export", net, "--format", "torchvision", "-o", back]) == 0
    again = theirs.resnet18(weights=None)
    again.load_state_dict(torch.load(back, weights_only=True), strict=True)
    np.testing.assert_array_equal(
        their_logits(again.eval(), transforms, image_files), logits, strict=True
    )
