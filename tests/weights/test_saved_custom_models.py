"""Saved models that users registered."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from lenet_metadata import METADATA

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models import registry
from flax_vision.weights import saved_model
from flax_vision.weights.export import export

pytestmark = pytest.mark.usefixtures("temporary_names")


class Net(nn.Module):
    num_classes: int = 10
    width: int = 4

    @nn.compact
    def __call__(self, images, *, train=False):
        return nn.Dense(self.num_classes)(nn.Dense(self.width)(images.mean((1, 2))))


@pytest.fixture
def saved(tmp_path):
    """An export of a custom model."""
    fv.register_model("net", Net, image_shape=(28, 28, 1))
    metadata = dataclasses.replace(METADATA, name="net", options={"width": 3})
    variables = Net(3, 3).init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    saved_model.save(tmp_path / "export", metadata, variables)
    return tmp_path / "export"


def test_it_loads_and_names_its_module(saved, tmp_path):
    assert fv.load(saved)[0] == Net(3, 3)
    assert json.loads((saved / "model.json").read_text())["registered_by"] == __name__
    export(saved, "orbax", tmp_path / "again")
    assert (tmp_path / "again/model.json").read_text() == (saved / "model.json").read_text()


def test_library_models_name_no_module():
    assert "registered_by" not in json.loads(METADATA.to_json())


def test_it_is_an_error_without_its_module(saved, monkeypatch):
    monkeypatch.delitem(registry._MODELS, "net")
    message = f"export has a model that {__name__!r} registers; give --import {__name__}"
    for load in (fv.load, saved_model.load_metadata, fv.Classifier):
        with pytest.raises(UserError, match=message):
            load(saved)


def test_torchvision_has_no_such_model(saved, tmp_path):
    with pytest.raises(UserError, match="torchvision has no such net"):
        export(saved, "torchvision", tmp_path / "net.safetensors")
