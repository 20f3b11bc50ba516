"""The forms of a convolution on a CPU against XLA's, and the choice between them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quick_jit import quick_jit
from random_arrays import random_array

from flax_vision.ops.cpu import dispatch, im2col, winograd, xla_convolution
from flax_vision.ops.cpu.xla_convolution import Geometry, geometry_of
from flax_vision.runtime import cpu_features

ONE = ((1, 1), (1, 1))


def compute_all(suffix, module, x, kernel, geometry):
    """Computes the convolution and, for a cotangent, its two gradients."""
    conv, input_gradient, kernel_gradient = (
        getattr(module, f"{name}_{suffix}")
        for name in ("conv", "input_gradient", "kernel_gradient")
    )
    y = conv(x, kernel, geometry)
    cotangent = random_array(2, y.shape)
    return (
        y,
        input_gradient(cotangent, kernel, geometry._replace(shape=x.shape)),
        kernel_gradient(x, cotangent, geometry._replace(shape=kernel.shape)),
    )


def compare(x_shape, kernel_shape, stride, padding):
    x, kernel = random_array(0, x_shape), random_array(1, kernel_shape)
    geometry = geometry_of(x_shape, kernel_shape, stride, padding)
    ours, theirs = (
        quick_jit(partial(compute_all, suffix, module, geometry=geometry))(x, kernel)
        for suffix, module in (("jax", dispatch), ("xla", xla_convolution))
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * abs(other).max())


@pytest.fixture
def small_chunks(monkeypatch):
    """Computes some rows of an image, or some images, at a time."""
    monkeypatch.setattr(im2col, "_CACHE_BYTES", 2000)
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 2000)
    monkeypatch.setattr(dispatch, "WINOGRAD_MIN_TILES", 1)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_values_and_gradients(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    channels = data.draw(st.sampled_from([1, 3, 8, 9, 24]))
    kernel = (draw(1, 5), draw(1, 5), channels, draw(1, 9))
    padding = tuple((draw(0, 3), draw(0, 3)) for _ in range(2))
    sizes = [
        max(draw(1, 40), window - sum(pair)) for window, pair in zip(kernel, padding, strict=False)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(im2col, "_CACHE_BYTES", data.draw(st.sampled_from([2000, 4 << 20])))
        compare((draw(1, 6), *sizes, channels), kernel, draw(1, 3), padding)


@pytest.mark.parametrize("channels", [2, 24], ids=["bands", "patches"])
@pytest.mark.parametrize("size", [5, 12])
@pytest.mark.usefixtures("small_chunks")
def test_chunks_of_images_and_rows(channels, size):
    compare((6, size, size, channels), (3, 3, channels, 4), 1, ONE)


@pytest.mark.parametrize(
    ("images", "height", "padding", "channels"),
    [
        pytest.param(1, 1, ONE, (96, 112), marks=pytest.mark.slow),
        pytest.param(3, 1, ((2, 2), (2, 2)), (112, 96), marks=pytest.mark.slow),
        (3, 2, ((0, 2), (1, 0)), (96, 112)),
        pytest.param(1, 5, ONE, (112, 96), marks=pytest.mark.slow),
        pytest.param(2, 5, ONE, (96, 112), marks=pytest.mark.slow),
        (3, 5, ONE, (96, 112)),
        pytest.param(1, 7, ((2, 1), (2, 1)), (96, 112), marks=pytest.mark.slow),
        pytest.param(3, 12, ONE, (112, 96), marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("small_chunks")
def test_winograd(images, height, padding, channels):
    """Divides rows, images and both; maps are even and odd; either operand is the wider."""
    compare((images, height + 2, 4, channels[0]), (3, 3, *channels), 1, padding)


@pytest.mark.parametrize("flags", ["flags: avx2", "flags: avx2 avx512f"])
@pytest.mark.usefixtures("small_chunks")
def test_kernel_gradients_of_many_images(flags, monkeypatch):
    monkeypatch.setattr(cpu_features, "flags", lambda: flags)
    compare((8, 6, 5, 24), (3, 3, 24, 16), 1, ONE)
    compare((8, 6, 5, 24), (3, 3, 24, 16), 2, ONE)


def is_winograd(jaxpr):
    """Tells whether there are sixteen products per chunk."""
    products = jaxpr.count("dot_general")
    return products > 0 and products % 16 == 0


def form(x, kernel, stride=1, padding=ONE):
    """Returns the form of the forward convolution, by its jaxpr."""
    geometry = geometry_of(x, kernel, stride, padding)
    function = partial(dispatch.conv_jax, geometry=geometry)
    text = str(jax.make_jaxpr(function)(jnp.ones(x), jnp.ones(kernel)))
    if "conv_general_dilated" in text:
        return "XLA"
    if is_winograd(text):
        return "Winograd"
    return "patches or bands" if "concatenate" in text else "product"


def test_most_shapes_use_xla():
    assert form((1, 224, 224, 48), (3, 3, 48, 64)) == "XLA"
    assert form((1, 32, 32, 16), (3, 3, 16, 16)) == "XLA"
    assert form((1, 8, 8, 64), (3, 3, 64, 64)) == "XLA"
    assert form((1, 14, 14, 16), (5, 5, 16, 48)) == "XLA"


def test_narrow_images_tiny_maps_and_pointwise_kernels_use_products():
    assert form((1, 28, 28, 1), (5, 5, 1, 6)) == "patches or bands"
    assert form((1, 32, 32, 3), (3, 3, 3, 16)) == "patches or bands"
    assert form((1, 224, 224, 3), (7, 7, 3, 64)) == "XLA"
    assert form((1, 2, 2, 64), (3, 3, 64, 64)) == "patches or bands"
    assert form((1, 3, 3, 64), (3, 3, 64, 64)) == "XLA"
    assert form((1, 56, 56, 64), (1, 1, 64, 256), padding=((0, 0), (0, 0))) == "product"


def test_many_channels_use_winograd():
    assert form((1, 28, 28, 512), (3, 3, 512, 512)) == "Winograd"
    assert form((1, 28, 28, 512), (3, 3, 512, 512), stride=2) != "Winograd"
    assert form((1, 224, 224, 64), (3, 3, 64, 208)) == "Winograd"
    assert form((1, 28, 28, 64), (3, 3, 64, 208)) == "Winograd"
    assert form((1, 28, 28, 208), (3, 3, 208, 63)) != "Winograd"
    assert form((2, 28, 28, 512), (5, 5, 512, 512), padding=((2, 2), (2, 2))) == "XLA"


def kernel_gradient_form(images, channels, window=3, stride=1):
    kernel, x = (window, window, channels, channels), jnp.ones((images, 14, 14, channels))
    y = jnp.ones(geometry_of(x.shape, kernel, stride, ONE).shape)
    gradient = partial(dispatch.kernel_gradient_jax, geometry=Geometry(kernel, stride, ONE))
    text = str(jax.make_jaxpr(gradient)(x, y))
    if "conv_general_dilated" in text:
        return "XLA"
    return "Winograd" if is_winograd(text) else "products"


@pytest.mark.parametrize(
    ("flags", "of_3x3", "of_5x5"),
    [
        ("", [], []),
        ("avx2", [2, 8, 24], [8, 15, 16]),
        ("avx2 avx512f", [24], [16]),
        ("avx512f amx_tile", [16, 24], [16]),
    ],
)
def test_kernel_gradients_by_xla(flags, of_3x3, of_5x5, monkeypatch):
    monkeypatch.setattr(cpu_features, "flags", lambda: f"flags: {flags}")
    form = kernel_gradient_form
    assert [channels for channels in (1, 2, 8, 16, 24) if form(8, channels) == "XLA"] == of_3x3
    assert [channels for channels in (8, 15, 16) if form(8, channels, window=5) == "XLA"] == of_5x5
    assert form(7, 8) == form(7, 24) == "products"
    assert form(8, 24, stride=2) == ("XLA" if flags == "avx2" else "products")


@pytest.mark.parametrize(("flags", "fewest"), [("avx2", 64), ("avx2 avx512f", 96)])
def test_kernel_gradients_by_winograd(flags, fewest, monkeypatch):
    monkeypatch.setattr(cpu_features, "flags", lambda: f"flags: {flags}")
    assert kernel_gradient_form(8, fewest) == "Winograd"
    assert kernel_gradient_form(8, fewest - 1) != "Winograd"
    assert kernel_gradient_form(1, 96) != "Winograd"
    assert kernel_gradient_form(8, 96, stride=2) != "Winograd"


def test_few_tiles_do_not_use_winograd():
    """The transform of the kernel would take longer than the products."""
    assert form((5, 7, 7, 512), (3, 3, 512, 512)) != "Winograd"
    assert form((6, 7, 7, 512), (3, 3, 512, 512)) == "Winograd"


def vgg_layer(channels, size):
    shape = (8, size, size, channels)
    return (3, 3, channels, channels), Geometry(shape, 1, ONE)


@pytest.mark.parametrize(("flags", "many"), [("avx2", [64, 95, 96]), ("avx2 avx512f", [96])])
def test_winograd_beats_onednn(flags, many, monkeypatch):
    monkeypatch.setattr(cpu_features, "flags", lambda: f"flags: {flags}")
    for beats in (dispatch.beats_onednn, dispatch.input_gradient_beats_onednn):
        assert [
            channels for channels in (63, 64, 95, 96) if beats(*vgg_layer(channels, 56))
        ] == many
        assert not beats((5, 5, 256, 256), Geometry((8, 14, 14, 256), 1, ONE))
        assert not beats((3, 3, 512, 512), Geometry((1, 14, 14, 512), 1, ONE))
        assert not beats((3, 3, 512, 512), Geometry((8, 14, 14, 512), 2, ONE))


@pytest.mark.parametrize(
    ("width", "stride", "padding", "expected"),
    [
        (8, 2, ((0, 0), (1, 0)), True),
        (8, 2, ((1, 0), (0, 0)), True),
        (8, 2, ((0, 1), (0, 1)), False),
        (8, 1, ONE, False),
        (7, 2, ONE, False),
    ],
)
def test_patches_gathered_by_onednn(width, stride, padding, expected, monkeypatch):
    """oneDNN gathers them forward, without AVX-512, by its own verbose output."""
    kernel, geometry = (3, width, 3, 64), Geometry((32, 55, 55, 64), stride, padding)
    monkeypatch.setattr(cpu_features, "flags", lambda: "flags: avx2")
    assert dispatch.beats_onednn(kernel, geometry) == expected
    assert not dispatch.input_gradient_beats_onednn(kernel, geometry)
    monkeypatch.setattr(cpu_features, "flags", lambda: "flags: avx2 avx512f")
    assert not dispatch.beats_onednn(kernel, geometry)


def test_large_padding_is_left_to_onednn():
    kernel, forward = vgg_layer(96, 56)
    for beats in (dispatch.beats_onednn, dispatch.input_gradient_beats_onednn):
        assert beats(kernel, forward._replace(padding=((2, 1), (1, 1))))
        assert not beats(kernel, forward._replace(padding=((3, 1), (1, 1))))


@pytest.mark.parametrize(
    ("images", "size", "kernel", "expected"),
    [
        (64, 4, (3, 3, 512, 512), True),
        (64, 2, (1, 1, 2048, 512), True),
        (64, 5, (1, 1, 2048, 512), False),
        (64, 4, (1, 1, 1024, 512), False),
        (15, 2, (3, 3, 512, 512), False),
    ],
)
def test_large_kernels_on_tiny_maps_beat_onednn(images, size, kernel, expected, monkeypatch):
    """Forward and backward, with AVX-512 too, unless there are few pixels in all."""
    monkeypatch.setattr(cpu_features, "flags", lambda: "flags: avx2 avx512f")
    maps = (images, size, size, kernel[3])
    beats = dispatch.beats_onednn(kernel, Geometry(maps, 1, ONE))
    of_gradient = dispatch.kernel_gradient_beats_onednn(maps, Geometry(kernel, 1, ONE))
    assert (beats, of_gradient) == (expected, expected)


def test_kernel_gradients_that_beat_onednn(monkeypatch):
    def beats(channels, kernels, size=3, images=8):
        kernel = (size, size, channels, kernels)
        y = (images, 56, 56, kernels)
        return dispatch.kernel_gradient_beats_onednn(y, Geometry(kernel, 1, ONE))

    monkeypatch.setattr(cpu_features, "flags", lambda: "flags: avx2")
    assert [channels for channels in (38, 39) if beats(channels, 8)] == [39]
    assert [images for images in (1, 7, 8) if beats(39, 64, images=images)] == [8]
    assert [images for images in (1, 7, 8) if beats(64, 64, images=images)] == [1, 7, 8]
    assert beats(3, 64, size=11)
    assert not beats(8, 64)
    assert not beats(512, 512, size=1)
    monkeypatch.setattr(cpu_features, "flags", lambda: "flags: avx2 avx512f")
    assert [channels for channels in (64, 96) if beats(channels, channels)] == [96]
    assert not beats(128, 128, size=5)
