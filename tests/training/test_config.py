import pytest

from flax_vision.errors import UserError
from flax_vision.training.config import (
    check,
    choose_recipe,
    default_config,
    flatten,
    split_spec,
)


def test_defaults_make_sense():
    check(default_config())


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("batch_size", 0, "at least 1"),
        ("batch_size", -5, "at least 1"),
        ("epochs", 0, "at least 1"),
        ("seed", -1, "from 0 to"),
        ("data.mean", ("a", "b"), "finite numbers"),
        ("data.std", ((1.0, 2.0), (3.0, 4.0)), "finite numbers"),
        ("data.validation", 1.0, "from 0 to below 1"),
        ("data.validation", -0.1, "from 0 to below 1"),
        ("data.mean", (), "finite numbers"),
        ("data.mean", (float("nan"),), "finite numbers"),
        ("data.std", (0.0,), "other than 0"),
        ("loss.rubbish", float("inf"), "finite"),
        ("optimizer.momentum", 1.0, "from 0 to below 1"),
        ("optimizer.weight_decay", -1e-4, "at least 0"),
        ("schedule.learning_rate", 0.0, "greater than 0"),
        ("schedule.learning_rate", float("nan"), "greater than 0"),
        ("schedule.learning_rate", float("inf"), "greater than 0"),
        ("checkpoint.every_seconds", -1.0, "at least 0"),
        ("checkpoint.keep", 0, "at least 1"),
    ],
)
def test_values_that_make_no_sense(key, value, rule):
    config = default_config()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=f"config.{key} is .*; it must be .*{rule}"):
        check(config)


def test_values_of_no_type_at_all():
    config = default_config()
    with config.ignore_type():
        config.seed = None
    with pytest.raises(UserError, match="config.seed is None; it must be from 0 to"):
        check(config)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("a/b.py", ("a/b.py", "")),
        ("a/b.py:mnist", ("a/b.py", "mnist")),
        ("a:b/c.py", ("a:b/c.py", "")),
        ("a:b/c.py:", ("a:b/c.py", "")),
    ],
)
def test_split_spec(spec, parts):
    assert split_spec(spec) == parts


@pytest.mark.parametrize("key", ["loss.name", "schedule.name"])
def test_names_that_do_not_exist(key):
    config = default_config()
    config.update_from_flattened_dict({key: "cosin"})
    with pytest.raises(UserError, match=f"unknown config.{key} 'cosin'.*Valid: "):
        check(config)


def test_unknown_recipe_offers_the_nearest():
    with pytest.raises(UserError, match="unknown recipe 'mnits'; did you mean 'mnist'"):
        choose_recipe("mnits", {"": lambda config: None, "mnist": lambda config: None})


def test_flatten():
    assert flatten({"a": 1, "b": {"c": {"d": 2}}}) == {"a": 1, "b.c.d": 2}
