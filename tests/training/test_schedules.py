"""The papers' rates, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.training.config_schema import default_config
from flax_vision.training.schedules import make_plateau, make_schedule


def rates(steps, epochs=100, steps_per_epoch=10, **settings):
    config = default_config().schedule
    config.update(settings)
    schedule = make_schedule(config, epochs, steps_per_epoch)
    return [float(schedule(step)) for step in steps]


def test_cosine_falls_from_the_rate_to_nothing():
    found = rates((0, 250, 500, 1000), name="cosine", lr=0.2)
    assert found == pytest.approx([0.2, 0.1 * (1 + 0.5**0.5), 0.1, 0.0], abs=1e-7)


@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_constant_stays(name):
    assert rates((0, 999), name=name, lr=0.25) == [0.25, 0.25]


def test_lenets_rates_by_pass():
    """Section III.B: 0.0005 for two passes, then 0.0002, 0.0001, 0.00005 and 0.00001."""
    found = rates(
        [60_000 * pass_ + offset for pass_ in range(20) for offset in (0, 59_999)],
        epochs=20,
        steps_per_epoch=60_000,
        name="piecewise",
        lr=0.0005,
        boundaries=(2, 5, 8, 12),
        decay_factors=(0.4, 0.2, 0.1, 0.02),
    )
    paper = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    assert found == pytest.approx(np.repeat(paper, 2), rel=1e-6)


def test_googlenets_four_per_cent_every_eight_epochs():
    found = rates((0, 79, 80, 159, 160), name="exponential", lr=0.01, factor=0.96, decay_epochs=8)
    assert found == pytest.approx([0.01, 0.01, 0.0096, 0.0096, 0.009216], rel=1e-6)


def test_one_cycle_rises_to_the_rate_and_falls():
    found = rates(range(0, 1000, 10), name="one_cycle", lr=0.1)
    top = int(np.argmax(found))
    assert max(found) == pytest.approx(0.1, rel=1e-3)
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert found[-1] < 0.001


def test_linear_warm_up():
    warm_up = {"epochs": 2.0, "name": "linear", "factor": 0.0}
    found = rates((0, 5, 10, 20, 21), name="constant", lr=0.4, warmup=warm_up)
    assert found == pytest.approx([0, 0.1, 0.2, 0.4, 0.4])


def test_resnet_110_begins_with_a_tenth():
    warm_up = {"epochs": 1.5, "name": "constant", "factor": 0.1}
    found = rates((0, 14, 15), name="constant", lr=0.1, warmup=warm_up)
    assert found == pytest.approx([0.01, 0.01, 0.1])


def scales(errors, **settings):
    config = default_config().schedule
    config.update({"name": "plateau", **settings})
    plateau = make_plateau(config)
    state = plateau.init({"w": jnp.ones(1)})
    found = []
    with jax.numpy_dtype_promotion("standard"):
        for error in errors:
            _, state = plateau.update({}, state, value=jnp.float32(error))
            found.append(float(state.scale))
    return found


def test_rate_falls_when_the_error_stops_falling():
    found = scales([0.5, 0.4, 0.41, 0.4, 0.3, 0.3, 0.3, 0.3], factor=0.1, patience=2, max_drops=3)
    assert found == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_rate_falls_so_often_and_no_more():
    found = scales([0.5] * 9, factor=0.1, patience=1, max_drops=3)
    assert found == pytest.approx([1, 0.1, 0.01, 0.001, *[0.001] * 5], rel=1e-5)


def test_other_schedules_never_fall():
    assert scales([0.5] * 9, name="constant", patience=1) == [1.0] * 9
