"""The primitives, lowered to oneDNN and to what there is without it, against XLA's convolution."""

import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from barriers import can_be_heeded, temporary_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from quick_jit import quick_jit
from random_arrays import random_array

from flax_vision.ops.cpu import convolution_primitives, onednn_library, winograd
from flax_vision.ops.cpu.xla_convolution import geometry_of

PADDING = ((1, 2), (0, 1))


def xla(x, kernel, stride=2, padding=PADDING):
    layouts = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=layouts
    )


def ours(x, kernel, stride=2, padding=PADDING, scale=None, bias=None, **after):
    geometry = geometry_of(x.shape, kernel.shape, stride, padding)
    return convolution_primitives.conv(x, kernel, factor, bias, geometry, **after)


def ours_to_the_end(x, kernel, affine, *added):
    """With a bias [K] or factors and a bias [2, K], perhaps maps, and the ReLU."""
    factor, bias = (None, *affine.reshape(-1, 5))[-2:]
    added = added[0] if added else None
    return ours(x, kernel, scale=factor, bias=bias, residual=added, relu=True)


def xla_to_the_end(x, kernel, affine, *added):
    *factors, shift = affine.reshape(-1, 1, 1, 1, 5)
    return jax.nn.relu(sum(added, math.prod(factors, start=xla(x, kernel)) + shift))


@pytest.fixture(scope="module", params=["with oneDNN", "without"], autouse=True)
def library(request):
    """What the primitives are lowered to; the caches would keep the other."""
    if request.param == "with oneDNN" and onednn_library.unavailable_reason() is not None:
        pytest.skip("there is no oneDNN for this machine")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "without":
            patch.setattr(onednn_library, "unavailable_reason", lambda: "a test disables it")
        jax.clear_caches()
        yield request.param
    jax.clear_caches()


def loss(convolution):
    """A function of images and kernel whose second derivatives are not constant."""
    return lambda x, kernel: (conv(x, kernel) ** 3).sum()


def gradients(convolution):
    return jax.grad(loss(convolution), (0, 1))


def assert_close(actual, expected):
    """Compares trees of arrays, each within 1e-5 of its largest number."""
    scale = lambda tree: [np.asarray(x) for x in jax.tree.leaves(tree)]  # noqa: E731
    for one, other in zip(scale(actual), scale(expected), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * abs(other).max())


@pytest.fixture(scope="module")
def operands():
    return random_array(0, (4, 8, 9, 3)), random_array(1, (3, 3, 3, 5))


@pytest.fixture(scope="module", params=[(5,), (2, 5)], ids=["bias", "factors and bias"])
def affine(request):
    return random_array(2, request.param)


@pytest.fixture(scope="module", params=["with maps added", "without"])
def more_operands(operands, affine, request):
    """Images, kernel, a bias or factors and a bias, and in one case maps that are added."""
    added = (random_array(4, xla(*operands).shape),) if request.param == "with maps added" else ()
    return *operands, affine, *added


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))


@partial(quick_jit, static_argnames=("convolution", "stride", "padding"))
def value_and_gradients(convolution, x, kernel, *, stride, padding):
    y, pull_back = jax.vjp(partial(conv, stride=stride, padding=padding), x, kernel)
    return y, pull_back(jnp.cos(y))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_values_and_gradients(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    kernel_shape = (draw(1, 5), draw(1, 5), draw(1, 9), draw(1, 9))
    padding = tuple((draw(0, 3), draw(0, 3)) for _ in range(2))
    sizes = [
        max(draw(1, 12), window - sum(pair))
        for window, pair in zip(kernel_shape, padding, strict=False)
    ]
    x, kernel = (
        random_array(0, (draw(1, 5), *sizes, kernel_shape[2])),
        random_array(1, kernel_shape),
    )
    geometry = {"stride": draw(1, 3), "padding": padding}

    assert_close(*(value_and_gradients(form, x, kernel, **geometry) for form in (ours, xla)))


@pytest.mark.parametrize("kernel", [(1, 1, 256, 512), (3, 3, 128, 128), (1, 1, 64, 200)])
def test_many_kernels(kernel):
    """oneDNN has its own layout for them, of blocks that may not divide their number."""
    operands = random_array(0, (2, 6, 6, kernel[2])), random_array(1, kernel) / 30
    assert_close(
        *(value_and_gradients(form, *operands, stride=1, padding=PADDING) for form in (ours, xla))
    )


def test_factors_multiply_the_maps_not_the_kernel(library):
    """A large kernel takes longer to multiply than the maps, which are passed over anyway.

    Without oneDNN XLA fuses the product with what follows; oneDNN makes it in its own pass.
    """
    shapes = [(2, 4, 4, 96), (3, 3, 96, 128), (2, 128)]
    operands = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]

    def form(x, kernel, affine):
        factor, bias = affine
        return ours(x, kernel, 1, ((1, 1), (1, 1)), factor, bias, relu=True)

    products = {
        platform: re.findall(
            r"stablehlo.multiply .*tensor<(\S+)xf32>",
            jax.jit(form).trace(*operands).lower(lowering_platforms=(platform,)).as_text(),
        )
        for platform in ("cpu", "cuda")
    }
    assert products["cpu"] == (["2x4x4x128"] if library == "without" else [])
    assert products["cuda"] == ["3x3x96x128"]


