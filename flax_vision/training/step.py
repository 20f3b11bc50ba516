"""The state of a run and the compiled functions that change it."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from flax_vision.data.batches import Batch
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.evaluation.metrics import Totals
from flax_vision.training.losses import Loss


class TrainState(struct.PyTreeNode):
    """Everything that decides what a run does next.

    Attributes:
      step: int32 [], steps done; with the seed it is the place in the order of the images.
      params: parameters of the network.
      statistics: its other collections, such as `batch_stats`.
      opt_state: of the optimiser.
      key: PRNG key of the run, the same at every step.
      totals: of the epoch so far.
      bad_step: int32 [], the first step whose loss was not finite, counted from 1; 0 for none.
    """

    step: jax.Array
    params: Any
    statistics: Any
    opt_state: optax.OptState
    key: jax.Array
    totals: Totals
    bad_step: jax.Array

    @property
    def variables(self) -> dict[str, Any]:
        """What the network's `apply` takes."""
        return {"params": self.params, **self.statistics}


class Program:
    """The functions of a run, each compiled once, for one batch size.

    Attributes:
      state: shapes, types and device of the TrainState.
      init: from an int32 seed to the first TrainState.
      train_step: from a TrainState, which it consumes, and a Batch to the next TrainState.
      eval_step: from the network's variables and a Batch to the Totals of the batch.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizer: optax.GradientTransformation,
        preprocessing: Preprocessing,
        batch: Batch,
    ) -> None:
        """Prepares the functions; nothing is compiled before `compile`.

        Args:
          model: the network.
          loss: what to minimise.
          optimizer: how.
          preprocessing: of the batch's images.
          batch: a batch such as there will be, or its shapes and types.
        """
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._preprocessing = preprocessing
        self._batch = batch
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        self.init = jax.jit(self._init)
        self.state: TrainState = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
            jax.eval_shape(self._init, jnp.int32(0)),
        )

    def compile(self) -> None:
        """Compiles both steps ahead of time, so that none compiles again in the middle of a run."""
        self.train_step = self.compile_training()
        self.eval_step = self.compile_evaluation()

    def compile_training(self) -> jax.stages.Compiled:
        """Returns the compiled training step."""
        train_step = jax.jit(self._train_step, donate_argnums=0)
        return train_step.lower(self.state, self._batch).compile()

    def compile_evaluation(self) -> jax.stages.Compiled:
        """Returns the compiled evaluation step."""
        eval_step = jax.jit(self._eval_step)
        return eval_step.lower(self.state.variables, self._batch).compile()

    def _init(self, seed: jax.Array) -> TrainState:
        init_key, run_key = jax.random.split(jax.random.key(seed))
        images = jnp.zeros((1, *self._batch.images.shape[1:]), jnp.float32)
        statistics = dict(self._model.init(init_key, images))
        params = statistics.pop("params")
        return TrainState(
            step=jnp.int32(0),
            params=params,
            statistics=statistics,
            opt_state=self._optimizer.init(params),
            key=run_key,
            totals=Totals.zero(),
            bad_step=jnp.int32(0),
        )

    def _train_step(self, state: TrainState, batch: Batch) -> TrainState:
        rngs = {"dropout": jax.random.fold_in(state.key, state.step)}
        images = self._preprocessing(batch.images)

        def objective(params: Any) -> tuple[jax.Array, tuple[Totals, Any]]:
            logits, statistics = self._model.apply(
                {"params": params, **state.statistics},
                images,
                train=True,
                rngs=rngs,
                mutable=list(state.statistics),
            )
            losses = self._loss(logits, batch.labels)
            totals = Totals.of_batch(losses, logits, batch.labels, batch.mask)
            return losses.mean(), (totals, statistics)

        grad = jax.value_and_grad(objective, has_aux=True)
        (loss, (totals, statistics)), gradient = grad(state.params)
        updates, opt_state = self._optimizer.update(gradient, state.opt_state, state.params)
        step = state.step + 1
        is_first_bad = (state.bad_step == 0) & ~jnp.isfinite(loss)
        return state.replace(
            step=step,
            params=optax.apply_updates(state.params, updates),
            statistics=statistics,
            opt_state=opt_state,
            totals=state.totals + totals,
            bad_step=jnp.where(is_first_bad, step, state.bad_step),
        )

    def _eval_step(self, variables: Any, batch: Batch) -> Totals:
        images = self._preprocessing(batch.images)
        logits: Any = self._model.apply(variables, images, train=False)
        losses = self._loss(logits, batch.labels)
        return Totals.of_batch(losses, logits, batch.labels, batch.mask)


@jax.jit
def is_finite(state: TrainState) -> jax.Array:
    """Returns bool [], whether every loss so far, parameter and statistic is finite."""
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    finite = jnp.stack([jnp.isfinite(x).all() for x in floats])
    return finite.all() & (state.bad_step == 0)
