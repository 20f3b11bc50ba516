"""Training steps with mixup and CutMix."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from flax_vision.data.augmentation import Augmentation
from flax_vision.data.batches import Batch
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.runtime.mesh import make_mesh
from flax_vision.training.config_schema import default_config
from flax_vision.training.losses import make_loss
from flax_vision.training.optimizers import make_optimizer
from flax_vision.training.partitioning import Partitioner
from flax_vision.training.schedules import make_plateau
from flax_vision.training.state import TrainSpec, TrainState
from flax_vision.training.step import TrainFunctions

pytestmark = pytest.mark.slow

RATE = 0.1
BOTH = Augmentation(mixup=0.4, cutmix=1.0)
EVERYTHING = Augmentation(
    random_affine=0.2,
    rotation=10.0,
    trivial_augment=True,
    color_jitter=0.2,
    hue=0.1,
    pad_and_crop=2,
    flip=True,
    vertical_flip=True,
    random_erasing=0.5,
    mixup=0.4,
    cutmix=1.0,
)
PREPROCESSING = Preprocessing((128.0,), (64.0,))


class Linear(nn.Module):
    """A linear model with its logits as an auxiliary head too."""

    has_head: bool = False

    @nn.compact
    def __call__(self, images, *, train=False):
        logits = nn.Dense(4, use_bias=False)(images.reshape(images.shape[0], -1))
        if self.has_head:
            self.sow("intermediates", "aux1", logits)
        return logits


@pytest.fixture
def batch(digits):
    mask = np.arange(8) != 1
    return Batch(digits.images[:8], digits.labels[:8], mask, np.arange(8, dtype=np.int32))


def step_once(
    batch, augmentation=BOTH, loss="cross_entropy", has_head=False, devices=1, class_weights=()
) -> tuple[TrainState, np.ndarray]:
    """Returns the state after a step, and the kernel before it."""
    config = default_config()
    config.optimizer.momentum = 0.0
    spec = TrainSpec(
        make_loss(loss, 3.0),
        make_optimizer(config.optimizer),
        optax.constant_schedule(RATE),
        make_plateau(config.schedule),
        augmentation=augmentation,
        aux_weight=0.5,
        class_weights=class_weights,
    )
    partitioner = Partitioner(make_mesh(data=devices))
    functions = TrainFunctions(Linear(has_head), spec, PREPROCESSING, batch, partitioner)
    train_step = functions.compile_training()
    state = functions.init(0)
    kernel = np.asarray(state.params["Dense_0"]["kernel"])
    return train_step(state, partitioner.shard_batch(batch)), kernel


def image_keys(batch):
    """Returns the keys of the images in the first epoch of seed 0."""
    _, run_key = jax.random.split(jax.random.key(0))
    epoch_key = jax.random.fold_in(jax.random.split(run_key)[1], 0)
    return jax.vmap(functools.partial(jax.random.fold_in, epoch_key))(batch.indices)


@pytest.mark.parametrize("loss", ["cross_entropy", "lenet5_map"])
def test_step_is_gradient_descent_on_the_losses_of_both_labels(loss, batch):
    state, kernel = step_once(batch, loss=loss)
    keys, images = image_keys(batch), PREPROCESSING(batch.images)
    images, shares = jax.jit(BOTH.mix)(images, keys, batch.mask)
    loss_of = make_loss(loss, 3.0)

    def mean_loss(kernel):
        logits = images.reshape(8, -1) @ kernel
        both = shares * loss_of(logits, batch.labels)
        both += (1 - shares) * loss_of(logits, batch.labels[::-1])
        return both @ (batch.mask / np.float32(7)), logits

    (mean, logits), gradient = jax.value_and_grad(mean_loss, has_aux=True)(jnp.asarray(kernel))
    after = state.params["Dense_0"]["kernel"]
    np.testing.assert_allclose(after, kernel - RATE * gradient, rtol=1e-4, atol=1e-6)
    assert float(state.totals.loss) == pytest.approx(7 * float(mean), rel=1e-5)
    right = np.argmax(logits, axis=1) == batch.labels  # the own label has the larger share
    assert int(state.totals.top1) == (right & batch.mask).sum()
    assert float(shares[6]) == 1  # its partner is unreadable
    assert (np.delete(shares, 6) < 1).sum() >= 5


def test_each_label_of_a_mixed_image_has_the_weight_of_its_class(batch):
    class_weights = np.array([1.0, 4.0, 0.0, 0.5], np.float32)
    batch = batch._replace(labels=np.array([0, 1, 2, 3, 2, 1, 2, 1], np.int32))
    state, kernel = step_once(batch, class_weights=tuple(class_weights.tolist()))
    images = PREPROCESSING(batch.images)
    images, shares = jax.jit(BOTH.mix)(images, image_keys(batch), batch.mask)
    one_hot, share = np.eye(4, dtype=np.float32)[batch.labels], np.asarray(shares)[:, None]
    soft = share * one_hot + (1 - share) * one_hot[::-1]
    weighted = soft * class_weights * batch.mask[:, None]

    def loss(kernel):
        log_probabilities = jax.nn.log_softmax(images.reshape(8, -1) @ kernel)
        return -(weighted * log_probabilities).sum() / weighted.sum(), log_probabilities

    gradient, log_probabilities = jax.grad(loss, has_aux=True)(jnp.asarray(kernel))
    after = state.params["Dense_0"]["kernel"]
    np.testing.assert_allclose(after, kernel - RATE * gradient, rtol=1e-4, atol=1e-6)
    reported = -(soft * log_probabilities).sum(axis=1) @ batch.mask.astype(
        np.float32
    )  # without class weights
    assert float(state.totals.loss) == pytest.approx(float(reported), rel=1e-5)


def test_auxiliary_heads_have_the_mixed_loss_too(batch):
    (plain, kernel), (headed, _) = step_once(batch), step_once(batch, has_head=True)
    once, more = (np.asarray(x.params["Dense_0"]["kernel"]) - kernel for x in (plain, headed))
    np.testing.assert_allclose(more, 1.5 * once, rtol=1e-4, atol=1e-7)


def test_partners_are_on_other_devices(batch):
    """Devices hold neighboring images, so that the mirrored position is on another one."""
    one, two = (step_once(batch, devices=devices)[0] for devices in (1, 2))
    chex.assert_trees_all_close(one.params, two.params, rtol=1e-5, atol=1e-6)
    assert float(one.totals.loss) == pytest.approx(float(two.totals.loss), rel=1e-6)


def test_all_augmentations_on_several_devices(batch):
    one, two, four = (step_once(batch, EVERYTHING, devices=devices)[0] for devices in (1, 2, 4))
    for other in (two, four):
        chex.assert_trees_all_close(one.params, other.params, rtol=1e-4, atol=1e-5)
        assert int(one.totals.top1) == int(other.totals.top1)
