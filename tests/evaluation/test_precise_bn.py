"""Saved models with the statistics of their training images, against NumPy."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from normalized_model import Normalized, check_statistics, reference_statistics

import flax_vision as fv
from flax_vision.data.batches import epoch_order
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.evaluation.ensemble import evaluate_ensemble
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.evaluation.precise_bn import with_precise_statistics
from flax_vision.weights import saved_model
from flax_vision.weights.loading import load_model

CLASSES = list("abcdef")
PREPROCESSING = Preprocessing([120.0], [70.0])


@pytest.fixture
def save(temporary_names, quick_generator, tmp_path):
    """Function that writes a run of the small model, whose batches are of two images."""
    fv.register_model("normalized", Normalized, image_shape=(12, 12, 1))

    def save(**config):
        metadata = saved_model.ModelMetadata(
            "normalized", {}, CLASSES, [12, 12, 1], PREPROCESSING, {}
        )
        variables = jax.jit(metadata.create_model().init)(
            jax.random.key(0), jnp.zeros((1, 12, 12, 1))
        )
        saved_model.save(tmp_path / "export", metadata, variables)
        data = {"name": "noise", "tfds_dir": "", "val_fraction": 0.25}
        config = {"format": 2, "data": data, "batch_size": 2, "seed": 5} | config
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return save


def reference(run, images, steps):
    """Returns the statistics of the first batches of the training set, of five images."""
    order = epoch_order(5, 5, 0)[: 2 * steps].reshape(steps, 2)
    batches = [np.asarray(PREPROCESSING(images[rows])) for rows in order]
    return reference_statistics(fv.load(run)[1]["params"], batches)


@pytest.mark.slow
@pytest.mark.usefixtures("load_calls")
@pytest.mark.parametrize(
    ("samples", "steps"),
    [
        (3, 2),
        pytest.param(1, 1, marks=pytest.mark.slow),
        pytest.param(100, 2, marks=pytest.mark.slow),
    ],
)
def test_statistics_of_training_images(samples, steps, save, noise):
    """Samples are rounded up to whole batches; five training images have two of them."""
    run = save()
    calls = []
    loaded = with_precise_statistics(
        run, load_model(run), samples, lambda *call: calls.append(call)
    )
    check_statistics(loaded.variables["batch_stats"], reference(run, noise.images, steps))
    jax.tree.map(
        np.testing.assert_array_equal,
        loaded.variables["params"],
        load_model(run).variables["params"],
    )
    expected = [("computing batch statistics", 2 * i, 2 * steps) for i in range(steps)]
    assert calls == [("noise train", 20, 20), *expected]


@pytest.mark.slow
@pytest.mark.usefixtures("load_calls")
def test_evaluation_uses_them(save):
    run = save()
    running, precise = evaluate(run), evaluate(run, precise_bn_samples=4)
    loaded = with_precise_statistics(run, load_model(run), 4, lambda *_: None)
    saved_model.save(run / "export", loaded.metadata, loaded.variables)
    assert precise.cross_entropy == evaluate(run).cross_entropy != running.cross_entropy


@pytest.mark.usefixtures("load_calls")
def test_frozen_layers_keep_their_statistics(save, noise):
    run = save(freeze="first")
    before = load_model(run)
    after = with_precise_statistics(run, before, 4, lambda *_: None)
    stored, found = (x.variables["batch_stats"] for x in (before, after))
    jax.tree.map(np.testing.assert_array_equal, found["first"], stored["first"])
    # The second layer sees maps that the first has normalized by its running statistics.
    params = jax.tree.map(np.float64, jax.device_get(before.variables["params"]))
    images = np.asarray(PREPROCESSING(noise.images[epoch_order(5, 5, 0)[:4]]), np.float64)
    x = np.maximum(images.reshape(4, 3, -1, 4) / np.sqrt(1 + 1e-5), 0)
    x = x @ params["mix"]["kernel"] + params["mix"]["bias"]
    np.testing.assert_allclose(found["second"]["var"], x.var((0, 1, 2)), rtol=1e-5)


def test_model_without_batch_normalization(run, save, load_calls):
    with pytest.raises(UserError, match=r"\(lenet5_modern\) has no batch normalization, or only"):
        evaluate(run, precise_bn_samples=10)
    with pytest.raises(UserError, match=r"\(normalized\) has no batch normalization, or only fro"):
        evaluate(save(freeze="first|second"), precise_bn_samples=10)
    with pytest.raises(UserError, match="precise_bn_samples is -1"):
        evaluate(run, precise_bn_samples=-1)
    assert not load_calls


@pytest.mark.slow
@pytest.mark.usefixtures("load_calls")
def test_ensemble_needs_one_model_with_batch_normalization(run, save):
    own = save()
    result = evaluate_ensemble([run, own], precise_bn_samples=4)
    precise = evaluate(own, precise_bn_samples=4)
    assert result.members[1].evaluation.cross_entropy == precise.cross_entropy
    with pytest.raises(UserError, match="has no batch normalization, or only frozen"):
        evaluate_ensemble([run], protocols=("center", "ten_crop"), precise_bn_samples=4)