def test_bias(operands):
    def value_and_gradients(convolution):
        def weighted(x, kernel, bias):
            y = conv(x, kernel, bias)
            return (y * random_array(3, y.shape)).sum(), y

        value = jax.value_and_grad(weighted, (0, 1, 2), has_aux=True)
        return jax.jit(value)(*operands, random_array(2, (5,)))

    added = lambda x, kernel, bias: xla(x, kernel) + bias.reshape(1, 1, 1, -1)  # noqa: E731
    with_bias = lambda x, kernel, bias: ours(x, kernel, bias=bias)  # noqa: E731
    assert_close(value_and_gradients(with_bias), value_and_gradients(added))


def test_all_that_follows_in_the_same_pass(more_operands):
    def value_and_gradients(convolution):
        y, pull_back = jax.vjp(convolution, *more_operands)
        return y, pull_back(random_array(3, y.shape))

    assert_close(value_and_gradients(ours_to_the_end), value_and_gradients(xla_to_the_end))


def test_maps_are_added_without_a_bias_too(operands):
    added = random_array(4, xla(*operands).shape)
    actual = ours(*operands, residual=added, relu=True)
    assert_close(actual, jax.nn.relu(xla(*operands) + added))


def test_derivative_of_all_that_is_in_the_pass(more_operands):
    def along(convolution):
        return jax.jvp(convolution, more_operands, more_operands)

    assert_close(along(ours_to_the_end), along(xla_to_the_end))


def test_derivative_along_factors_and_bias_alone(more_operands):
    x, kernel, affine, *added = more_operands

    def along(convolution):
        return jax.jvp(lambda affine: conv(x, kernel, affine, *added), (affine,), (affine,))

    assert_close(along(ours_to_the_end), along(xla_to_the_end))


def test_where_the_relu_is_0_there_is_no_gradient(operands):
    x, kernel = (jnp.zeros_like(of) for of in operands)
    gradient = jax.grad(lambda bias: ours_to_the_end(x, kernel, bias).sum())(jnp.zeros(5))
    assert_close(gradient, jnp.zeros(5))


@pytest.mark.parametrize("which", range(3))
def test_relu_keeps_what_is_not_a_number(operands, affine, which):
    """So that a run whose numbers have gone is seen to have diverged."""
    broken = [*operands, affine]
    broken[which] = jnp.full_like(broken[which], jnp.nan)
    assert jnp.isnan(ours_to_the_end(*broken)).all()
    assert jnp.isnan(ours_to_the_end(*operands, affine, xla(*operands) * jnp.nan)).all()


def test_vmap_of_all_that_is_in_the_pass(more_operands):
    x, *others = more_operands
    many = jnp.stack([x, 2 * x])
    along = lambda convolution: jax.vmap(lambda x: conv(x, *others))(many)  # noqa: E731
    assert_close(along(ours_to_the_end), along(xla_to_the_end))


def test_derivatives_along_a_direction(operands):
    assert_close(jax.jvp(ours, operands, operands), jax.jvp(xla, operands, operands))


def test_second_derivatives(operands):
    def along(convolution):
        return jax.jit(lambda *of: jax.jvp(gradients(convolution), of, of))(*operands)

    def of_the_squared_gradient(convolution):
        def squares(*of):
            return sum((gradient**2).sum() for gradient in gradients(convolution)(*of))

        return jax.jit(jax.grad(squares, (0, 1)))(*operands)

    assert_close(along(ours), along(xla))
    assert_close(of_the_squared_gradient(ours), of_the_squared_gradient(xla))


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_vmap(operands, axes):
    many = [
        x if axis is None else jnp.stack([x, 2 * x]) for x, axis in zip(operands, axes, strict=True)
    ]
    assert_close(jax.vmap(ours, axes)(*many), jax.vmap(xla, axes)(*many))


def test_second_derivatives_of_all_that_follows(more_operands):
    def along(convolution):
        loss = lambda *of: (conv(*of) ** 3).sum()  # noqa: E731
        every = tuple(range(len(more_operands)))
        return jax.jit(lambda *of: jax.jvp(jax.grad(loss, every), of, of))(*more_operands)

    assert_close(along(ours_to_the_end), along(xla_to_the_end))


