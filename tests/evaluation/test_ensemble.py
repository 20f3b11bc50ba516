"""Tests of ensembles against posteriors averaged by hand."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import flax_vision as fv
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.evaluation import ensemble, members, run_data
from flax_vision.evaluation.ensemble import PosteriorMean, evaluate_ensemble, score_posteriors
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.evaluation.evaluator import Predictions
from flax_vision.training.fit import fit
from flax_vision.weights import saved_model

CONFIG = {
    "format": 2,
    "data": {"name": "noise", "tfds_dir": "", "val_fraction": 0.25},
    "augmentation": {"flip": True},
}


def save_run(directory: Path, metadata, variables, scale=1.0, **changes):
    """Writes a run with the weights of `variables` times `scale`."""
    scaled = jax.tree.map(lambda x: x * np.float32(scale), variables)
    saved_model.save(directory / "export", dataclasses.replace(metadata, **changes), scaled)
    (directory / "config.json").write_text(json.dumps(CONFIG))
    return directory


@pytest.fixture(scope="module")
def runs(metadata, variables, tmp_path_factory):
    """Three runs with other weights; the third also has another input size."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("a", "b", "c"):
        (root / name).mkdir()
    larger = Preprocessing([100.0], [50.0], resize=12)
    return [
        save_run(root / "a", metadata, variables),
        save_run(root / "b", metadata, variables, 3.0),
        save_run(root / "c", metadata, variables, 2.0, preprocessing=larger),
    ]


def posteriors(run, images):
    """Returns the softmax outputs of a run's model."""
    model, variables = fv.load(run)
    inputs = saved_model.load_metadata(run).preprocessing(images)
    apply = jax.jit(lambda variables, x: jax.nn.softmax(model.apply(variables, x)))
    return np.asarray(apply(variables, inputs), np.float64)


