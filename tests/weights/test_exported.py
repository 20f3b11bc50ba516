import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import pytest

import flax_vision as fv
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.view import View
from flax_vision.errors import UserError
from flax_vision.weights import exported

CARD = exported.ModelCard(
    name="lenet5",
    options={"codes": "random", "dtype": "bfloat16"},
    class_names=["cat", "dog", "owl"],
    image_shape=[28, 28, 1],
    preprocessing=Preprocessing([20.0], [200.0]),
    metrics={"test/top1": 0.5},
)
IMAGES = jnp.ones((2, 28, 28, 1))


@pytest.fixture(scope="module")
def variables():
    return jax.jit(CARD.create_model().init)(jax.random.key(3), IMAGES)


@pytest.fixture
def export(tmp_path, variables):
    exported.save(tmp_path / "run/export", CARD, variables)
    return tmp_path / "run/export"


def test_load_gives_back_the_module_and_its_variables(export, variables):
    model, loaded = fv.load(export)
    assert model == fv.create_model("lenet5", num_classes=3, codes="random", dtype="bfloat16")
    chex.assert_trees_all_equal(loaded, variables)
    chex.assert_shape(jax.eval_shape(model.apply, loaded, IMAGES), (2, 3))


def test_load_takes_the_run_directory_and_a_string(export):
    assert fv.load(str(export.parent))[0] == fv.load(export)[0]


def test_card_comes_back_whole(export):
    assert exported.load_card(export) == CARD


def test_card_of_photographs_says_what_is_seen_of_them(tmp_path, variables):
    view = View(size=28, test_scale=32, scale=(28, 36), area=(0.5, 1.0), channels=1)
    card = dataclasses.replace(CARD, view=view)
    exported.save(tmp_path, card, variables)
    assert exported.load_card(tmp_path) == card


def test_card_without_views_is_of_small_images(export):
    card = json.loads((export / "model.json").read_text())
    del card["view"]
    (export / "model.json").write_text(json.dumps(card))
    assert exported.load_card(export) == CARD


def test_export_is_replaced_by_the_new_one(export, variables):
    other = jax.tree.map(lambda x: x + 1, variables)
    exported.save(export, CARD, other)
    chex.assert_trees_all_equal(fv.load(export)[1], other)
    assert [path.name for path in export.parent.iterdir()] == ["export"]


def test_half_written_export_is_no_hindrance(export, variables):
    unfinished = export.parent / ".export.unfinished/variables"
    unfinished.mkdir(parents=True)
    (unfinished / "rest").write_text("of a run that was killed")
    exported.save(export, CARD, variables)
    chex.assert_trees_all_equal(fv.load(export)[1], variables)


def test_directory_without_an_export(tmp_path):
    with pytest.raises(UserError, match=r"no model in .*has a model.json"):
        fv.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda card: card.update(format=99),
            "is of format 99, which another version .* reads 1; use",
        ),
        (lambda card: card.pop("format"), "damaged"),
        (lambda card: card.pop("name"), "damaged"),
        (lambda card: card.update(name="lenet6"), "unknown network 'lenet6'"),
    ],
)
def test_card_that_cannot_be_used(change, message, export):
    card = json.loads((export / "model.json").read_text())
    change(card)
    (export / "model.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=message):
        fv.load(export)


def test_card_that_is_no_json(export):
    (export / "model.json").write_text("{")
    with pytest.raises(UserError, match="model.json is damaged"):
        fv.load(export)


@pytest.mark.usefixtures("files_are_damaged")
def test_variables_that_are_damaged(export):
    (export / "variables/manifest.ocdbt").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read.*export the model again"):
        fv.load(export)


def edit(export, **changes):
    card = json.loads((export / "model.json").read_text())
    (export / "model.json").write_text(json.dumps(card | changes))


def test_arrays_that_the_card_does_not_describe_are_listed(export):
    edit(export, name="lenet5_modern", options={}, class_names=["cat", "dog"])
    message = (
        r"are not those of the lenet5_modern for 2 classes that its model.json describes; missing: "
        r".*params/OUT/kernel \[84, 2\].*; surplus: .*params/S2/.*; misshapen: params/C3/"
    )
    with pytest.raises(UserError, match=message):
        fv.load(export)


def test_card_of_images_that_the_network_cannot_take(export):
    edit(export, image_shape=[40, 40, 1])
    with pytest.raises(UserError, match=r"model.json describes no network that works \(.*32x32"):
        fv.load(export)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(number, tmp_path, variables):
    spoiled = jax.tree.map(lambda x: x.at[0].set(number), variables)
    exported.save(tmp_path, CARD, spoiled)
    with pytest.raises(UserError, match="not all numbers are finite in .*params/F6/bias.*damaged"):
        fv.load(tmp_path)
