"""The same run on other meshes of four emulated devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flax_vision.data.batches import Batch, evaluation_batches, training_batches
from flax_vision.data.dataset import ArrayDataset
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.models import alexnet, vgg
from flax_vision.models.registry import create_model
from flax_vision.runtime.mesh import make_mesh
from flax_vision.training import partitioning
from flax_vision.training.config_schema import default_config
from flax_vision.training.losses import make_loss
from flax_vision.training.optimizers import make_optimizer
from flax_vision.training.partitioning import Partitioner, make_partitioner
from flax_vision.training.schedules import make_plateau
from flax_vision.training.state import TrainSpec
from flax_vision.training.step import TrainFunctions

BATCH = 8


class InDoublePrecision:
    """A model whose steps differ by the mesh alone.

    Devices add in another order. In single precision a sum can round to the other side of 0. Then
    the gradient through a ReLU changes by up to 1 %, and the difference grows with each step. In
    double precision ten steps differ by 1e-14. LeNet-5 computes the distances to its codes in
    single precision, and differs by 1e-6.
    """

    def __init__(self, model):
        self.model = model.clone(dtype=jnp.float64)
        self.apply = self.model.apply

    def init(self, *operands):
        return jax.tree.map(lambda x: x.astype(jnp.float64), self.model.init(*operands))


@pytest.fixture
def double_precision():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def functions_for(name, shape, devices, **options) -> TrainFunctions:
    config = default_config()
    config.optimizer.weight_decay = 1e-3
    spec = TrainSpec(
        make_loss("cross_entropy", 0.0),
        make_optimizer(config.optimizer),
        optax.constant_schedule(1e-3),
        make_plateau(config.schedule),
        ema_decay=0.9,
    )
    model = create_model(name, num_classes=10, **options)
    model = InDoublePrecision(model) if jax.config.jax_enable_x64 else model
    return TrainFunctions(model, spec, Preprocessing((128.0,), (64.0,)), batch_of(shape), devices)


def batch_of(shape, step=0) -> Batch:
    random = np.random.default_rng(step)
    images = random.integers(0, 256, (BATCH, *shape), np.uint8)
    labels = random.integers(0, 10, BATCH, np.int32)
    return Batch(images, labels, np.ones(BATCH, bool), np.arange(BATCH, dtype=np.int32))


def after_steps(functions, shape, steps=10):
    train_step, state = functions.compile_training(), functions.init(0)
    for step in range(steps):
        batch = functions.partitioner.shard_batch(batch_of(shape, step))
        state = jax.block_until_ready(train_step(state, batch))
    return state


def on_each_mesh(name, steps=10):
    """Returns the states on one device, on four, and divided among four."""
    shape, meshes = (
        FAMILIES[name],
        (partitioner_on(1), partitioner_on(4), partitioner_on(4, fsdp=True)),
    )
    options = OPTIONS.get(name, {})
    return [
        after_steps(functions_for(name, shape, mesh, **options), shape, steps) for mesh in meshes
    ]


def numbers(state):
    """Returns the comparable arrays on the host."""
    return jax.device_get(state.replace(key=None, plateau=None))


def partitioner_on(devices, fsdp=False):
    return Partitioner(make_mesh(data=devices), fsdp)


def assert_close(actual, expected, tolerance=1e-5):
    """Within so much of the largest number of each array."""

    def compare(a, b):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(np.abs(b).max(), 1e-6))

    jax.tree.map(compare, numbers(actual), numbers(expected))


FAMILIES = {
    "lenet5": (28, 28, 1),
    "alexnet": (67, 67, 3),
    "vgg_a": (32, 32, 3),
    "resnet_cifar": (16, 16, 3),
}
OPTIONS = {"resnet_cifar": {"n": 1}}


@pytest.fixture
def smaller(monkeypatch):
    """Divides most of the small models, and makes the large models small."""
    monkeypatch.setattr(partitioning, "_MIN_SIZE", 256)
    monkeypatch.setattr(
        partitioning, "_MIN_SIZE_IN_USE", 1 << 19
    )  # so that fc7 alone is divided in use
    monkeypatch.setattr(alexnet, "FC_UNITS", 512)
    monkeypatch.setattr(vgg, "FC_UNITS", 1024)
    narrow = ("3-8", "3-16", "3-32 3-32", "3-64 3-64", "3-64 3-64")
    monkeypatch.setitem(vgg.TABLE_1, "A", narrow)


@pytest.mark.slow
@pytest.mark.usefixtures("smaller", "double_precision", "quick_generator")
@pytest.mark.parametrize("name", FAMILIES)
def test_ten_steps_on_four_devices_are_those_on_one(name):
    one, four, divided = on_each_mesh(name)
    assert {x.dtype for x in jax.tree.leaves(one.params)} == {np.dtype(np.float64)}
    assert_close(four, one)
    specs = [x.sharding.spec for x in jax.tree.leaves(divided.params) if x.size >= 256]
    assert len(specs) >= 3
    assert sum("data" in spec for spec in specs) > len(specs) / 2
    assert_close(divided, one)


@pytest.mark.slow
@pytest.mark.usefixtures("smaller")
def test_a_step_in_single_precision_on_four_devices_is_that_on_one():
    """The CPU kernels are used; the tolerance is the gradient of one ReLU."""
    one, four, divided = on_each_mesh("resnet_cifar", steps=1)
    assert_close(four, one, 0.02)
    assert_close(divided, one, 0.02)


@pytest.mark.slow
def test_divided_vgg16_takes_a_third_of_what_it_takes_whole_while_it_steps():
    """A quarter is its state; besides there are the images' maps, and a layer's whole kernel."""
    whole, divided = [
        functions_for("vgg16", (224, 224, 3), partitioner_on(4, fsdp))
        .compile_training()
        .memory_analysis()
        for fsdp in (False, True)
    ]
    assert divided.argument_size_in_bytes < 0.26 * whole.argument_size_in_bytes
    assert divided.temp_size_in_bytes < 0.35 * whole.temp_size_in_bytes
    assert bytes_of(divided) < bytes_of(whole) / 3


def bytes_of(memory) -> int:
    return memory.argument_size_in_bytes + memory.temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.usefixtures("smaller", "double_precision")
@pytest.mark.parametrize(("data", "fsdp"), [(1, False), (2, True)])
def test_ten_steps_on_two_columns_are_those_on_one_device(data, fsdp):
    shape, mesh = (67, 67, 3), make_mesh(data=data, column=2)
    layers = create_model("alexnet", mesh=mesh).column_layers
    divided = functions_for("alexnet", shape, Partitioner(mesh, fsdp, layers), mesh=mesh)
    state = after_steps(divided, shape)
    kernel = state.params["conv1"]["kernel"]
    # Nowhere, and at no moment, are both columns' kernels.
    whole = f"f64[{','.join(map(str, kernel.shape))}]"
    assert kernel.dtype == np.float64
    assert whole not in divided.compile_training().as_text()
    assert kernel.addressable_shards[0].data.nbytes * 2 * data == kernel.nbytes
    in_use = divided.partitioner.use_shardings(state.params)["fc7"]["kernel"]
    assert ("data" in in_use.spec) == fsdp
    kernel = state.params["fc7"]["kernel"]
    assert kernel.addressable_shards[0].data.nbytes * 2 * data == kernel.nbytes
    assert_close(state, after_steps(functions_for("alexnet", shape, partitioner_on(1)), shape))


@pytest.mark.parametrize("devices", [1, 2])
def test_shard_batch_divides_every_array_among_the_devices(devices):
    batch = batch_of((8, 8, 1))
    sharded = partitioner_on(devices).shard_batch(batch)
    for array, expected in zip(sharded, batch, strict=True):
        assert array.sharding.num_devices == devices
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [4, 5, 6, 7]])
@pytest.mark.parametrize(
    "batches_of", [partial(training_batches, seed=0, epoch=0), evaluation_batches]
)
def test_of_each_batch_a_process_reads_its_own_images_alone(batches_of, rows, digits, monkeypatch):
    images, read, original = digits.take(np.arange(38)), [], ArrayDataset.batches
    whole = list(batches_of(images, 8))
    monkeypatch.setattr(
        ArrayDataset,
        "batches",
        lambda self, each, epoch: read.extend(each) or original(self, each, epoch),
    )
    own = list(batches_of(images, 8, rows=np.array(rows)))
    for shard, batch in zip(own, whole, strict=True):
        jax.tree.map(np.testing.assert_array_equal, shard, Batch(*(x[rows] for x in batch)))
    assert {len(places) for places in read} == {4}


def test_batch_that_does_not_divide_is_mended_by_all_processes_alike(config, monkeypatch):
    config.update_from_flattened_dict({"batch_size": 30, "mesh.data": 0})
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(UserError, match="among 4 devices; give --config.batch_size=32.$"):
        make_partitioner(config)


def test_model_that_needs_its_columns_on_one_device(config):
    with config.unlocked():
        config.model = {"name": "alexnet", "lrn": "caffe"}
    config.mesh.column = 2
    with pytest.raises(UserError, match="config.mesh: lrn is 'caffe', which sums over both col"):
        make_partitioner(config)
