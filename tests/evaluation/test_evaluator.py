"""Tests of models under protocols: their fully convolutional forms, sizes and errors."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flax_vision as fv
from flax_vision.data.batches import Batch
from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluator import build_evaluator, score_batch
from flax_vision.models.googlenet import GoogLeNet
from flax_vision.models.resnet import CifarResNet
from flax_vision.weights.saved_model import ModelMetadata


def make_metadata(name="lenet5", size=28, classes=3, options=None, **preprocessing):
    channels = 1 if name.startswith("lenet") else 3
    options = {"codes": "random"} if name == "lenet5" and options is None else options or {}
    return ModelMetadata(
        name=name,
        options=options,
        class_names=[str(i) for i in range(classes)],
        image_shape=[size, size, channels],
        preprocessing=Preprocessing([0.0], [255.0], **preprocessing),
        metrics={},
    )


def test_center_uses_the_preprocessing(metadata, variables, noise):
    evaluator = build_evaluator(metadata, "center", noise.images.shape[1:])
    apply = jax.jit(lambda x: evaluator.model.apply(variables, x, train=False))
    expected = apply(metadata.preprocessing(noise.images[:2]))
    scores = jax.jit(evaluator.scores)(variables, noise.images[:2])
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    assert (evaluator.scales, evaluator.crops.total()) == ((), 0)


def test_ten_crop_averages_the_probabilities(metadata, variables, noise):
    evaluator = build_evaluator(metadata, "ten_crop", noise.images.shape[1:])
    uncropped = dataclasses.replace(metadata.preprocessing, crop=0)(noise.images[:2])
    crops = [uncropped[:, t : t + 8, s : s + 8] for t, s in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    crops.append(
        crops[0]
    )  # the center crop, with one pixel more than the image, is the top left one
    crops += [crop[:, :, ::-1] for crop in crops]
    apply = jax.jit(lambda x: jax.nn.softmax(evaluator.model.apply(variables, x)))
    expected = np.mean([apply(crop) for crop in crops], axis=0)
    scores = jax.jit(evaluator.scores)(variables, noise.images[:2])
    np.testing.assert_allclose(np.exp(scores), expected, rtol=1e-4)
    assert (evaluator.crops.total(), len(evaluator.crops)) == (10, 8)


def test_dense_vgg_is_fully_convolutional():
    metadata = make_metadata("vgg_a", size=32, resize=32)
    evaluator = build_evaluator(metadata, "dense", (64, 96, 3))
    assert evaluator.model == fv.create_model("vgg_a", num_classes=3, fully_convolutional=True)
    assert evaluator.scales == (32,)
    assert {crop.shape for crop in evaluator.crops} == {(32, 48)}


@pytest.mark.slow
@pytest.mark.usefixtures("quick_generator")
@pytest.mark.parametrize(
    ("model", "map_name", "layer"),
    [
        (CifarResNet(n=1, num_classes=4), "conv4_x", "fc"),
        pytest.param(GoogLeNet(num_classes=4), "5b", "linear", marks=pytest.mark.slow),
    ],
)
def test_linear_layer_of_averaged_maps_gives_averaged_class_scores(model, map_name, layer):
    """These models are fully convolutional without another form."""
    images = jax.random.normal(jax.random.key(1), (1, 96, 80, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    apply = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))
    logits, extra = apply(variables, images)
    (maps,) = extra["intermediates"][map_name]
    assert maps.shape[1] > 1
    weights = variables["params"][layer]
    scores = maps @ weights["kernel"][None, None] + weights["bias"][None, None, None]
    np.testing.assert_allclose(logits, scores.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)


def test_dense_takes_models_of_rectangular_images():
    metadata = dataclasses.replace(make_metadata("resnet20", 32), image_shape=[32, 48, 3])
    evaluator = build_evaluator(metadata, "dense", (64, 96, 3))
    assert {crop.shape for crop in evaluator.crops} == {(32, 48)}


def test_imagenet_resnets_have_other_scales():
    metadata = make_metadata("resnet18", size=256, crop=224)
    assert build_evaluator(metadata, "multi_scale", (256, 256, 3)).scales == (
        224,
        256,
        384,
        480,
        640,
    )
    small = make_metadata("resnet20", size=32)
    assert build_evaluator(small, "multi_scale", (32, 32, 3)).scales == (32, 37, 42)


def test_scales_can_be_given():
    assert build_evaluator(make_metadata(), "ten_crop", (28, 28, 1), scales=(30, 29)).scales == (
        29,
        30,
    )


@pytest.mark.parametrize(
    ("metadata", "protocol", "expected"),
    [
        (make_metadata(), "center", 128),
        (make_metadata("resnet18", size=256, crop=224), "center", 83),
        (make_metadata("resnet18", size=256, crop=224), "googlenet_144", 13),
        (make_metadata("resnet18", size=256, crop=224), "multi_scale", 10),
        (make_metadata("resnet18", size=3000, crop=2900), "center", 1),
    ],
)
def test_batch_size_bounds_memory_and_time(metadata, protocol, expected):
    assert build_evaluator(metadata, protocol, tuple(metadata.image_shape)).batch_size == expected


@pytest.mark.parametrize("protocol", ["dense", "multi_scale"])
@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern"])
def test_lenet_has_no_fully_convolutional_form(name, protocol):
    message = f"{name} has no fully .*--protocol {protocol} needs; .* center, ten_crop, multi_crop"
    with pytest.raises(UserError, match=message):
        build_evaluator(make_metadata(name), protocol, (28, 28, 1))


@pytest.mark.parametrize(
    ("metadata", "protocol", "shape", "scales", "message"),
    [
        (make_metadata(), "centre", (28, 28, 1), None, "unknown protocol 'centre'.*'center'"),
        (make_metadata(), "center", (28, 28, 1), (32,), "--scales is for the other protocols"),
        (
            make_metadata(crop=24),
            "center",
            (20, 28, 1),
            None,
            "20x28, and the .*for 28x28.*ten_crop",
        ),
        (make_metadata(crop=24), "ten_crop", (28, 28, 1), (20,), "a scale is 20.*at least 24"),
        (
            dataclasses.replace(make_metadata(), image_shape=[28, 20, 1]),
            *("ten_crop", (28, 20, 1), None, "was trained on images of 28x20.*square"),
        ),
        (
            dataclasses.replace(
                make_metadata(), preprocessing=Preprocessing(np.zeros((28, 28, 1)), [1.0])
            ),
            *("center", (20, 20, 1), None, "the images are 20x20.*for 28x28"),
        ),
    ],
)
def test_mistakes(metadata, protocol, shape, scales, message):
    with pytest.raises(UserError, match=message):
        build_evaluator(metadata, protocol, shape, scales)


@pytest.mark.parametrize(
    ("metadata", "protocol", "scales", "message"),
    [
        (
            make_metadata("vgg_a", 32),
            "dense",
            (31,),
            "vgg_a cannot take.* at least 32x32.*--scales",
        ),
        (make_metadata("vgg_a", 64), "dense", (32,), "was initialized for maps of 2x2"),
        (make_metadata(size=40), "center", None, "lenet5 cannot take.*at most 32x32.*--protocol"),
    ],
)
def test_images_that_a_model_cannot_take(metadata, protocol, scales, message):
    evaluator = build_evaluator(metadata, protocol, tuple(metadata.image_shape), scales)
    size = (
        min(metadata.image_shape[0], 32) if metadata.name == "lenet5" else metadata.image_shape[0]
    )
    images = jnp.zeros((1, size, size, metadata.image_shape[2]))
    variables = jax.eval_shape(metadata.create_model().init, jax.random.key(0), images)
    with pytest.raises(UserError, match=message):
        evaluator.compile(variables, 2)


def test_step_returns_totals_predicted_classes_and_confidence(metadata, variables, noise):
    evaluator = build_evaluator(metadata, "center", noise.images.shape[1:])
    mask = np.arange(4) < 3
    batch = Batch(noise.images[:4], noise.labels[:4], mask, np.arange(4, dtype=np.int32))
    totals, predicted, confidence, *_ = evaluator.compile(variables, 4)(variables, batch)
    scores = np.asarray(jax.jit(evaluator.scores)(variables, batch.images))
    np.testing.assert_array_equal(predicted, scores.argmax(axis=1))
    np.testing.assert_allclose(
        confidence, np.asarray(jax.nn.softmax(scores)).max(axis=1), rtol=1e-6
    )
    assert int(totals.top1) == ((predicted == batch.labels) & mask).sum()
    posterior = np.take_along_axis(np.asarray(jax.nn.softmax(scores)), batch.labels[:, None], 1)
    assert float(totals.loss) == pytest.approx(-np.log(posterior[:3]).sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([3.0, 2, 1], 0),
        ([1.0, 3, 2], 1),
        ([1.0, 1, 0], 1),  # a tie is wrong, as in the accuracy
        ([np.nan] * 3, 1),
    ],
)
def test_predicted_class_of_an_image_of_the_first_class(scores, expected):
    label = jnp.zeros(1, jnp.int32)
    predictions = score_batch(jnp.array([scores], jnp.float32), label, label == 0)
    assert int(predictions.predicted[0]) == expected


def image_file_metadata(
    name="vgg_a", size=224, eval_resize=256, resize_range=(256, 256), scale=(), **options
):
    crop = CropPolicy(size, eval_resize, resize_range, scale)
    return dataclasses.replace(make_metadata(name, size, **options), crop=crop)


@pytest.mark.parametrize(
    ("metadata", "protocol", "scales"),
    [
        (image_file_metadata(), "ten_crop", (256,)),
        (image_file_metadata(), "dense", (256,)),
        (image_file_metadata(eval_resize=384), "dense", (384,)),
        (image_file_metadata(), "multi_scale", (224, 256, 288)),
        # Section 4.2 of the VGG paper: the smallest, the mean and the largest training scale.
        (
            image_file_metadata(eval_resize=384, resize_range=(256, 512)),
            "multi_scale",
            (256, 384, 512),
        ),
        (image_file_metadata(eval_resize=384, resize_range=(256, 512)), "dense", (384,)),
        (
            image_file_metadata(resize_range=(256, 512), scale=(0.08, 1.0)),
            "multi_scale",
            (224, 256, 288),
        ),
        (
            image_file_metadata("resnet18", resize_range=(256, 480)),
            "multi_scale",
            (224, 256, 384, 480, 640),
        ),
        (image_file_metadata(), "multi_crop", (256, 384, 512)),
        (image_file_metadata(size=112, eval_resize=128), "googlenet_144", (128, 144, 160, 176)),
        # The model gets crops resized to half their size.
        (image_file_metadata(resize=112), "ten_crop", (128,)),
    ],
)
def test_default_scales_of_models_for_image_files(metadata, protocol, scales):
    assert build_evaluator(metadata, protocol, tuple(metadata.image_shape)).scales == scales


def test_center_of_a_model_for_image_files_needs_its_crops():
    with pytest.raises(UserError, match="the images are 28x28, and the .*for 224x224.*ten_crop"):
        build_evaluator(image_file_metadata(), "center", (28, 28, 3))