def test_rematerialization(operands):
    again = jax.jit(jax.grad(jax.checkpoint(loss(ours)), (0, 1)))
    assert_close(again(*operands), gradients(xla)(*operands))


def test_shard_map(operands, mesh):
    data, everywhere = PartitionSpec("data"), PartitionSpec()

    @partial(jax.shard_map, mesh=mesh, in_specs=(data, everywhere), out_specs=everywhere)
    def total(x, kernel):
        return jax.lax.psum(loss(ours)(x, kernel), "data")

    expected = gradients(xla)(*operands)
    assert_close(jax.jit(jax.grad(total, (0, 1)))(*operands), expected)

    @partial(jax.shard_map, mesh=mesh, in_specs=(data, everywhere), out_specs=everywhere)
    def kernel_gradient(x, kernel):
        return jax.grad(lambda kernel: loss(ours)(x, kernel))(kernel)  # the sum over devices

    assert_close(jax.jit(kernel_gradient)(*operands), expected[1])


def test_winograd_in_shard_map(mesh, monkeypatch):
    """Pieces are put together in an array that varies over the devices, as the images do."""
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 1 << 20)
    x, kernel = random_array(0, (8, 14, 14, 96)), random_array(1, (3, 3, 96, 96))
    one = ((1, 1), (1, 1))

    def total(convolution):
        return lambda x, kernel: (conv(x, kernel, 1, one) ** 2).sum()

    data, everywhere = PartitionSpec("data"), PartitionSpec()

    @partial(jax.shard_map, mesh=mesh, in_specs=(data, everywhere), out_specs=everywhere)
    def divided(x, kernel):
        return jax.lax.psum(total(ours)(x, kernel), "data")

    expected = jax.grad(total(xla), (0, 1))(x, kernel)
    assert_close(jax.jit(jax.grad(divided, (0, 1)))(x, kernel), expected)


@pytest.mark.parametrize(("channels", "count"), [(32, 3), (96, 0)])
def test_onednn_has_what_winograd_does_not(channels, count, library):
    """A convolution and its two gradients."""
    x, kernel = jnp.ones((8, 14, 14, channels)), jnp.ones((3, 3, channels, channels))
    convolution = partial(ours, stride=1, padding=((1, 1), (1, 1)))
    text = jax.jit(gradients(convolution)).lower(x, kernel).as_text()
    assert text.count("@flax_vision_") == (count if library == "with oneDNN" else 0)


def test_images_divided_among_devices(operands, mesh):
    x, kernel = operands
    x = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    kernel = jax.device_put(kernel, NamedSharding(mesh, PartitionSpec()))
    assert_close(jax.jit(gradients(ours))(x, kernel), gradients(xla)(*operands))


def test_it_is_as_reproducible_as_xla(operands):
    step = jax.jit(gradients(ours))
    first, second = step(*operands), step(*operands)
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_another_backend_gets_the_convolution_of_xla(operands):
    lowered = jax.jit(gradients(ours)).trace(*operands).lower(lowering_platforms=("cuda",))
    assert "stablehlo.convolution" in lowered.as_text()
    assert "flax_vision" not in lowered.as_text()


def test_each_device_convolves_its_own_images(more_operands, mesh):
    """The maps are nowhere gathered, and the gradients for kernel and bias are sums."""

    def value_and_gradients(convolution):
        def run(*operands):
            y, pull_back = jax.vjp(convolution, *operands)
            return y, pull_back(random_array(3, y.shape))

        return run

    data, everywhere = (
        NamedSharding(mesh, spec) for spec in (PartitionSpec("data"), PartitionSpec())
    )
    shardings = (data, everywhere, everywhere, data)[: len(more_operands)]
    operands = jax.device_put(tuple(more_operands), shardings)
    with jax.set_mesh(mesh):
        step = jax.jit(value_and_gradients(ours_to_the_end)).lower(*operands).compile()
    assert_close(step(*operands), value_and_gradients(xla_to_the_end)(*more_operands))
    program = step.as_text()
    assert "all-reduce" in program
    assert not re.search("all-gather|all-to-all|collective-permute", program)


@can_be_heeded
def test_of_a_relu_the_result_alone_is_kept():
    """Of six layers the memory is that of ten maps; with what the ReLUs were given, of thirteen."""
    kernels, x = [jnp.ones((3, 3, 24, 24))] * 6, jnp.ones((8, 16, 16, 24))

    def total(kernels):
        y = x
        for kernel in kernels:
            y = ours(y, kernel, stride=1, padding=((1, 1),) * 2, bias=jnp.ones(24), relu=True)
        return y.sum()

    assert temporary_bytes(jax.grad(total), kernels) < 11.5 * x.nbytes
