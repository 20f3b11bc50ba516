"""Loss, top-1 and top-5 as sums, so that an average counts every image once."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from flax_vision.data.batches import Array
from flax_vision.errors import UserError

TOP = 5
"""An image counts as right in `top5` if its class is among so many."""


def has_top5(classes: int) -> bool:
    """Returns whether `top5` says anything: of no more than five classes all is right."""
    return classes > TOP


class Totals(struct.PyTreeNode):
    """Sums over images.

    Attributes:
      loss: float32 [], the sum of the losses.
      top1: int32 [], images whose class has the largest logit.
      top5: int32 [], images whose class is among the five largest.
      count: int32 [], images.
    """

    loss: jax.Array
    top1: jax.Array
    top5: jax.Array
    count: jax.Array

    @classmethod
    def zero(cls) -> "Totals":
        """Returns the totals of no image."""
        return cls(jnp.float32(0), jnp.int32(0), jnp.int32(0), jnp.int32(0))

    @classmethod
    def of_batch(cls, losses: jax.Array, logits: jax.Array, labels: Array, mask: Array) -> "Totals":
        """Returns the totals of a batch.

        A logit as large as that of the right class counts as larger, so that a network whose
        outputs are all equal, or not finite, has nothing right.

        Args:
          losses: float32 [N].
          logits: float32 [N, classes].
          labels: int32 [N].
          mask: bool [N], False for images that do not count.
        """
        right = jnp.take_along_axis(logits, labels[:, None], axis=1)
        rank = jnp.sum(~(logits < right), axis=1) - 1

        def count(condition: Array) -> jax.Array:
            return jnp.sum(condition & mask, dtype=jnp.int32)

        loss = jnp.sum(jnp.where(mask, losses, 0))
        return cls(loss, count(rank < 1), count(rank < TOP), count(mask))

    def __add__(self, other: "Totals") -> "Totals":
        return jax.tree.map(lambda a, b: a + b, self, other)

    def averages(self) -> dict[str, float]:
        """Returns `loss`, `top1` and `top5` for each image; the last two between 0 and 1."""
        count = int(self.count)
        if not count:
            raise UserError(
                "no images were counted, for none of them could be read; look at one of them "
                "(on_error=stop says what is wrong with the first)."
            )
        sums: dict[str, Any] = {"loss": self.loss, "top1": self.top1, "top5": self.top5}
        return {name: float(total) / count for name, total in sums.items()}
