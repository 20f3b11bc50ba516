"""Checks across the configuration keys of the loss, the optimizer and the sampler."""

from collections.abc import Mapping, Sequence
from typing import Any

from flax_vision.errors import UserError
from flax_vision.training.config_keys import KEYS

_ADAM = ("adam", "adamw", "lamb")
_FIRST_ORDER = ("sgd", *_ADAM, "rmsprop", "lion")
_LEVENBERG_MARQUARDT = ("levenberg_marquardt",)

_USED_BY = {
    "optimizer.momentum": ("sgd",),
    "optimizer.momentum_form": ("sgd",),
    "optimizer.nesterov": ("sgd",),
    "optimizer.b1": (*_ADAM, "lion"),
    "optimizer.b2": (*_ADAM, "rmsprop", "lion"),
    "optimizer.eps": (*_ADAM, "rmsprop"),
    "optimizer.clip_norm": _FIRST_ORDER,
    "optimizer.weight_decay": _FIRST_ORDER,
    "optimizer.decay_form": _FIRST_ORDER,
    "optimizer.decay_biases": _FIRST_ORDER,
    "optimizer.bias_lr_mult": _FIRST_ORDER,
    "optimizer.lr_mult": _FIRST_ORDER,
    "optimizer.grad_accum_steps": _FIRST_ORDER,
    "optimizer.damping": _LEVENBERG_MARQUARDT,
    "optimizer.curvature_samples": _LEVENBERG_MARQUARDT,
    "loss.label_smoothing": ("cross_entropy",),
    "loss.focal_gamma": ("focal",),
    "loss.map_j": ("lenet5_map",),
}
"""Names of the optimizers or losses that use each key."""


def check_combinations(flat: Mapping[str, Any]) -> None:
    """Raises a UserError for a key without effect, or settings that exclude each other.

    Args:
      flat: Values by dotted key.
    """
    for key, users in _USED_BY.items():
        name_key = f"{key.partition('.')[0]}.name"
        name, default = flat[name_key], KEYS[key].default
        if flat[key] != default and name not in users:
            raise UserError(
                f"config.{key} is {flat[key]!r}, which config.{name_key} {name!r} does not use; "
                f"give --config.{key}={default}, or choose {_alternatives(users)}."
            )
    _check_momentum(flat)
    _check_class_balance(flat)


def _alternatives(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _check_momentum(flat: Mapping[str, Any]) -> None:
    if flat["optimizer.nesterov"] and not flat["optimizer.momentum"]:
        raise UserError(
            "config.optimizer.nesterov is True, but config.optimizer.momentum is 0; give a "
            "momentum above 0, such as 0.9."
        )
    form = flat["optimizer.momentum_form"]
    if form == "alexnet" and flat["optimizer.decay_form"] == "decoupled":
        raise UserError(
            "config.optimizer.decay_form is 'decoupled', but AlexNet's momentum contains the "
            "decay; give --config.optimizer.momentum_form=standard."
        )


def _check_class_balance(flat: Mapping[str, Any]) -> None:
    weights = flat["loss.class_weights"]
    if weights == flat["data.sampler"] == "balanced":
        raise UserError(
            "config.loss.class_weights and config.data.sampler are both 'balanced', which would "
            "weight rare classes twice; choose one."
        )
    if flat["optimizer.name"] != "levenberg_marquardt":
        return
    if weights != "none" or flat["loss.name"] == "focal":
        key = "loss.class_weights" if weights != "none" else "loss.name"
        raise UserError(
            f"config.{key} is {flat[key]!r}, and the curvature of levenberg_marquardt does not "
            "support it; choose another config.optimizer.name."
        )
