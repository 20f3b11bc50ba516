"""Measures the speed and memory of training and inference on this machine."""

import dataclasses
import importlib
import multiprocessing
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from flax_vision.data.augmentation import Augmentation
from flax_vision.data.batches import Batch
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.models.registry import create_model, find_variant, list_models, registered_by
from flax_vision.models.summary import summarize
from flax_vision.text import counted
from flax_vision.training.config_schema import default_config
from flax_vision.training.freeze import Layer, frozen_layers
from flax_vision.training.state import make_train_spec
from flax_vision.training.step import TrainFunctions

Mode = Literal["training", "inference"]

BATCH_SIZES = {
    "lenet5_modern": 128,
    "alexnet_owt": 32,
    "vgg16": 8,
    "googlenet_torchvision": 16,
    "resnet50_v1_5": 16,
}
"""Default models, one of each paper, and their batch sizes."""


@dataclass(frozen=True)
class Speed:
    """Measurement of one model in one mode.

    Attributes:
      model: Name of the model.
      mode: `"training"` for forward pass, backward pass and update; or `"inference"`.
      batch_size: Number of images in a step.
      image_size: Height and width of the images.
      step_seconds: Duration of each timed step.
      ready_seconds: Time from the start of the process to the end of its first step.
      compile_seconds: Duration of tracing and compiling.
      gigaflops: Floating-point operations of one step, in billions: two for each multiply-add, and
        three times as many in training.
      peak_bytes: Largest memory of the process.
    """

    model: str
    mode: Mode
    batch_size: int
    image_size: int
    step_seconds: list[float]
    ready_seconds: float
    compile_seconds: float
    gigaflops: float
    peak_bytes: int

    @property
    def step(self) -> float:
        """Duration of the median step in seconds."""
        return statistics.median(self.step_seconds)

    @property
    def images_per_second(self) -> float:
        """Throughput of the median step."""
        return self.batch_size / self.step

    def row(self, limit: float) -> dict[str, Any]:
        """Returns a row of the printed table.

        Args:
          limit: GFLOP/s of a large matrix product.
        """
        fastest, slowest = min(self.step_seconds), max(self.step_seconds)
        speed = self.gigaflops / self.step
        return {
            "model": self.model,
            "mode": self.mode,
            "batch": self.batch_size,
            "images/s": f"{self.images_per_second:,.1f}",
            "step, ms": f"{self.step * 1e3:,.1f} ({fastest * 1e3:,.1f} to {slowest * 1e3:,.1f})",
            "GFLOP/s": f"{speed:.0f} ({speed / limit:.0%})",
            "compiling, s": f"{self.compile_seconds:.1f}",
            "first step after, s": f"{self.ready_seconds:.1f}",
            "peak, GB": f"{self.peak_bytes / 1e9:.2f}",
        }


def check_model(name: str, image_size: int | None, options: Mapping[str, Any]) -> None:
    """Raises a UserError for an impossible model or image size."""
    height, width, channels = find_variant(name).image_shape
    model = create_model(name, **options)
    summarize(model, (image_size or height, image_size or width, channels))


