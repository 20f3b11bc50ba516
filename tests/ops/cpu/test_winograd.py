"""Chunks, memory and rounding of Winograd's convolution; test_dispatch.py tests its values."""

import jax.numpy as jnp
import numpy as np
import pytest
from barriers import can_be_heeded, temporary_bytes
from quick_jit import quick_jit

from flax_vision.ops.cpu import winograd
from flax_vision.ops.cpu.xla_convolution import Geometry, conv_xla

ONE = ((1, 1), (1, 1))


@pytest.mark.parametrize(
    ("images", "expected"), [(2, [2]), (3, [2, 1]), (8, [2] * 4), (9, [3] * 3), (13, [4, 4, 4, 1])]
)
def test_chunks_have_some_images_and_are_at_most_four(images, expected, monkeypatch):
    """Each has two images or more: a tile takes 128 bytes, and an image has six."""
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 2 * 6 * 128)
    chunks = winograd._chunks((images, 3, 5, 8), pixel_bytes=8)
    assert [len(chunk.images) for chunk in chunks] == expected
    assert {chunk.rows for chunk in chunks} == {range(3)}


@pytest.mark.parametrize(
    ("images", "expected"), [(1, [4, 4, 4, 1]), (2, [8, 5] * 2), (3, [13] * 3), (4, [13] * 4)]
)
def test_few_images_are_divided_into_an_even_number_of_rows(images, expected, monkeypatch):
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 1)
    chunks = winograd._chunks((images, 13, 5, 8), pixel_bytes=8)
    assert [len(chunk.rows) for chunk in chunks] == expected
    assert all(chunk.rows.start % 2 == 0 and len(chunk.images) == 1 for chunk in chunks)


IMAGES = (4, 32, 32, 32)
FORMS = {
    "convolution": (lambda x, kernel: winograd.conv_winograd(x, kernel, IMAGES, ONE), 1.5),
    "kernel_gradient": (lambda x, kernel: winograd.kernel_gradient_winograd(x, x + 1, ONE), 3.2),
}
"""Forms, and the limits of their temporary memory, in arrays of the images."""


@can_be_heeded
@pytest.mark.parametrize("name", FORMS)
def test_chunks_reuse_memory(name, monkeypatch):
    """jaxlib 0.10 takes three times as much without barriers."""
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 1 << 18)
    function, arrays = FORMS[name]
    x, kernel = jnp.ones(IMAGES), jnp.ones((3, 3, 32, 32))
    assert temporary_bytes(function, x, kernel) < arrays * x.nbytes


def test_winograd_is_exact_in_whole_numbers():
    random = np.random.default_rng(0)
    x = jnp.asarray(random.integers(-4, 5, (2, 8, 10, 3)), jnp.float32)
    # Multiples of the divisors in a kernel's transform, so nothing is rounded.
    kernel = jnp.asarray(4 * random.integers(-4, 5, (3, 3, 3, 5)), jnp.float32)
    geometry = Geometry((2, 6, 8, 5), 1, ((0, 0), (0, 0)))
    expected = conv_xla(x, kernel, geometry)
    shape, _, padding = geometry
    y = quick_jit(lambda x, kernel: winograd.conv_winograd(x, kernel, shape, padding))(x, kernel)
    np.testing.assert_array_equal(y, expected)
