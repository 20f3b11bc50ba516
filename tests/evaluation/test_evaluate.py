"""Tests of runs and exports on images that replace their datasets."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_folders import write_sizes

import flax_vision as fv
from flax_vision.data.background import Background
from flax_vision.errors import UserError
from flax_vision.evaluation import evaluator
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.training.config_loader import load_config
from flax_vision.training.fit import fit
from flax_vision.weights import saved_model


def configure(run, directory, **changes):
    """Copies a run, with another configuration."""
    shutil.copytree(run, directory)
    configuration = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(configuration | changes))
    return directory


def test_run_is_evaluated_on_its_own_data(run, noise, metadata, load_calls):
    result = evaluate(run)
    assert load_calls == [("noise", "somewhere", 0.25)]
    model, variables = fv.load(run)
    logits = jax.jit(lambda x: model.apply(variables, metadata.preprocessing(x)))(noise.images)
    classes = np.argmax(logits, axis=1)
    np.testing.assert_array_equal(result.predicted, classes)
    np.testing.assert_array_equal(result.labels, noise.labels)
    assert result.top1 == (classes == noise.labels).mean()
    facts = (result.model, result.data, result.split, result.protocol, result.images)
    assert facts == ("lenet5_modern", "noise", "test", "center", 20)
    assert (result.crops, result.crops_computed, result.scales) == (1, 1, ())
    assert result.images_per_second == 20 / result.seconds


@pytest.mark.usefixtures("load_calls")
@pytest.mark.parametrize("batch_size", [3, 20, 10**12])
def test_batch_size_changes_nothing(run, batch_size):
    expected = evaluate(run)
    result = evaluate(run, batch_size=batch_size)
    np.testing.assert_array_equal(result.predicted, expected.predicted)
    assert result.top1 == expected.top1
    assert result.cross_entropy == pytest.approx(expected.cross_entropy, rel=1e-5)


@pytest.mark.usefixtures("load_calls")
def test_other_split(run):
    assert evaluate(run, split="train").images == 5
    assert evaluate(run, split="validation").images == 5


def test_export_inside_a_run_uses_the_data_of_the_run(run, load_calls):
    evaluate(str(run / "export"))
    assert load_calls == [("noise", "somewhere", 0.25)]


def test_other_data_use_another_tfds_dir(run, load_calls):
    evaluate(run, data="others")
    evaluate(run, data="others", tfds_dir="there")
    evaluate(run, tfds_dir="there")
    assert load_calls == [
        ("others", "", 0.25),
        ("others", "there", 0.25),
        ("noise", "there", 0.25),
    ]


def test_other_data_of_another_background_get_a_hint(
    run, metadata, variables, noise, replace_dataset, tmp_path
):
    known = dataclasses.replace(metadata, background=Background(0.0, 1.0))
    directory = configure(run, tmp_path / "run")
    saved_model.save(directory / "export", known, variables)
    replace_dataset(images=np.full_like(noise.images, 255))
    (warning,) = evaluate(directory, data="others").warnings
    assert warning.startswith("most of these images have a light background, but the training")
    assert not evaluate(directory).warnings


def test_export_outside_a_run_needs_the_name_of_a_set(run, tmp_path, load_calls):
    shutil.copytree(run / "export", tmp_path / "model")
    with pytest.raises(UserError, match="no config.json .* give --data NAME"):
        evaluate(tmp_path / "model")
    assert evaluate(tmp_path / "model", data="noise").images == 20
    assert load_calls == [("noise", "", 0.0)]
    with pytest.raises(UserError, match="'noise' has no validation images.*--split train or test"):
        evaluate(tmp_path / "model", data="noise", split="validation")


@pytest.mark.usefixtures("load_calls")
def test_progress(run):
    calls = []
    evaluate(run, batch_size=8, on_progress=lambda *call: calls.append(call))
    assert calls == [
        ("noise test", 20, 20),
        ("compiling", 0, 0),
        *(("testing lenet5_modern", done, 20) for done in (0, 8, 16)),
    ]


@pytest.mark.parametrize(
    ("protocol", "scales"), [("dense", None), ("ten_crop", (7,)), ("center", (9,))]
)
def test_errors_of_the_protocol_come_before_the_data_are_read(protocol, scales, run, load_calls):
    with pytest.raises(UserError, match="no fully convolutional form|a scale is 7|--scales is for"):
        evaluate(run, protocol=protocol, scales=scales)
    assert not load_calls


def test_errors_of_the_data_name_the_flags_of_the_command(run):
    with pytest.raises(UserError, match="--data mnist_5k needs no download") as caught:
        evaluate(run, data="mnits")
    assert "--config" not in str(caught.value)
    with pytest.raises(UserError, match="For sets elsewhere give --tfds-dir DIR"):
        evaluate(run, data="mnist", tfds_dir="nowhere")


@pytest.mark.usefixtures("load_calls")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tset"}, "unknown split 'tset'; did you mean 'test'"),
        ({"protocol": "ten"}, "unknown protocol 'ten'"),
        ({"protocol": "ten_crop", "scales": (7,)}, "a scale is 7"),
    ],
)
def test_mistakes(options, message, run):
    with pytest.raises(UserError, match=message):
        evaluate(run, **options)


def test_other_number_of_classes(run, noise, replace_dataset):
    replace_dataset(class_names=noise.class_names[:5], labels=noise.labels % 5)
    with pytest.raises(UserError, match="has 6 classes, and 'noise' has 5"):
        evaluate(run)


def test_other_names_of_classes_get_a_warning(run, noise, replace_dataset):
    replace_dataset(class_names=[*noise.class_names[:5], "z"])
    (warning,) = evaluate(run).warnings
    assert warning.startswith("class 5 is 'f' in the model and 'z' in 'noise'")


def test_other_number_of_channels(run, noise, replace_dataset):
    replace_dataset(images=np.repeat(noise.images, 3, axis=3))
    with pytest.raises(UserError, match="images of 1 channel, and the images of 'noise' have 3"):
        evaluate(run)


@pytest.mark.slow
@pytest.mark.usefixtures("load_calls")
def test_mirror_images_absent_in_training_get_a_warning(run, tmp_path):
    unseen = configure(run, tmp_path / "unseen", augmentation={"flip": False})
    (warning,) = evaluate(unseen, protocol="ten_crop").warnings
    assert "trained without mirror images" in warning
    assert not evaluate(unseen, protocol="ten_crop", flip=False).warnings
    assert not evaluate(unseen).warnings
    assert not evaluate(run, protocol="ten_crop").warnings


@pytest.mark.usefixtures("load_calls")
@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2, "data": {"name": "noise"}}'])
def test_damaged_configuration(content, run, tmp_path):
    damaged = configure(run, tmp_path / "damaged")
    (damaged / "config.json").write_text(content)
    with pytest.raises(UserError, match="config.json is damaged"):
        evaluate(damaged)


@pytest.mark.slow
def test_five_classes_have_no_top5(metadata, noise, replace_dataset, tmp_path):
    five = dataclasses.replace(metadata, class_names=metadata.class_names[:5])
    variables = jax.jit(five.create_model().init)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    saved_model.save(tmp_path / "model", five, variables)
    replace_dataset(class_names=five.class_names, labels=noise.labels % 5)
    assert evaluate(tmp_path / "model", data="noise").top5 is None


@pytest.mark.usefixtures("load_calls")
def test_too_little_memory(run, monkeypatch):
    def compile_step(*arguments):
        raise MemoryError

    monkeypatch.setattr(evaluator.ProtocolEvaluator, "compile", compile_step)
    with pytest.raises(UserError, match="20 images in a step.*--batch-size"):
        evaluate(run)


@pytest.fixture(scope="module")
def mirrored(small_config, tmp_path_factory):
    """A run of some epochs on the embedded digits, with crops and mirror images."""
    config = small_config.copy_and_resolve_references()
    config.data.val_fraction = 0.1
    config.data.resize, config.data.crop = 32, 28
    config.augmentation.flip = True
    config.batch_size, config.epochs = 64, 8
    directory = tmp_path_factory.mktemp("mirrored")
    return directory, fit(config, directory)


@pytest.mark.slow
def test_center_equals_the_result_of_the_run(mirrored):
    directory, result = mirrored
    again = evaluate(directory)
    assert (again.top1, again.top5) == (result["test/top1"], result["test/top5"])
    assert again.cross_entropy == pytest.approx(result["test/loss"], rel=1e-5)
    for name in ("balanced_accuracy", "f1", "ece", "majority_share"):
        assert getattr(again, name) == pytest.approx(result[f"test/{name}"], rel=1e-4), name


@pytest.mark.slow
def test_ten_crop_is_not_below_the_center_crop(mirrored):
    """Beyond noise: if both are as good, each is right on half of the images they differ on."""
    directory, _ = mirrored
    center, ten_crop = (evaluate(directory, protocol=p) for p in ("center", "ten_crop"))
    assert (center.crops, ten_crop.crops, ten_crop.crops_computed) == (1, 10, 10)
    assert center.top1 > 0.8
    by_center, by_ten_crop = (x.predicted == x.labels for x in (center, ten_crop))
    lost, won = (by_center & ~by_ten_crop).sum(), (by_ten_crop & ~by_center).sum()
    assert lost - won <= 2 * np.sqrt(lost + won)


@pytest.mark.slow
def test_center_equals_the_result_of_a_run_on_a_folder(tmp_path):
    write_sizes(tmp_path / "pictures", "abc", [(40 + 3 * i, 50 - i) for i in range(20)])
    settings = {"model.name": "lenet5_modern", "data.image_dir": tmp_path / "pictures", "epochs": 2}
    settings["write_report"] = False
    settings |= {"batch_size": 12, "crop.resize_range": "32,36", "data.on_error": "skip"}
    (tmp_path / "pictures/b/3.png").write_bytes(b"nothing")
    config_file = Path(__file__).parents[2] / "configs/lenet5.py:folder"
    overrides = [f"--config.{key}={value}" for key, value in settings.items()]
    result = fit(load_config(str(config_file), overrides), tmp_path / "run")
    assert result == json.loads((tmp_path / "run/result.json").read_text())
    again = evaluate(tmp_path / "run")
    assert (again.top1, again.images) == (result["test/top1"], result["test/images"])
    assert again.cross_entropy == pytest.approx(result["test/loss"], rel=1e-5)
