"""The compiled functions that initialize, train and evaluate a model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from flax_vision.data.batches import Array, Batch
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.evaluation.batch_statistics import batch_statistics_only
from flax_vision.evaluation.class_metrics import EvalTotals
from flax_vision.evaluation.metrics import Totals
from flax_vision.models.googlenet import auxiliary_logits
from flax_vision.models.layer_paths import frozen_collection
from flax_vision.training.freeze import keep_frozen, merge_params, trainable_params
from flax_vision.training.losses import mean_loss, mixed_loss, mixed_weights
from flax_vision.training.optimizers import running_average
from flax_vision.training.partitioning import Partitioner
from flax_vision.training.state import TrainSpec, TrainState


@dataclass(eq=False)
class TrainFunctions:
    """The functions of a run, each compiled once, for one batch size.

    All but `init` and `eval_step` consume the state that they get.

    Attributes:
      model: Model to train.
      spec: Specification of the training.
      preprocessing: Preprocessing of the images.
      batch: A batch, or its shapes and types.
      partitioner: Placement of the state and the batches; by default on the first device.
      state: Shapes, types and shardings of the TrainState.
      init: Function of an int32 seed that returns the first TrainState.
      train_step: Function of a TrainState and a Batch that returns the next TrainState.
      train_steps: Function like `train_step` for several batches, as arrays [K, ...].
      begin_epoch: Function of a TrainState and a Batch of samples that returns the TrainState with
        their curvature; only for a `TrainSpec` with one.
      eval_step: Function of the model's variables and a Batch that returns its EvalTotals.
      end_epoch: Function of a TrainState and the epoch's validation error (float32 [], NaN for
        none) that returns the TrainState for the next epoch.
    """

    model: nn.Module
    spec: TrainSpec
    preprocessing: Preprocessing
    batch: Batch
    partitioner: Partitioner = field(default_factory=Partitioner)

    def __post_init__(self) -> None:
        """Defines the functions; `compile` compiles them."""
        abstract: Any = jax.ShapeDtypeStruct
        sharding = self.partitioner.batch_sharding()
        self._batch = Batch(*(abstract(x.shape, x.dtype, sharding=sharding) for x in self.batch))
        state = jax.eval_shape(self._init, jnp.int32(0))
        shardings = self.partitioner.state_shardings(state)
        self.state: TrainState = jax.tree.map(
            lambda x, sharding: abstract(x.shape, x.dtype, sharding=sharding), state, shardings
        )
        self._jit_update = partial(jax.jit, donate_argnums=0, out_shardings=shardings)
        self.init = self._on_mesh(jax.jit(self._init, out_shardings=shardings))
        self.train_steps = self._serialize(self._on_mesh(self._jit_update(self._train_steps)))
        self.begin_epoch = self._on_mesh(self._jit_update(self._begin_epoch))

    def _on_mesh(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Sets the mesh while a function is traced, for layers that divide themselves."""
        if self.partitioner.mesh.size == 1:
            return function

        @wraps(function)
        def with_mesh(*args: Any) -> Any:
            with jax.set_mesh(self.partitioner.mesh):
                return function(*args)

        return with_mesh

    def _serialize(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Serializes steps on emulated CPU devices; overlapping steps can deadlock.

        A device that is ahead may take the thread that another needs for a collective.
        """
        if self.partitioner.mesh.size == 1 or jax.default_backend() != "cpu":
            return function
        return lambda *args: jax.block_until_ready(function(*args))

    def compile(self) -> None:
        """Compiles the functions ahead of the run."""
        self.train_step = self._serialize(self.compile_training())
        self.eval_step = self._serialize(self.compile_evaluation())
        error = jax.ShapeDtypeStruct((), jnp.float32)
        self.end_epoch = self._compile(self._jit_update(self._end_epoch), self.state, error)

    def compile_training(self) -> jax.stages.Compiled:
        """Returns the compiled training step."""
        return self._compile(self._jit_update(self._train_step), self.state, self._batch)

    def compile_evaluation(self) -> jax.stages.Compiled:
        """Returns the compiled evaluation step."""
        step = jax.jit(self._eval_step, out_shardings=self.partitioner.replicated)
        return self._compile(step, self.state.variables, self._batch)

    def compile_summary(self, summarize: Callable[[Any, Any], Any]) -> jax.stages.Compiled:
        """Returns a compiled function of a TrainState and a Batch, which changes neither.

        Args:
          summarize: Function of the parameters and of the gradients for the batch.
        """

        def summary(state: TrainState, batch: Batch) -> Any:
            params = self._gather(trainable_params(state.params, self.spec.frozen))
            gradients, _ = jax.grad(self._loss_fn(state, batch), has_aux=True)(params)
            return summarize(state.params, gradients)

        step = jax.jit(summary, out_shardings=self.partitioner.replicated)
        return self._compile(step, self.state, self._batch)

    def compile_batch_statistics(self) -> Callable[[TrainState, Batch], Any]:
        """Returns a compiled function that computes the statistics of one batch.

        It takes a TrainState and a Batch, and returns the collection `batch_stats`. The batch is
        augmented as in the state's step. The weights are the averaged ones, as in an evaluation.
        """

        def batch_statistics(state: TrainState, batch: Batch) -> Any:
            state = state.replace(params=state.variables["params"])
            params = self._gather(trainable_params(state.params, self.spec.frozen))
            with batch_statistics_only():
                _, (_, updated) = self._loss_fn(state, batch)(params)
            return keep_frozen(state.statistics, updated, self.spec.frozen)["batch_stats"]

        step = jax.jit(batch_statistics, out_shardings=self.partitioner.replicated)
        return self._serialize(self._compile(step, self.state, self._batch))

    def _compile(self, function: Any, *args: Any) -> jax.stages.Compiled:
        compiled: jax.stages.Compiled = self._on_mesh(function.lower)(*args).compile()
        return compiled

    def learning_rate(self, state: TrainState) -> jax.Array:
        """Returns the learning rate of the next step, float32 []."""
        return self.spec.schedule(state.step) * state.plateau.scale

    def _init(self, seed: jax.Array) -> TrainState:
        init_key, run_key = jax.random.split(jax.random.key(seed))
        images = self.preprocessing(jnp.zeros((1, *self._batch.images.shape[1:]), jnp.uint8))
        statistics = dict(self.model.init(init_key, images))
        params = statistics.pop("params")
        trainable = trainable_params(params, self.spec.frozen)
        return TrainState(
            step=jnp.int32(0),
            params=params,
            statistics=statistics,
            opt_state=self.spec.optimizer.init(trainable),
            average=jax.tree.map(jnp.copy, trainable) if self.spec.ema_decay else None,
            plateau=self.spec.plateau.init(params),
            key=run_key,
            totals=Totals.zero(),
            bad_step=jnp.int32(0),
        )

    def _train_step(self, state: TrainState, batch: Batch) -> TrainState:
        loss_and_grad = jax.value_and_grad(self._loss_fn(state, batch), has_aux=True)
        params = trainable_params(state.params, self.spec.frozen)
        (loss, (totals, statistics)), grads = loss_and_grad(self._gather(params))
        grads = self._constrain(grads, self.partitioner.state_shardings)
        updates, opt_state = self.spec.optimizer.update(
            grads, state.opt_state, params, learning_rate=self.learning_rate(state)
        )
        step = state.step + 1
        params = optax.apply_updates(params, updates)
        average = state.average
        if average is not None:
            average = running_average(average, params, step, self.spec.ema_decay)
        is_first_bad = (state.bad_step == 0) & ~jnp.isfinite(loss)
        return state.replace(
            step=step,
            params=merge_params(state.params, params) if self.spec.frozen else params,
            statistics=keep_frozen(state.statistics, statistics, self.spec.frozen),
            opt_state=opt_state,
            average=average,
            totals=state.totals + totals,
            bad_step=jnp.where(is_first_bad, step, state.bad_step),
        )

    def _gather(self, params: Any) -> Any:
        """Returns the parameters as a step uses them.

        Without the constraint XLA may gather the images of a convolution instead of its kernel.
        """
        return self._constrain(params, self.partitioner.use_shardings)

    def _constrain(self, tree: Any, shardings: Callable[[Any], Any]) -> Any:
        if self.partitioner.mesh.size == 1:
            return tree
        return jax.lax.with_sharding_constraint(tree, shardings(tree))

    def _train_steps(self, state: TrainState, batches: Batch) -> TrainState:
        state, _ = jax.lax.scan(lambda s, batch: (self._train_step(s, batch), None), state, batches)
        return state

    def _begin_epoch(self, state: TrainState, samples: Batch) -> TrainState:
        assert self.spec.curvature is not None
        images, labels = self.preprocessing(samples.images), jnp.asarray(samples.labels)
        curvature = self.spec.curvature(self._gather(state.params), images, labels)
        return state.replace(opt_state=curvature)

    def _loss_fn(self, state: TrainState, batch: Batch) -> Callable[[Any], Any]:
        """Returns the loss as a function of the trained parameters."""
        dropout_key, image_key = jax.random.split(state.key)
        rngs = {"dropout": jax.random.fold_in(dropout_key, state.step)}
        epoch_key = jax.random.fold_in(image_key, state.step // self.spec.steps_per_epoch)
        keys = jax.vmap(lambda index: jax.random.fold_in(epoch_key, index))(batch.indices)
        images = self.spec.augmentation(batch.images, keys, self.preprocessing)
        loss = reported_loss = self.spec.loss
        weights = self._class_weights(batch.labels)
        if self.spec.augmentation.mixes:
            images, shares = self.spec.augmentation.mix(images, keys, batch.mask)
            loss = reported_loss = mixed_loss(loss, shares)
            if weights is not None:
                weights, shares = mixed_weights(weights, shares)
                loss = mixed_loss(self.spec.loss, shares)
        frozen = self.spec.frozen

        def loss_fn(params: Any) -> tuple[jax.Array, tuple[Totals, Any]]:
            # Frozen parameters are constants, so no gradient goes through layers before the first
            # trained one.
            merged = merge_params(self._gather(state.params), params) if frozen else params
            marked = {"frozen": frozen_collection(frozen)} if frozen else {}
            applied: Any = self.model.apply(
                {"params": merged, **state.statistics, **marked},
                images,
                train=True,
                rngs=rngs,
                mutable=[*state.statistics, "intermediates"],
            )
            logits, updated = applied
            losses = reported_loss(logits, batch.labels)
            totals = Totals.of_batch(losses, logits, batch.labels, batch.mask)
            if loss is not reported_loss:
                losses = loss(logits, batch.labels)
            for aux_logits in auxiliary_logits(updated.pop("intermediates", {})):
                losses += self.spec.aux_weight * loss(aux_logits, batch.labels)
            return mean_loss(losses, batch.mask, weights), (totals, updated)

        return loss_fn

    def _class_weights(self, labels: Array) -> jax.Array | None:
        """Returns the weights of images by their classes, float32 [N]; None for equal weights."""
        weights = self.spec.class_weights
        return jnp.asarray(weights, jnp.float32)[labels] if weights else None

    def _end_epoch(self, state: TrainState, error: jax.Array) -> TrainState:
        with jax.numpy_dtype_promotion("standard"):  # Optax counts in integers
            _, after = self.spec.plateau.update({}, state.plateau, value=error)
        plateau = jax.tree.map(partial(jnp.where, jnp.isnan(error)), state.plateau, after)
        return state.replace(totals=Totals.zero(), plateau=plateau)

    def _eval_step(self, variables: Any, batch: Batch) -> EvalTotals:
        images = self.preprocessing(batch.images)
        logits: Any = self.model.apply(self._gather(variables), images, train=False)
        losses = (self.spec.eval_loss or self.spec.loss)(logits, batch.labels)
        return EvalTotals.of_batch(losses, logits, batch.labels, batch.mask)
