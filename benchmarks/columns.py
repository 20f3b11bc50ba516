"""Cost of AlexNet's training step with one device per column, against the loop on one device.

    python benchmarks/columns.py

Both devices are emulated on this CPU, so the division can only cost time. Each side is a separate
process with the programs' allocator settings, and the sides take turns. A ratio compares the
medians of one round.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

import flax_vision as fv
from flax_vision.models.alexnet import AlexNet
from flax_vision.runtime import allocator
from flax_vision.runtime.mesh import make_mesh, parameter_shardings

SIDES = {"one device": 1, "two columns": 2}


class Side:
    """A process with some devices, and the compiled step on them."""

    def __init__(self, columns: int, batch_size: int, image_size: int) -> None:
        os.environ[allocator.TUNABLES] = allocator.KEEP
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, spawn, compile_step, (columns, batch_size, image_size))
        self.seconds(2)

    def seconds(self, steps: int) -> list[float]:
        return self._pool.submit(time_steps, steps).result()


_step: Callable[[], Any]


def compile_step(columns: int, batch_size: int, image_size: int) -> None:
    """Compiles the step in this process."""
    global _step
    jax.config.update("jax_num_cpu_devices", columns)
    mesh = make_mesh(column=columns)
    model = fv.create_model("alexnet", mesh=mesh)
    optimizer = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(1e-4, momentum=0.9))
    random = np.random.default_rng(0)
    images = random.standard_normal((batch_size, image_size, image_size, 3), np.float32)
    labels = random.integers(0, 1000, batch_size, np.int32)
    batch = jax.device_put((images, labels), NamedSharding(mesh, PartitionSpec()))

    def init(key: jax.Array) -> Any:
        params = model.init(key, images[:1])["params"]
        return params, optimizer.init(params)

    def train(state: Any, images: jax.Array, labels: jax.Array, key: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            logits = model.apply({"params": params}, images, train=True, rngs={"dropout": key})
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        params, optimizer_state = state
        gradients = jax.grad(loss)(params)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        return optax.apply_updates(params, updates), optimizer_state

    key = jax.random.key(0, impl="unsafe_rbg")
    shardings = parameter_shardings(jax.eval_shape(init, key), mesh, AlexNet.column_layers)
    states = [jax.jit(init, out_shardings=shardings)(key)]
    compiled = jax.jit(train, out_shardings=shardings, donate_argnums=0)
    key = jax.random.key(0)

    def step() -> None:
        states[0] = jax.block_until_ready(compiled(states[0], *batch, key))

    _step = step


def time_steps(steps: int) -> list[float]:
    """Returns the seconds of each step."""
    times = []
    for _ in range(steps):
        begun = time.monotonic()
        _step()
        times.append(time.monotonic() - begun)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--steps", type=int, default=4, help="steps of each side in a round (default: 4)"
    )
    options = parser.parse_args()
    sides = {
        name: Side(columns, options.batch_size, options.image_size)
        for name, columns in SIDES.items()
    }
    seconds: dict[str, list[list[float]]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, side in sides.items():
            seconds[name].append(side.seconds(options.steps))
    size = options.image_size
    print(f"alexnet {size}x{size}, batch {options.batch_size}: milliseconds a step, median")
    for name, rounds in seconds.items():
        times = sorted(1e3 * step for steps in rounds for step in steps)
        print(f"  {name:12} {statistics.median(times):8.1f} ({times[0]:.1f} to {times[-1]:.1f})")
    medians = [[statistics.median(steps) for steps in rounds] for rounds in seconds.values()]
    ratios = sorted(two / one for one, two in zip(*medians, strict=True))
    print(f"  ratio        {statistics.median(ratios):8.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
