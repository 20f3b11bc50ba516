"""How well a network does on a whole set."""

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from flax_vision.data.batches import Batch
from flax_vision.evaluation.metrics import Totals

_WAITING = 2
"""Steps at the most that are handed to the device while another runs."""


def average(
    eval_step: Callable[[Any, Batch], Totals],
    variables: Any,
    batches: Iterable[Batch],
    poll: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Returns the averages over batches; each image that their masks have counts once.

    Args:
      eval_step: compiled, from the variables and a batch to its totals.
      variables: of the network.
      batches: of a set, with at least one image.
      poll: called before each batch; it may raise to leave early.
    """
    return total(eval_step, variables, batches, poll).averages()


def total(
    eval_step: Callable[[Any, Batch], Totals],
    variables: Any,
    batches: Iterable[Batch],
    poll: Callable[[], None] = lambda: None,
) -> Totals:
    """Returns the sums over batches, float64 []; see `average`."""
    totals = []
    for batch in batches:
        poll()
        totals.append(eval_step(variables, batch))
        if len(totals) > _WAITING:  # for steps that wait for their turn hold their images
            jax.block_until_ready(totals[-_WAITING])
    # Added on the host, in double precision: single would lose images in a long sum of losses.
    sums = jax.tree.map(np.float64, jax.device_get(totals))
    return functools.reduce(operator.add, sums)
