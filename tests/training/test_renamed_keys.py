from pathlib import Path

import pytest

from flax_vision.errors import UserError
from flax_vision.training.config_loader import load_config
from flax_vision.training.config_schema import default_config, flatten

LENET5 = str(Path(__file__).parents[2] / "configs/lenet5.py")
HEAD = "from flax_vision.training.config_schema import default_config\n"

NEW_KEYS = {
    "steps_at_once": "steps_per_call",
    "init_layers": "init_pattern",
    "report": "write_report",
    "data.directory": "data.tfds_dir",
    "data.path": "data.image_dir",
    "data.validation": "data.val_fraction",
    "data.test": "data.test_fraction",
    "data.threads": "data.num_threads",
    "data.order": "data.reshuffle=False",
    "data.center": "data.subtract_mean",
    "view.size": "crop.size",
    "view.test_scale": "crop.eval_resize",
    "view.scale": "crop.resize_range",
    "view.square": "crop.center_square",
    "view.area": "crop.scale",
    "view.aspect": "crop.ratio",
    "view.interpolation": "crop.interpolation",
    "view.channels": "data.grayscale=True",
    "augmentation.affine": "augmentation.random_affine",
    "augmentation.photometric": "augmentation.color_jitter",
    "augmentation.colour_noise": "augmentation.pca_noise",
    "augmentation.colour_components": "augmentation.pca_scaling",
    "augmentation.pad": "augmentation.pad_and_crop",
    "loss.rubbish": "loss.map_j",
    "loss.auxiliary": "loss.aux_weight",
    "optimizer.mu": "optimizer.damping",
    "optimizer.samples": "optimizer.curvature_samples",
    "optimizer.velocity": "optimizer.momentum_form=alexnet",
    "optimizer.bias_rate": "optimizer.bias_lr_mult",
    "optimizer.accumulate": "optimizer.grad_accum_steps",
    "optimizer.average": "optimizer.ema_decay",
    "schedule.learning_rate": "schedule.lr",
    "schedule.factors": "schedule.decay_factors",
    "schedule.every": "schedule.decay_epochs",
    "schedule.drops": "schedule.max_drops",
    "checkpoint.every_seconds": "checkpoint.save_interval_secs",
    "checkpoint.keep": "checkpoint.max_to_keep",
}
"""Present name by key of an older version."""


@pytest.mark.parametrize(("old", "new"), list(NEW_KEYS.items()))
def test_renamed_keys(old, new):
    with pytest.raises(UserError, match=f"config.{old} is not a key; did you mean 'config.{new}'"):
        load_config(LENET5, [f"--config.{old}=1"])


@pytest.mark.parametrize("old", ["view.scale", "data.order", "init_layers"])
def test_renamed_keys_in_a_file(old, tmp_path):
    lines = [HEAD, "def get_config():", "    config = default_config()", f"    config.{old} = 1"]
    file = tmp_path / "mine.py"
    file.write_text("\n".join([*lines, "    return config"]))
    with pytest.raises(UserError, match=f"config.{old} is not a key; did you .*{NEW_KEYS[old]}"):
        load_config(str(file), [])


def test_every_renamed_key_names_a_present_key():
    keys = flatten(default_config())
    for old, new in NEW_KEYS.items():
        assert old not in keys
        assert new.partition("=")[0] in keys
