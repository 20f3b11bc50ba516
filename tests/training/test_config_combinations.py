import pytest

from flax_vision.errors import UserError
from flax_vision.training.config_combinations import _USED_BY
from flax_vision.training.config_keys import KEYS
from flax_vision.training.config_schema import check, default_config

OPTIMIZERS = KEYS["optimizer.name"].choices


def check_values(**values):
    config = default_config()
    config.update_from_flattened_dict({key.replace("__", "."): x for key, x in values.items()})
    check(config)


def test_every_key_of_the_optimizer_has_users():
    keys = {key for key in KEYS if key.startswith("optimizer.")}
    assert keys - _USED_BY.keys() == {"optimizer.name", "optimizer.ema_decay"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults_are_valid_for_every_optimizer(name):
    check_values(optimizer__name=name)


@pytest.mark.parametrize(
    ("key", "value", "users"),
    [
        ("momentum", 0.5, "sgd"),
        ("momentum_form", "alexnet", "sgd"),
        ("nesterov", True, "sgd"),
        ("b1", 0.8, "adam adamw lamb lion"),
        ("b2", 0.8, "adam adamw lamb rmsprop lion"),
        ("eps", 1e-3, "adam adamw lamb rmsprop"),
        ("clip_norm", 1.0, "sgd adam adamw lamb rmsprop lion"),
        ("lr_mult", (("conv.*", 0.1),), "sgd adam adamw lamb rmsprop lion"),
        ("weight_decay", 0.1, "sgd adam adamw lamb rmsprop lion"),
        ("damping", 0.1, "levenberg_marquardt"),
    ],
)
def test_key_without_effect(key, value, users):
    for name in OPTIMIZERS:
        values = {"optimizer__name": name, f"optimizer__{key}": value}
        if name in users.split():
            check_values(**values)
        else:
            with pytest.raises(UserError, match=f"config.optimizer.{key} .*'{name}' does not use"):
                check_values(**values)


def test_message_names_the_default_and_the_users():
    with pytest.raises(UserError) as error:
        check_values(optimizer__name="adam", optimizer__momentum_form="alexnet")
    assert str(error.value) == (
        "config.optimizer.momentum_form is 'alexnet', which config.optimizer.name 'adam' does not "
        "use; give --config.optimizer.momentum_form=standard, or choose sgd."
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"loss__name": "lenet5_map", "loss__label_smoothing": 0.1},
            "label_smoothing is 0.1, .*'lenet5_map' does not use; .* or choose cross_entropy",
        ),
        ({"loss__name": "focal", "loss__label_smoothing": 0.1}, "'focal' does not use"),
        ({"loss__focal_gamma": 1.0}, "'cross_entropy' does not use; .* or choose focal"),
        ({"optimizer__nesterov": True, "optimizer__momentum": 0.0}, "momentum is 0; give a mom"),
        (
            {"optimizer__momentum_form": "alexnet", "optimizer__decay_form": "decoupled"},
            "momentum contains the decay; give --config.optimizer.momentum_form=standard",
        ),
        ({"loss__class_weights": "balanced", "data__sampler": "balanced"}, "both 'balanced'"),
        (
            {"optimizer__name": "levenberg_marquardt", "loss__class_weights": "1,2"},
            "class_weights is '1,2', and the curvature of levenberg_marquardt does not support it",
        ),
        (
            {"optimizer__name": "levenberg_marquardt", "loss__name": "focal"},
            "config.loss.name is 'focal', and the curvature",
        ),
        ({"loss__class_weights": "balancd"}, "must be none, balanced, or a number for each"),
        ({"loss__class_weights": "1,nan"}, "must be none, balanced, or a number for each"),
        ({"loss__class_weights": ""}, "must be none, balanced, or a number for each"),
        ({"optimizer__lr_mult": (("conv", -1.0),)}, "must be patterns of layers with numbers from"),
        ({"optimizer__lr_mult": ((1, 1.0),)}, "must be patterns of layers with numbers from 0"),
        ({"optimizer__lr_mult": ("conv", 1.0)}, "must be patterns of layers with numbers from 0"),
        ({"data__sampler": "random"}, "unknown config.data.sampler 'random'"),
        ({"optimizer__b1": 1.0}, "config.optimizer.b1 is 1.0; it must be from 0 to below 1"),
        ({"optimizer__clip_norm": -1.0}, "config.optimizer.clip_norm is -1.0"),
    ],
)
def test_invalid_combinations_and_values(values, message):
    with pytest.raises(UserError, match=message):
        check_values(**values)
