"""Learning rate range test: the training loss while the rate rises exponentially."""

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flax_vision.data.dataset import ProgressFn
from flax_vision.errors import UserError
from flax_vision.training.build import Experiment, build_experiment
from flax_vision.training.step import TrainFunctions

MIN_STEPS = 10
"""Smallest number of steps of a test."""

_SMOOTHING = 0.9
"""Decay of the exponential average of the losses."""

_DELAY = round(_SMOOTHING / (1 - _SMOOTHING))
"""Delay of the average in steps: the mean age of its losses."""

_DIVERGED = 4.0
"""Ratio of the smoothed loss to its minimum at which the test ends."""

_SMALLEST_FALL = 0.01
"""Share by which the smoothed loss must fall below its first value."""


@dataclass(frozen=True)
class RangeTest:
    """Result of a learning rate range test.

    Attributes:
      rates: float64 [N], learning rate of each step; they rise.
      losses: float64 [N], mean training loss of each step.
      smoothed: float64 [N], exponential average of the losses, with bias correction.
      suggestion: Rate at which the smoothed loss falls fastest, less the delay of the average.
      is_complete: Whether the loss did not diverge up to the largest rate.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float
    is_complete: bool


def find_learning_rate(
    config: ConfigDict,
    min_lr: float = 1e-6,
    max_lr: float = 10.0,
    steps: int = 100,
    on_progress: ProgressFn = lambda what, done, total: None,
) -> RangeTest:
    """Trains for some steps with a rising rate, and suggests a rate; writes no file.

    The configuration gives the model, the data and the optimizer; the test replaces its schedule.
    It ends when the smoothed loss is four times its minimum, or a loss is not finite.

    Args:
      config: Checked configuration.
      min_lr: First rate.
      max_lr: Last rate.
      steps: Number of rates, at least 10.
      on_progress: Function of a text, the number of finished images or steps and the number of all.

    Raises:
      UserError: The arguments or the data are not valid, or no rate lowers the loss.

    Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3.
    """
    check_range(min_lr, max_lr, steps)
    experiment = build_experiment(config, on_progress)
    accumulated = config.optimizer.grad_accum_steps
    rates = np.geomspace(min_lr, max_lr, steps)
    functions = _with_rates(experiment.functions, rates, accumulated)
    on_progress("compiling", 0, steps)
    functions.compile()
    losses: list[float] = []
    for loss in itertools.islice(_losses(experiment, functions, accumulated), steps):
        losses.append(loss)
        on_progress("steps", len(losses), steps)
        smoothed = smooth(losses)
        if not np.isfinite(loss) or smoothed[-1] > _DIVERGED * smoothed.min() > 0:
            break
    return analyze(rates, np.array(losses))


def check_range(min_lr: float, max_lr: float, steps: int) -> None:
    """Raises a UserError for rates that do not rise, or too few of them."""
    if not 0 < min_lr < max_lr < float("inf"):
        raise UserError(
            f"the rates rise from {min_lr:g} to {max_lr:g}; give a first rate above 0 and a last "
            "rate above the first."
        )
    if steps < MIN_STEPS:
        raise UserError(
            f"the test has {steps} steps, too few for a curve; give at least {MIN_STEPS}."
        )


def smooth(losses: list[float] | np.ndarray) -> np.ndarray:
    """Returns the exponential average of losses with bias correction, float64 [N].

    Args:
      losses: float [N].
    """
    average, smoothed = 0.0, []
    for number, loss in enumerate(losses, 1):
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        smoothed.append(average / (1 - _SMOOTHING**number))
    return np.array(smoothed)


def analyze(rates: np.ndarray, losses: np.ndarray) -> RangeTest:
    """Returns the result of a test.

    Args:
      rates: float64 [steps], all rates of the test.
      losses: float64 [N], losses at the first N rates; only the last may be not finite.

    Raises:
      UserError: The loss does not fall at the first rates, or at no rate.
    """
    is_complete = len(losses) == len(rates) and bool(np.isfinite(losses[-1]))
    last, losses = len(losses) - 1, losses[np.isfinite(losses)]
    smoothed = smooth(losses)
    lowest = int(smoothed.argmin()) if len(losses) else 0
    if len(losses) < MIN_STEPS or smoothed[lowest] > (1 - _SMALLEST_FALL) * smoothed[0]:
        raise _no_fall(rates, last, is_complete)
    rates = rates[: len(losses)]
    slopes = np.gradient(smoothed, np.log(rates))[: lowest + 1]
    return RangeTest(
        rates=rates,
        losses=losses,
        smoothed=smoothed,
        suggestion=float(rates[max(slopes.argmin() - _DELAY, 0)]),
        is_complete=is_complete,
    )


def _no_fall(rates: np.ndarray, last: int, is_complete: bool) -> UserError:
    if is_complete:
        return UserError(
            f"the loss falls at no rate from {rates[0]:g} to {rates[-1]:g}; give a higher --max-lr "
            "or more --steps, and check that layers are trained (config.freeze)."
        )
    return UserError(
        f"the loss diverges before it falls, at rate {rates[last]:.2g}, step "
        f"{last + 1}; give a --min-lr below {rates[0]:g}, or check that the pixels are normalized "
        "(config.data.mean and std)."
    )


def _with_rates(functions: TrainFunctions, rates: np.ndarray, accumulated: int) -> TrainFunctions:
    """Returns the functions with another schedule: each rate for `accumulated` batches."""
    table = jnp.asarray(rates, jnp.float32)

    def schedule(step: jax.typing.ArrayLike) -> jax.Array:
        return table[jnp.asarray(step) // accumulated]

    return dataclasses.replace(
        functions, spec=dataclasses.replace(functions.spec, schedule=schedule)
    )


def _losses(experiment: Experiment, functions: TrainFunctions, accumulated: int) -> Iterator[float]:
    """Yields the mean loss of every `accumulated` batches, epoch after epoch."""
    state = functions.init(experiment.config.seed).init_from(experiment.init_variables or {})
    done = 0
    for epoch in itertools.count():
        if functions.spec.curvature:
            state = functions.begin_epoch(state, experiment.curvature_batch(epoch))
        for batch in experiment.train_batches(epoch):
            state = functions.train_step(state, batch)
            done += 1
            if done % accumulated == 0:
                yield jax.device_get(state.totals).averages()["loss"]
                state = functions.end_epoch(state, np.float32(np.nan))  # begins new totals
