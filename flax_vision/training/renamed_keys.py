"""Configuration keys and values of older versions, with their present names."""

import difflib
from collections.abc import Collection

from flax_vision.errors import UserError

_NEW_KEYS = {
    "steps_at_once": "steps_per_call",
    "data.directory": "data.tfds_dir",
    "data.path": "data.image_dir",
    "data.test": "data.test_fraction",
    "data.order": "data.reshuffle=False",
    "data.center": "data.subtract_mean",
    "view.test_scale": "crop.eval_resize",
    "view.scale": "crop.resize_range",
    "view.square": "crop.center_square",
    "view.area": "crop.scale",
    "view.aspect": "crop.ratio",
    "view.channels": "data.grayscale=True",
    "augmentation.photometric": "augmentation.color_jitter",
    "augmentation.colour_components": "augmentation.pca_scaling",
    "augmentation.pad": "augmentation.pad_and_crop",
    "loss.rubbish": "loss.map_j",
    "optimizer.mu": "optimizer.damping",
    "optimizer.samples": "optimizer.curvature_samples",
    "optimizer.velocity": "optimizer.momentum_form=alexnet",
    "optimizer.accumulate": "optimizer.grad_accum_steps",
    "optimizer.average": "optimizer.ema_decay",
    "schedule.learning_rate": "schedule.lr",
    "schedule.factors": "schedule.decay_factors",
    "schedule.every": "schedule.decay_epochs",
}
"""Present name by old key that is not similar to it, with a value if the old one implies it."""

NEW_VALUES = {
    ("loss.name", "map"): "lenet5_map",
    ("schedule.name", "steps"): "piecewise",
    ("optimizer.momentum_form", "gradient"): "standard",
    ("optimizer.momentum_form", "step"): "alexnet",
}
"""Present value by key and old value."""


def unknown_key(key: str, valid: Collection[str]) -> UserError:
    """Returns the error for a key that does not exist.

    The message offers the nearest key and lists the keys of its section.

    Args:
      key: Dotted key, without `config.`.
      valid: All keys.
    """
    nearest = _NEW_KEYS.get(key) or next(iter(difflib.get_close_matches(key, valid, 1, 0.5)), "")
    section = (nearest or key).rpartition(".")[0]
    siblings = [name for name in valid if name.rpartition(".")[0] == section]
    hint = f"; did you mean {f'config.{nearest}'!r}?" if nearest else "."
    return UserError(f"config.{key} is not a key{hint} Valid: {', '.join(siblings or valid)}.")
