"""The compiled functions that change the state of a run."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from flax_vision.data.batches import Batch
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.evaluation.metrics import Totals
from flax_vision.models.googlenet import auxiliary_logits
from flax_vision.training.freeze import frozen_collection, merge_params, trainable_params
from flax_vision.training.optimizers import running_average
from flax_vision.training.partitioning import Partitioner
from flax_vision.training.state import TrainSpec, TrainState


class TrainFunctions:
    """The functions of a run, each compiled once, for one batch size.

    Attributes:
      state: shapes, types and shardings of the TrainState.
      placement: which devices have what of the state and of a batch.
      init: from an int32 seed to the first TrainState.
      train_step: from a TrainState, which it consumes, and a Batch to the next TrainState.
      train_steps: the same for several batches, each array with a leading axis [K, ...].
      begin_epoch: from a TrainState, which it consumes, and a Batch of samples to the TrainState
        with their curvature, where the recipe has one.
      eval_step: from the network's variables and a Batch to the Totals of the batch.
      end_epoch: from a TrainState, which it consumes, and the validation error of the epoch
        (float32 [], NaN for none) to the TrainState that the next begins with.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: TrainSpec,
        preprocessing: Preprocessing,
        batch: Batch,
        placement: Partitioner | None = None,
    ) -> None:
        """Prepares the functions; nothing is compiled before `compile`.

        Args:
          model: the network.
          recipe: how to train it.
          preprocessing: of the batch's images.
          batch: a batch such as there will be, or its shapes and types.
          placement: which devices have what; None for the first of this process.
        """
        self._model = model
        self._recipe = recipe
        self._preprocessing = preprocessing
        self.placement = placement or Partitioner()
        shape: Any = jax.ShapeDtypeStruct
        on_devices, everywhere = self.placement.of_batch(), self.placement.everywhere
        self._batch = Batch(*(shape(x.shape, x.dtype, sharding=on_devices) for x in batch))
        abstract = jax.eval_shape(self._init, jnp.int32(0))
        shardings = self.placement.of_state(abstract)
        self.state: TrainState = jax.tree.map(
            lambda x, sharding: shape(x.shape, x.dtype, sharding=sharding), abstract, shardings
        )
        self._next_state = partial(jax.jit, donate_argnums=0, out_shardings=shardings)
        self.init = self._on_mesh(jax.jit(self._init, out_shardings=shardings))
        self.train_steps = self._in_turn(self._on_mesh(self._next_state(self._train_steps)))
        self.begin_epoch = self._on_mesh(self._next_state(self._begin_epoch))
        self._evaluation = jax.jit(self._eval_step, out_shardings=everywhere)

    def _on_mesh(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Has a function traced for the mesh, for what divides itself among its devices."""
        if self.placement.mesh.size == 1:
            return function

        @wraps(function)
        def traced(*operands: Any) -> Any:
            with jax.set_mesh(self.placement.mesh):
                return function(*operands)

        return traced

    def _in_turn(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Has the devices that a CPU emulates begin a step when all are through with the last one.

        Else one that is ahead may take the thread that another needs to come to a communication.
        """
        if self.placement.mesh.size == 1 or jax.default_backend() != "cpu":
            return function
        return lambda *operands: jax.block_until_ready(function(*operands))

    def compile(self) -> None:
        """Compiles them ahead of time, so that nothing is compiled in the middle of a run."""
        self.train_step = self._in_turn(self.compile_training())
        self.eval_step = self._in_turn(self.compile_evaluation())
        error = jax.ShapeDtypeStruct((), jnp.float32)
        self.end_epoch = self._compiled(self._next_state(self._end_epoch), self.state, error)

    def compile_training(self) -> jax.stages.Compiled:
        """Returns the compiled training step."""
        return self._compiled(self._next_state(self._train_step), self.state, self._batch)

    def compile_evaluation(self) -> jax.stages.Compiled:
        """Returns the compiled evaluation step."""
        return self._compiled(self._evaluation, self.state.variables, self._batch)

    def _compiled(self, function: Any, *operands: Any) -> jax.stages.Compiled:
        compiled: jax.stages.Compiled = self._on_mesh(function.lower)(*operands).compile()
        return compiled

    def learning_rate(self, state: TrainState) -> jax.Array:
        """Returns the rate of the next step, float32 []."""
        return self._recipe.schedule(state.step) * state.plateau.scale

    def _init(self, seed: jax.Array) -> TrainState:
        init_key, run_key = jax.random.split(jax.random.key(seed))
        images = self._preprocessing(jnp.zeros((1, *self._batch.images.shape[1:]), jnp.uint8))
        statistics = dict(self._model.init(init_key, images))
        params = statistics.pop("params")
        trainable = trainable_params(params, self._recipe.frozen)
        return TrainState(
            step=jnp.int32(0),
            params=params,
            statistics=statistics,
            opt_state=self._recipe.optimizer.init(trainable),
            average=jax.tree.map(jnp.copy, trainable) if self._recipe.average else None,
            plateau=self._recipe.plateau.init(params),
            key=run_key,
            totals=Totals.zero(),
            bad_step=jnp.int32(0),
        )

    def _train_step(self, state: TrainState, batch: Batch) -> TrainState:
        objective = self._objective(state, batch)
        grad = jax.value_and_grad(objective, has_aux=True)
        params = trainable_params(state.params, self._recipe.frozen)
        (loss, (totals, statistics)), gradient = grad(self._gathered(params))
        gradient = self._placed(gradient, self.placement.of_state(gradient))
        updates, opt_state = self._recipe.optimizer.update(
            gradient, state.opt_state, params, learning_rate=self.learning_rate(state)
        )
        step = state.step + 1
        params = optax.apply_updates(params, updates)
        average = state.average
        if average is not None:
            average = running_average(average, params, step, self._recipe.average)
        is_first_bad = (state.bad_step == 0) & ~jnp.isfinite(loss)
        return state.replace(
            step=step,
            params=merge_params(state.params, params) if self._recipe.frozen else params,
            statistics=statistics,
            opt_state=opt_state,
            average=average,
            totals=state.totals + totals,
            bad_step=jnp.where(is_first_bad, step, state.bad_step),
        )

    def _gathered(self, params: Any) -> Any:
        """Returns the parameters as each share of a batch needs them.

        Of a convolution XLA, left to itself, may gather the images instead of the kernel.
        """
        return self._placed(params, self.placement.of_use(params))

    def _placed(self, tree: Any, shardings: Any) -> Any:
        if self.placement.mesh.size == 1:
            return tree
        return jax.lax.with_sharding_constraint(tree, shardings)

    def _train_steps(self, state: TrainState, batches: Batch) -> TrainState:
        state, _ = jax.lax.scan(lambda s, batch: (self._train_step(s, batch), None), state, batches)
        return state

    def _begin_epoch(self, state: TrainState, samples: Batch) -> TrainState:
        assert self._recipe.curvature is not None  # the caller's duty
        images, labels = self._preprocessing(samples.images), jnp.asarray(samples.labels)
        params = self._gathered(state.params)
        return state.replace(opt_state=self._recipe.curvature(params, images, labels))

    def _objective(self, state: TrainState, batch: Batch) -> Callable[[Any], Any]:
        """Returns the function of the trained parameters that a step descends."""
        dropout_key, image_key = jax.random.split(state.key)
        rngs = {"dropout": jax.random.fold_in(dropout_key, state.step)}
        epoch_key = jax.random.fold_in(image_key, state.step // self._recipe.steps_per_epoch)
        keys = jax.vmap(lambda index: jax.random.fold_in(epoch_key, index))(batch.indices)
        images = self._recipe.augmentation(batch.images, keys, self._preprocessing)

        frozen = self._recipe.frozen

        def objective(params: Any) -> tuple[jax.Array, tuple[Totals, Any]]:
            # Nothing is differentiated by what is frozen, so that no gradient goes through layers
            # before which nothing is trained.
            whole = merge_params(self._gathered(state.params), params) if frozen else params
            marked = {"frozen": frozen_collection(frozen)} if frozen else {}
            applied: Any = self._model.apply(
                {"params": whole, **state.statistics, **marked},
                images,
                train=True,
                rngs=rngs,
                mutable=[*state.statistics, "intermediates"],
            )
            logits, updated = applied
            losses = self._recipe.loss(logits, batch.labels)
            totals = Totals.of_batch(losses, logits, batch.labels, batch.mask)
            for head in auxiliary_logits(updated.pop("intermediates", {})):
                losses += self._recipe.auxiliary * self._recipe.loss(head, batch.labels)
            # The mean of those that count. Where that is all, the factor is 1, and changes no bit.
            factor = len(batch.mask) / jnp.maximum(batch.mask.sum(), 1).astype(jnp.float32)
            return jnp.where(batch.mask, losses * factor, 0).mean(), (totals, updated)

        return objective

    def _end_epoch(self, state: TrainState, error: jax.Array) -> TrainState:
        with jax.numpy_dtype_promotion("standard"):  # Optax counts in integers
            _, after = self._recipe.plateau.update({}, state.plateau, value=error)
        plateau = jax.tree.map(partial(jnp.where, jnp.isnan(error)), state.plateau, after)
        return state.replace(totals=Totals.zero(), plateau=plateau)

    def _eval_step(self, variables: Any, batch: Batch) -> Totals:
        images = self._preprocessing(batch.images)
        logits: Any = self._model.apply(self._gathered(variables), images, train=False)
        losses = self._recipe.loss(logits, batch.labels)
        return Totals.of_batch(losses, logits, batch.labels, batch.mask)
