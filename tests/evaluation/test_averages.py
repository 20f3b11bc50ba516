from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.batches import evaluation_batches
from flax_vision.evaluation.averages import average
from flax_vision.evaluation.metrics import Totals


@jax.jit
def eval_step(variables, batch):
    pixels = batch.images.reshape(len(batch.labels), -1)[:, :4]
    logits = jnp.asarray(pixels, jnp.float32) * variables
    losses = jax.nn.logsumexp(logits / 255, axis=1)
    return Totals.of_batch(losses, logits, batch.labels, batch.mask)


@pytest.mark.parametrize("batch_size", [1, 7, 16, 40, 64])
def test_result_does_not_depend_on_the_batch_size(digits, batch_size):
    result = average(eval_step, jnp.float32(1), evaluation_batches(digits, batch_size))
    pixels = digits.images.reshape(40, -1)[:, :4].astype(int)
    right = pixels[np.arange(40), digits.labels]
    larger = (pixels >= right[:, None]).sum(axis=1) - 1
    assert result["top1"] == (larger == 0).mean()
    assert result["top5"] == 1
    losses = np.log(np.exp(pixels / 255).sum(axis=1))
    assert result["loss"] == pytest.approx(losses.mean(), rel=1e-6)


def test_poll_can_leave_early(digits):
    poll = Mock(side_effect=[None, None, InterruptedError])
    with pytest.raises(InterruptedError):
        average(eval_step, jnp.float32(1), evaluation_batches(digits, 10), poll)
    assert poll.call_count == 3
