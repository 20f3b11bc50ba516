import pytest

from flax_vision.errors import UserError
from flax_vision.training.config_schema import (
    check,
    default_config,
    flatten,
    split_spec,
)


def test_defaults_are_valid():
    check(default_config())


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("batch_size", 0, "from 1 to 2147483647"),
        ("batch_size", -5, "from 1 to 2147483647"),
        ("epochs", 0, "from 1 to 2147483647"),
        ("seed", -1, "from 0 to"),
        ("data.mean", ("a", "b"), "finite numbers"),
        ("data.std", ((1.0, 2.0), (3.0, 4.0)), "finite numbers"),
        ("data.val_fraction", 1.0, "from 0 to below 1"),
        ("data.val_fraction", -0.1, "from 0 to below 1"),
        ("data.mean", (), "finite numbers"),
        ("data.mean", (float("nan"),), "finite numbers"),
        ("data.std", (0.0,), "other than 0"),
        ("augmentation.rotation", 181.0, "from 0 to 180"),
        ("augmentation.hue", 0.6, "from 0 to 0.5"),
        ("augmentation.random_erasing", 1.5, "from 0 to 1"),
        ("augmentation.mixup", -0.1, "at least 0"),
        ("loss.map_j", float("inf"), "finite"),
        ("optimizer.momentum", 1.0, "from 0 to below 1"),
        ("optimizer.weight_decay", -1e-4, "at least 0"),
        ("schedule.lr", 0.0, "greater than 0"),
        ("schedule.lr", float("nan"), "greater than 0"),
        ("schedule.lr", float("inf"), "greater than 0"),
        ("checkpoint.save_interval_secs", -1.0, "at least 0"),
        ("checkpoint.max_to_keep", 0, "at least 1"),
    ],
)
def test_invalid_values(key, value, rule):
    config = default_config()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=f"config.{key} is .*; it must be .*{rule}"):
        check(config)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"init_pattern": "C1"}, "config.init_pattern is 'C1', but config.init_from, .* is empty"),
        ({"init_preprocessing": False}, "config.init_preprocessing is False, .* is empty"),
        (
            {"freeze": "C1", "optimizer.name": "levenberg_marquardt"},
            "config.freeze is 'C1', .* trains all layers; choose sgd",
        ),
    ],
)
def test_options_without_effect(values, message):
    config = default_config()
    config.update_from_flattened_dict(values)
    with pytest.raises(UserError, match=message):
        check(config)


def test_value_of_another_type():
    config = default_config()
    with config.ignore_type():
        config.seed = None
    with pytest.raises(UserError, match="config.seed is None; it must be from 0 to"):
        check(config)


@pytest.mark.parametrize(
    ("spec", "path_and_recipe"),
    [
        ("a/b.py", ("a/b.py", "")),
        ("a/b.py:mnist", ("a/b.py", "mnist")),
        ("a:b/c.py", ("a:b/c.py", "")),
        ("a:b/c.py:", ("a:b/c.py", "")),
    ],
)
def test_split_spec(spec, path_and_recipe):
    assert split_spec(spec) == path_and_recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"crop.resize_range": (256,)},
            "config.crop.resize_range is .256,.; it must be two whole numbers",
        ),
        ({"crop.resize_range": (300, 256)}, "config.crop.resize_range is .300, 256."),
        ({"crop.resize_range": (256.0, 300.0)}, "config.crop.resize_range is"),
        ({"crop.resize_range": (0, 256)}, "config.crop.resize_range is"),
        ({"crop.scale": (0.5,)}, "config.crop.scale is .0.5,.; it must be empty, or two numbers"),
        ({"crop.scale": (0.0, 1.0)}, "config.crop.scale is"),
        ({"crop.scale": (0.5, 1.1)}, "config.crop.scale is"),
        ({"crop.ratio": (1.5, 0.5)}, "config.crop.ratio is .*two numbers above 0"),
        ({"crop.size": -1}, "config.crop.size is -1"),
        (
            {"crop.size": 300},
            "config.crop.size is 300, but config.crop.resize_range makes .* 256",
        ),
        (
            {"crop.size": 224, "crop.eval_resize": 200},
            "config.crop.size is 224, but config.crop.eval_resize makes .* 200; .* least 224",
        ),
        ({"data.num_threads": -1}, "config.data.num_threads is -1"),
        ({"data.test_fraction": 1.0}, "config.data.test_fraction is 1.0"),
        (
            {"data.image_dir": "cats"},
            "config.data.image_dir is 'cats', but config.data.name 'mnist_5k'",
        ),
        (
            {"data.label_column": "fine"},
            "config.data.label_column is 'fine', but config.data.name 'mnist_5k' has no columns",
        ),
        ({"data.class_order": "random"}, "unknown config.data.class_order 'random'.*natural, sor"),
        ({"data.max_pixels": 0}, "config.data.max_pixels is 0; it must be at least 1"),
        ({"data.on_error": "ignore"}, "unknown config.data.on_error 'ignore'.*skip, stop"),
    ],
)
def test_invalid_values_for_image_files(changes, message):
    config = default_config().copy_and_resolve_references()
    with config.ignore_type():
        config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        check(config)


def test_resize_range_is_unused_with_a_scale():
    config = default_config()
    config.update_from_flattened_dict({"crop.size": 300, "crop.scale": (0.5, 1.0)})
    check(config)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("loss.name", "mse"),
        ("optimizer.name", "adamax"),
        ("optimizer.name", "SGD"),
        ("optimizer.momentum_form", "nesterov"),
        ("schedule.name", "linear"),
        ("schedule.warmup.name", "cosine"),
    ],
)
def test_unknown_names(key, name):
    config = default_config()
    config.update_from_flattened_dict({key: name})
    with pytest.raises(UserError, match=f"unknown config.{key} '{name}'.*Valid: "):
        check(config)


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("loss.name", "map", "lenet5_map"),
        ("schedule.name", "steps", "piecewise"),
        ("optimizer.momentum_form", "step", "alexnet"),
    ],
)
def test_renamed_values(key, old, new):
    config = default_config()
    config.update_from_flattened_dict({key: old})
    with pytest.raises(UserError, match=f"unknown config.{key} '{old}'; did you mean '{new}'"):
        check(config)


def test_flatten():
    assert flatten({"a": 1, "b": {"c": {"d": 2}}}) == {"a": 1, "b.c.d": 2}


@pytest.mark.parametrize("key", ["augmentation.mixup", "augmentation.cutmix"])
def test_a_batch_of_one_image_has_nothing_to_mix(key):
    config = default_config()
    config.update_from_flattened_dict({key: 0.2, "batch_size": 1})
    message = f"config.{key} is 0.2, but config.batch_size is 1.*batch_size from 2"
    with pytest.raises(UserError, match=message):
        check(config)
    config.batch_size = 2
    check(config)
