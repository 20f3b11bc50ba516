"""Pretrained weights without torchvision; the parity tests have torchvision."""

import sys

import pytest

from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.weights.pretrained import Transforms, imagenet_class_names, load_pretrained


def test_preprocessing_of_torchvisions_models():
    """https://pytorch.org/vision: resize to 256, the middle 224x224, ImageNet's mean and std."""
    expected = CropPolicy(size=224, eval_resize=256, resize_range=(256, 256), as_torchvision=True)
    assert Transforms().crop_policy == expected
    preprocessing = Preprocessing([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    assert Transforms().preprocessing == preprocessing


def test_googlenet_maps_pixels_from_minus_one_to_one():
    assert Transforms(transform_input=True).preprocessing == Preprocessing([127.5], [127.5])


def test_torchvisions_weights_need_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    message = "torchvision:DEFAULT is a torchvision download, which needs torchvision: pip inst"
    with pytest.raises(UserError, match=message):
        load_pretrained("resnet50_v1_5", "DEFAULT")


def test_network_that_torchvision_does_not_have():
    with pytest.raises(UserError, match="unknown torchvision model 'resnet50'; .*v1_5"):
        load_pretrained("resnet50", "DEFAULT")


def test_without_torchvision_nobody_names_imagenets_classes(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert imagenet_class_names() is None
