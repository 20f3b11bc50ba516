"""Mixup and CutMix: training images mixed with another image of their batch."""

from functools import partial

import jax
import jax.numpy as jnp

from flax_vision.data.batches import Array
from flax_vision.data.geometric import rectangle_mask


def mix(
    images: jax.Array, keys: jax.Array, mask: Array, mixup: float, cutmix: float
) -> tuple[jax.Array, jax.Array]:
    """Mixes each image with its partner, the image at the mirrored position of the batch.

    Each image keeps a share of at least one half, so its own label has the larger share. An image
    stays unchanged if it is its own partner, or if its partner is unreadable.

    Args:
      images: float32 [N, H, W, C].
      keys: PRNG keys [N].
      mask: bool [N], False for unreadable images.
      mixup: Parameter alpha of the shares in mixup, a weighted mean of two images; 0 for none.
      cutmix: Parameter alpha of the shares in CutMix (`cutmix_weights`); 0 for none. With both,
        each image takes one of the two with probability 1/2.

    Returns:
      The mixed images, and the share of the own image, float32 [N].
    """
    draw = partial(_draw_weights, shape=images.shape[1:3], mixup=mixup, cutmix=cutmix)
    weights, shares = jax.vmap(draw)(keys)
    position = jnp.arange(len(images))
    is_mixed = jnp.asarray(mask)[::-1] & (position != position[::-1])
    weights = jnp.where(is_mixed[:, None, None], weights, 1)[..., None]
    mixed = weights * images + (1 - weights) * images[::-1]
    return mixed, jnp.where(is_mixed, shares, 1)


def _draw_weights(
    key: jax.Array, shape: tuple[int, ...], mixup: float, cutmix: float
) -> tuple[jax.Array, jax.Array]:
    """Returns the weight of each pixel of the own image, float32 [H, W], and their mean."""
    choice_key, share_key, center_key = jax.random.split(key, 3)
    if not cutmix:
        share = larger_share(share_key, mixup)
        return jnp.full(shape, share), share
    if not mixup:
        return cutmix_weights(center_key, shape, larger_share(share_key, cutmix))
    is_cutmix = jax.random.bernoulli(choice_key)
    share = larger_share(share_key, jnp.where(is_cutmix, cutmix, mixup))
    cut_weights, cut_share = cutmix_weights(center_key, shape, share)
    return jnp.where(is_cutmix, cut_weights, share), jnp.where(is_cutmix, cut_share, share)


def larger_share(key: jax.Array, alpha: float | jax.Array) -> jax.Array:
    """Returns the larger one of lambda and 1 - lambda, with lambda from Beta(alpha, alpha).

    Lambda is X / (X + Y) with X and Y from Gamma(alpha), so the logarithms decide.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412.
    """
    x, y = jax.random.loggamma(key, alpha, (2,))
    return jax.nn.sigmoid(jnp.abs(x - y))


def cutmix_weights(
    key: jax.Array, shape: tuple[int, ...], share: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the weight of each pixel, float32 [H, W], 0 in a rectangle, and their mean.

    The rectangle has the shape of the image and the share 1 - `share` of its area. Its center is
    anywhere in the image, and the border cuts off the rest.

    Source: Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", arXiv 1905.04899, section 3.1 and algorithm A1.
    """
    half = (jnp.array(shape, jnp.float32) * jnp.sqrt(1 - share)).astype(jnp.int32) // 2
    center = jax.random.randint(key, (2,), 0, jnp.array(shape))
    weights = jnp.where(rectangle_mask(shape, center - half, center + half), 0.0, 1.0)
    return weights, weights.mean()
