"""What each config file does with nothing else said, in a few of its steps on the digits."""

from pathlib import Path

import jax
import numpy as np
import pytest
from tiny_folders import ignore

from flax_vision.data.batches import training_batches
from flax_vision.training.config_file import load_config
from flax_vision.training.setup import prepare

CONFIGS = Path(__file__).parents[2] / "configs"


def losses(name: str, steps: int, **settings) -> np.ndarray:
    """Returns the loss of each of the first steps of a run that is as short as they are."""
    config = load_config(str(CONFIGS / f"{name}.py"), ["--config.epochs=1"])
    config.data.validation = 1 - config.batch_size * steps / 4000
    setup = prepare(config, ignore)
    assert setup.total_steps == steps
    train_step, state = setup.program.compile_training(), setup.program.init(config.seed)
    sums = [0.0]
    for batch in training_batches(setup.parts.train, config.batch_size, config.seed, 0):
        state = train_step(state, batch)
        sums.append(float(jax.device_get(state.totals.loss)))
    assert not int(state.bad_step)
    return np.diff(sums) / config.batch_size


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["lenet5", "alexnet", "vgg16", "googlenet", "resnet50", "resnet20"]
)
def test_recipe_starts_and_learns(name):
    found = losses(name, 25)
    print(name, found.round(2))
    assert found[-5:].mean() < 0.9 * found[:5].mean()
