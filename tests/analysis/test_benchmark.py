import time

import jax
import pytest

from flax_vision.analysis import benchmark


@pytest.fixture(scope="module")
def speed():
    with jax.default_prng_impl("unsafe_rbg"):  # compiles at once
        return benchmark.measure(
            "lenet5_modern",
            "training",
            4,
            image_size=None,
            seconds=0.01,
            started=time.monotonic(),
            options={},
        )


def test_operations_are_two_a_multiply_add_and_thrice_as_many_in_training(speed):
    assert speed.gigaflops == pytest.approx(3 * 2 * 4 * 416_520 / 1e9)


def test_times_are_of_steps(speed):
    assert len(speed.step_seconds) >= 3
    assert min(speed.step_seconds) > 0
    assert speed.compile_seconds < speed.ready_seconds
    assert speed.images_per_second == pytest.approx(4 / speed.step)


def test_row(speed):
    row = speed.row(limit=speed.gigaflops / speed.step * 2)
    assert row["GFLOP/s"].endswith("(50%)")
    assert (row["model"], row["mode"], row["batch"]) == ("lenet5_modern", "training", 4)


def test_the_step_that_does_not_count_is_not_timed():
    seconds = iter([1.0, 0.0, 0.0, 0.0])
    times = benchmark.time_steps(lambda: time.sleep(next(seconds) / 10), seconds=0)
    assert len(times) == 3
    assert max(times) < 0.1


def test_memory_is_in_bytes():
    assert 5e7 < benchmark.peak_bytes() < 1e12


@pytest.mark.slow
def test_the_speed_of_a_matrix_product_is_plausible(monkeypatch):
    time_steps = benchmark.time_steps
    monkeypatch.setattr(
        benchmark, "time_steps", lambda step, seconds: time_steps(step, seconds / 1000)
    )
    assert 1 < benchmark.matrix_product_gigaflops() < 1e5


def test_every_default_is_a_model():
    for name in benchmark.BATCH_SIZES:
        benchmark.create_model_and_batch(name, 1, 224, {})
