"""Four CPU devices, no network, strict types, and warnings that fail."""

import gc
import os
import socket
import sys
import tempfile

from flax_vision.runtime import xla_flags

# Before JAX is imported anywhere.
DEVICES = "--xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"
# Many tests, and the programs that they start, compile the same steps. Each of pytest's processes
# has a cache of its own: JAX does not write its files at one stroke, and with a limit of its size,
# where JAX locks it, each new entry takes a tenth of a second.
_CACHE = tempfile.TemporaryDirectory()
os.environ["XDG_CACHE_HOME"] = _CACHE.name
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
# Most of the time of the tests is compilation; see `full_optimization`.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
# As in programs, except a flag that makes convolutions in double precision slow.
os.environ["XLA_FLAGS"] = " ".join([DEVICES, *xla_flags.accepted([xla_flags.BARRIERS])])

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from flax_vision.data import custom_datasets
from flax_vision.data.dataset import ArrayDataset
from flax_vision.models import catalog, registry
from flax_vision.training.config_loader import load_config

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = Path(__file__).parents[1]

pytest_plugins = ["publishing", "saved_models"]


@pytest.fixture
def digits() -> ArrayDataset:
    """Forty small random images of four classes."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 8, 8, 1), np.uint8)
    return ArrayDataset(images, np.arange(40, dtype=np.int32) % 4, ["a", "b", "c", "d"])


@pytest.fixture
def files_are_damaged() -> Iterator[None]:
    """For tests that damage files: Orbax's coroutines, left in the middle, end with the test.

    Ended by the garbage collector later, they can disturb whatever is running then.
    """
    yield
    gc.collect()


@pytest.fixture(scope="module")
def full_optimization() -> Iterator[None]:
    """Compiles as programs do, for tests whose time is not compilation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS")
        jax.config.update("jax_disable_most_optimizations", False)
        yield
        jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def quick_generator() -> Iterator[None]:
    """Random numbers of a generator that compiles at once.

    The default one takes most of the time that an initialization takes to compile.
    """
    with jax.default_prng_impl("unsafe_rbg"):
        yield


@pytest.fixture
def temporary_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Removes the models and datasets that a test registers, and the modules that do so."""
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    monkeypatch.setattr(catalog, "CUSTOM_ENTRIES", {})
    monkeypatch.setattr(custom_datasets, "_DATASETS", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("examples", "mymodels"):
            del sys.modules[name]


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def small_config() -> ConfigDict:
    """A run of the modern LeNet-5 on the embedded digits: three epochs of three steps."""
    overrides = ["model.name=lenet5_modern", "batch_size=256", "epochs=3", "data.val_fraction=0.8"]
    overrides += ["write_report=False", "mesh.data=1"]
    return load_config(
        str(ROOT / "configs/lenet5.py"), [f"--config.{override}" for override in overrides]
    )


@pytest.fixture
def config(small_config: ConfigDict) -> ConfigDict:
    """The same, free to be changed."""
    return small_config.copy_and_resolve_references()