def measure_in_subprocess(name: str, mode: Mode, batch_size: int, **settings: Any) -> Speed:
    """Calls `measure` in a new process, with fresh memory and caches.

    Raises:
      UserError: The memory does not suffice.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, _configure_child, (name, registered_by(name))) as pool:
        task = pool.submit(measure, name, mode, batch_size, started=time.monotonic(), **settings)
        try:
            return task.result()
        except (MemoryError, BrokenProcessPool) as error:
            raise UserError(
                f"{name} with {counted(batch_size, 'image')} in a step does not fit into memory; "
                "give a smaller --batch-size."
            ) from error


def _configure_child(name: str, module: str) -> None:
    """Ignores warnings that the parent process has given, and imports a custom model."""
    warnings.filterwarnings("ignore", "convolutions are slower|oneDNN's handlers|nothing is cached")
    if module and name not in list_models():
        importlib.import_module(module)


def measure(
    name: str,
    mode: Mode,
    batch_size: int,
    *,
    image_size: int | None,
    seconds: float,
    started: float,
    options: Mapping[str, Any],
) -> Speed:
    """Times the steps of a model on random images, in this process.

    Args:
      name: Name of the model.
      mode: `"training"` or `"inference"`.
      batch_size: Number of images in a step.
      image_size: Height and width of the images; None for the paper's.
      seconds: Duration of the measurement; at least three steps are timed, after two warm-up steps.
      started: `time.monotonic()` at the start of the process.
      options: Options of the model.
    """
    model, batch = create_model_and_batch(name, batch_size, image_size, options)
    start = time.monotonic()
    step, _ = compile_step(model, mode, batch)
    compiled = time.monotonic()
    step()
    ready = time.monotonic()
    return Speed(
        model=name,
        mode=mode,
        batch_size=batch_size,
        image_size=batch.images.shape[1],
        step_seconds=time_steps(step, seconds),
        ready_seconds=ready - started,
        compile_seconds=compiled - start,
        gigaflops=flops(model, mode, batch.images.shape) / 1e9,
        peak_bytes=peak_bytes(),
    )


def flops(model: nn.Module, mode: Mode, shape: tuple[int, ...]) -> int:
    """Returns the floating-point operations of a step on images [N, H, W, C]."""
    images, height, width, channels = shape
    rows = summarize(model, (height, width, channels))
    forward = 2 * images * sum(row.multiply_adds for row in rows if not row.is_auxiliary)
    return forward * (3 if mode == "training" else 1)


def time_steps(step: Callable[[], Any], seconds: float) -> list[float]:
    """Returns the duration of each call, at least three, after one warm-up call."""
    step()
    times: list[float] = []
    end = time.monotonic() + seconds
    while len(times) < 3 or time.monotonic() < end:
        start = time.monotonic()
        step()
        times.append(time.monotonic() - start)
    return times


def matrix_product_gigaflops() -> float:
    """Returns the speed of a large matrix product, an upper bound on this machine."""
    multiply, count = matrix_product()
    return count / min(time_steps(multiply, 2.0)) / 1e9


def matrix_product() -> tuple[Callable[[], Any], int]:
    """Returns a function that multiplies large matrices, and its floating-point operations."""
    size = 3072
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((size, size), np.float32))
    product = jax.jit(jnp.matmul)
    return lambda: product(matrix, matrix).block_until_ready(), 2 * size**3


def peak_bytes() -> int:
    """Returns the largest memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def create_model_and_batch(
    name: str, batch_size: int, image_size: int | None, options: Mapping[str, Any]
) -> tuple[nn.Module, Batch]:
    """Returns a model, and random images and labels of its classes; see `measure`."""
    height, width, channels = find_variant(name).image_shape
    model: Any = create_model(name, **options)
    random = np.random.default_rng(0)
    shape = (batch_size, image_size or height, image_size or width, channels)
    images = random.integers(0, 256, shape, np.uint8)
    labels = random.integers(0, model.num_classes, batch_size, np.int32)
    index = np.arange(batch_size, dtype=np.int32)
    return model, Batch(*jax.device_put((images, labels, np.ones(batch_size, bool), index)))


def compile_step(
    model: nn.Module,
    mode: Mode,
    batch: Batch,
    freeze: str = "",
    augmentation: Augmentation | None = None,
) -> tuple[Callable[[], Any], jax.stages.Compiled]:
    """Compiles the trainer's step.

    Args:
      model: The model.
      mode: `"training"` or `"inference"`.
      batch: Batch of the step.
      freeze: Regular expression of the frozen layers; empty for none.
      augmentation: Augmentation of the training images; None for none.

    Returns:
      A function that runs one step, and the compiled step.
    """
    config = default_config()
    config.epochs, config.optimizer.weight_decay = 1, 5e-4
    frozen: frozenset[Layer] = frozenset()
    if freeze:
        images = jax.ShapeDtypeStruct((1, *batch.images.shape[1:]), jnp.float32)
        params = jax.eval_shape(partial(model.init, jax.random.key(0)), images)["params"]
        frozen = frozen_layers(freeze, params)
    spec = make_train_spec(config, model, frozen, steps_per_epoch=1)
    spec = dataclasses.replace(spec, augmentation=augmentation or Augmentation())
    functions = TrainFunctions(model, spec, Preprocessing([127.5], [60.0]), batch)
    if mode == "inference":
        variables = _random_variables(functions)
        evaluate = functions.compile_evaluation()
        return lambda: jax.block_until_ready(evaluate(variables, batch)), evaluate
    train = functions.compile_training()
    states = [functions.init(0)]

    def step() -> None:
        states[0] = jax.block_until_ready(train(states[0], batch))

    return step, train


def _random_variables(functions: TrainFunctions) -> Any:
    """Returns small random variables of the model's shapes.

    They arrive as from a checkpoint: initialization takes more memory than inference.
    """
    random = np.random.default_rng(0)

    def draw(like: jax.ShapeDtypeStruct) -> jax.Array:
        if len(like.shape) < 2:  # biases; scales, means and variances of batch normalization
            return jnp.ones(like.shape, like.dtype)
        return jax.device_put((random.random(like.shape, np.float32) - 0.5) * 0.05)

    return jax.tree.map(draw, jax.eval_shape(lambda: functions.init(0).variables))
