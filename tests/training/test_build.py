import ast
import dataclasses
from pathlib import Path

import pytest
from flax import linen as nn

import flax_vision as fv
from flax_vision.data.splits import Splits
from flax_vision.errors import UserError
from flax_vision.training import build, data_pipeline
from flax_vision.training.build import build_experiment
from flax_vision.training.config_loader import check_config
from flax_vision.training.fit import fit
from flax_vision.training.losses import make_loss
from flax_vision.weights.saved_model import load_metadata


def test_build_imports_at_most_twelve_of_our_modules():
    """A module that needs more of the package does more than compose it."""
    modules = set()
    for node in ast.walk(ast.parse(Path(build.__file__).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("flax_vision"):
            folder = Path(build.__file__).parents[1].joinpath(*node.module.split(".")[1:])
            names = [alias.name for alias in node.names] if folder.is_dir() else [""]
            modules |= {f"{node.module}.{name}" for name in names}
    assert 0 < len(modules) <= 12


def test_export_knows_the_background_of_the_training_images(finished):
    background = load_metadata(finished[0]).background
    assert 0 <= background.mean < 1
    assert 0 < background.std < 2


def test_background_of_a_resumed_run_is_not_measured_again(config, finished, monkeypatch):
    saved = load_metadata(finished[0])
    monkeypatch.setattr(build, "measure_background", lambda *_: pytest.fail("measured"))
    experiment = build_experiment(config, lambda *_: None, saved=saved)
    assert experiment.metadata.background == saved.background


def test_background_that_a_resumed_run_does_not_know_is_measured(config, finished):
    saved = load_metadata(finished[0])
    unknown = dataclasses.replace(saved, background=None)
    experiment = build_experiment(config, lambda *_: None, saved=unknown)
    assert experiment.metadata.background == saved.background


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": "C9"}, "config.freeze is 'C9', and no layer has such a name"),
        ({"optimizer.lr_mult": (("C9", 0.1),)}, "lr_mult is 'C9', and no layer has such a name"),
        ({"init_from": "nowhere"}, "no model in 'nowhere'"),
        ({"init_from": "{}", "init_pattern": "C9"}, "config.init_pattern is 'C9', and no layer in"),
        ({"init_from": "{}", "model.name": "lenet5"}, "do not fit the model"),
        ({"init_from": "{}", "model.background": 0.5}, "background is -0.1 there and 0.5 here"),
    ],
)
def test_mistakes_about_layers_are_found_before_images_are_read(
    changes, message, config, finished, monkeypatch
):
    monkeypatch.setattr(data_pipeline, "load_data", pytest.fail)
    config.update_from_flattened_dict(
        {k: v.format(finished[0]) if isinstance(v, str) else v for k, v in changes.items()}
    )
    with pytest.raises(UserError, match=message):
        build_experiment(config, lambda *report: None)


def test_summary_of_a_run_of_one_step_an_epoch(config):
    config.batch_size = 800
    summary = build_experiment(config, lambda *report: None).summary()
    assert summary.endswith("800 training, 3,200 validation, 1,000 test images; 1 step an epoch")


def test_batch_larger_than_the_set(config, tmp_path):
    config.batch_size = 801
    with pytest.raises(UserError, match="batch_size is 801.*only 800 images"):
        fit(config, tmp_path)


@pytest.mark.parametrize("key", ["checkpoint.best_metric", "stop.metric"])
def test_top5_of_few_classes(key, config, digits, monkeypatch):
    config.update_from_flattened_dict({key: "top5", "stop.patience": 3, "batch_size": 4})
    monkeypatch.setattr(data_pipeline, "load_data", lambda *_: Splits(digits, digits, digits))
    with pytest.raises(UserError, match=f"config.{key} is 'top5', which is always 1 with 4 cl"):
        build_experiment(config, lambda *report: None)


def test_mean_for_another_number_of_channels(config, tmp_path):
    config.data.mean = (1.0, 2.0, 3.0)
    with pytest.raises(UserError, match="data.mean has 3 numbers.*have 1 channel;"):
        fit(config, tmp_path)


def test_loss_optimizer_and_classes_of_the_configuration(config):
    config.update_from_flattened_dict(
        {"loss.name": "focal", "loss.class_weights": "1,1,1,1,1,1,1,1,1,3"}
    )
    spec = build_experiment(config, lambda *_: None).functions.spec
    assert spec.class_weights == (*[1.0] * 9, 3.0)
    assert spec.loss is not spec.eval_loss is make_loss("cross_entropy", 0.0)


def test_weights_of_other_classes(config):
    config.loss.class_weights = "1,2"
    with pytest.raises(UserError, match="has 2 numbers for 10 classes; .* order: 0, 1, 2, 3"):
        build_experiment(config, lambda *_: None)


class Mean(nn.Module):
    """A user's model whose arithmetic has no option, and whose dropout is a bool."""

    num_classes: int = 10
    use_dropout: bool = True

    @nn.compact
    def __call__(self, images, *, train=False):
        return nn.Dense(self.num_classes)(images.mean((1, 2)))


def test_model_without_the_options_of_ours(config, temporary_names):
    fv.register_model("mean", Mean, image_shape=(28, 28, 1))
    del config.model
    config.model = {"name": "mean"}
    experiment = build_experiment(check_config(config), lambda *report: None)
    assert experiment.metadata.options == {"use_dropout": True}
    assert experiment.notes == []


class Maps(nn.Module):
    """A custom model that returns maps instead of logits."""

    num_classes: int = 10

    def __call__(self, images, *, train=False):
        return images


def test_model_that_returns_no_logits(config, temporary_names):
    fv.register_model("maps", Maps, image_shape=(28, 28, 1))
    del config.model
    config.model = {"name": "maps"}
    message = r"maps returns \(1, 28, 28, 1\) for one image; its logits .* \(1, 10\)"
    with pytest.raises(UserError, match=message):
        build_experiment(check_config(config), lambda *report: None)