def check_average(result, probabilities, labels):
    """Compares a result with posteriors float64 [N, classes]."""
    order = np.argsort(-probabilities, axis=1)
    np.testing.assert_array_equal(result.predicted, order[:, 0])
    np.testing.assert_array_equal(result.top_classes, order)
    expected = np.take_along_axis(probabilities, order, axis=1)
    np.testing.assert_allclose(result.top_probabilities, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(result.confidence, expected[:, 0], rtol=0, atol=1e-6)
    correct = probabilities[np.arange(len(labels)), labels]
    assert result.cross_entropy == pytest.approx(-np.log(correct).mean(), rel=1e-5)
    assert result.top1 == (order[:, 0] == labels).mean()
    assert result.top5 == (order[:, :5] == labels[:, None]).any(axis=1).mean()


def test_models_are_averaged(runs, noise, load_calls):
    texts = []
    result = evaluate_ensemble(runs, top=9, on_progress=lambda what, *_: texts.append(what))
    mean = np.mean([posteriors(run, noise.images) for run in runs], axis=0)
    check_average(result.average, mean, noise.labels)
    assert len(load_calls) == 1  # the models share one set
    parts = ("compiling", "testing lenet5_modern")
    assert texts == ["noise test", *(f"{i} of 3: {part}" for i in (1, 2, 3) for part in parts)]
    assert [member.path for member in result.members] == runs
    alone, member = evaluate(runs[2]), result.members[2].evaluation
    assert (member.top1, member.cross_entropy) == (alone.top1, alone.cross_entropy)
    average = result.average
    assert (average.model, average.protocol, average.crops) == ("3 x lenet5_modern", "center", 3)
    assert average.seconds == sum(member.evaluation.seconds for member in result.members)
    assert len({member.evaluation.cross_entropy for member in result.members}) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("load_calls")
def test_protocols_are_averaged(runs, noise):
    """Probabilities of all classes come from evaluations of single protocols."""
    protocols = ("center", "ten_crop")
    singles = [evaluate(runs[0], protocol=protocol, top=6) for protocol in protocols]
    mean = np.zeros((20, 6))
    for single in singles:
        assert single.top_classes.shape == mean.shape
        rows = np.arange(20)[:, None]
        mean[rows, single.top_classes] += single.top_probabilities.astype(np.float64) / 2
    result = evaluate_ensemble(runs[:1], protocols=protocols, top=6)
    check_average(result.average, mean, noise.labels)
    assert result.average.protocol == "center,ten_crop"
    assert (result.average.crops, result.average.scales) == (11, (9,))
    assert result.average.model == "lenet5_modern"


def test_small_probabilities_do_not_underflow():
    mean = PosteriorMean()
    for log_probability in (-200.0, -210.0):
        rows = np.array([[0.0, log_probability]], np.float32)
        mean.add(Predictions(None, np.zeros(1, np.int32), None, None, None, rows))
    expected = np.logaddexp(-200.0, -210.0) - np.log(2)
    np.testing.assert_allclose(mean.log_mean(), [[0, expected]], rtol=1e-6, atol=1e-7)


def test_image_that_one_model_cannot_read_does_not_count():
    mean = PosteriorMean()
    rows = np.log(np.array([[0.9, 0.1], [0.2, 0.8]], np.float32))
    for predicted in ([0, 1], [0, -1]):
        mean.add(Predictions(None, np.array(predicted), None, None, None, rows.copy()))
    found = score_posteriors(mean.log_mean(), np.array([0, 1], np.int32), mean.is_readable)
    np.testing.assert_array_equal(found.predicted, [0, -1])
    assert int(found.totals.count) == 1


def test_sets_are_scored_in_parts(monkeypatch):
    random = np.random.default_rng(0)
    rows = np.log(random.dirichlet(np.ones(6), 10).astype(np.float32))
    labels = np.arange(10, dtype=np.int32) % 6
    arguments = rows, labels, np.arange(10) != 5, 3
    whole = score_posteriors(*arguments)
    monkeypatch.setattr(ensemble, "_ROWS", 4)
    parts = score_posteriors(*arguments)
    for expected, found in zip(whole[1:5], parts[1:5], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert parts.totals.averages() == pytest.approx(whole.totals.averages())


@pytest.mark.slow
@pytest.mark.usefixtures("load_calls")
def test_warnings_name_the_model(runs, noise, replace_dataset):
    replace_dataset(class_names=[*noise.class_names[:5], "z"])
    warnings = []
    result = evaluate_ensemble(runs[:2], on_warning=warnings.append)
    assert [text.partition(": class 5 is")[0] for text in warnings] == [str(x) for x in runs[:2]]
    assert result.average.warnings == warnings


@pytest.mark.parametrize("second", ["nowhere", "damaged"])
def test_unusable_model_is_named_before_images_are_read(second, runs, load_calls, tmp_path):
    shutil.copytree(runs[0], tmp_path / "damaged")
    for file in (tmp_path / "damaged/export/variables").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(UserError, match=str(tmp_path / second)):
        evaluate_ensemble([runs[0], tmp_path / second])
    assert not load_calls


@pytest.mark.parametrize(
    ("class_names", "message"),
    [
        (["a", "b", "c", "d", "f", "e"], "class 4 is 'e' in .*a' and 'f' in .*other'; .* order"),
        (["a", "b", "c"], "a' has 6 classes, and .*other' has 3; an ensemble needs models of the"),
    ],
)
def test_other_classes(class_names, message, metadata):
    other = dataclasses.replace(metadata, class_names=class_names)
    with pytest.raises(UserError, match=message):
        members.check_same_classes(Path("a"), metadata, Path("other"), other)


def test_classes_are_compared_before_images_are_read(
    runs, load_calls, metadata, variables, tmp_path
):
    other = save_run(tmp_path, metadata, variables, class_names=["a", "b", "c", "d", "f", "e"])
    with pytest.raises(UserError, match="an ensemble needs models of the same classes"):
        evaluate_ensemble([runs[0], other])
    assert not load_calls


@pytest.mark.parametrize("name", ["b", "b/export"])
def test_model_that_is_given_twice(name, runs):
    with pytest.raises(UserError, match=f"'.*{name}' is given twice|b' is given twice"):
        evaluate_ensemble([*runs, runs[0].parent / name])


@pytest.mark.parametrize(
    ("protocols", "message"),
    [
        (("center", "ten"), "unknown protocol 'ten'; did you mean 'ten_crop'"),
        (("center", "center"), "'center' is given twice"),
        (("center", "dense"), "no fully convolutional form"),
        ((), "no protocol is given"),
    ],
)
def test_mistakes_of_protocols(protocols, message, runs, load_calls):
    with pytest.raises(UserError, match=message):
        evaluate_ensemble(runs, protocols=protocols)
    assert not load_calls


def test_no_model():
    with pytest.raises(UserError, match="no model is given"):
        evaluate_ensemble([])


def test_models_with_other_images(runs, noise, metadata, variables, tmp_path, monkeypatch):
    """The second run has the first one's images in another order, or other pixels."""
    other = save_run(tmp_path, metadata, variables)
    config = CONFIG | {"data": CONFIG["data"] | {"name": "other"}}
    (other / "config.json").write_text(json.dumps(config))
    changed = dataclasses.replace(noise, images=255 - noise.images)
    sets = {"noise": noise, "other": changed}
    monkeypatch.setattr(run_data, "read_split", lambda source, *_: sets[source.name])
    with pytest.raises(UserError, match=r"test images of .* are not those of .*a' \(the 4 images"):
        evaluate_ensemble([runs[0], other])
    sets["other"] = noise.take(np.argsort(noise.labels, kind="stable"))
    with pytest.raises(UserError, match=r"are not those of .*a' \(their order differs\)"):
        evaluate_ensemble([runs[0], other])


def test_models_share_arrays_in_memory(runs, noise):
    models, data = members.load_members(runs[:2]), (noise.images, noise.labels)
    arguments = runs[:2], models, "test", lambda *_: None
    first, second = members.load_common_images(*arguments, data=data)
    assert first.images is second.images
    np.testing.assert_array_equal(first.images.labels, noise.labels)


@pytest.mark.slow
def test_ensemble_is_at_least_as_good_as_the_mean_of_its_models(config, tmp_path):
    config.epochs = 12
    for seed in range(3):
        config.seed = seed
        fit(config, tmp_path / str(seed))
    result = evaluate_ensemble([tmp_path / str(seed) for seed in range(3)])
    singles = [member.evaluation for member in result.members]
    assert result.average.top1 >= np.mean([single.top1 for single in singles])
    assert result.average.cross_entropy < np.mean([single.cross_entropy for single in singles])
