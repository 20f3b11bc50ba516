"""Winograd's convolution: how it is cut, what it takes and how it rounds.

That it is the convolution, and the gradient for the kernel, is tested with the other forms.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from barriers import can_be_heeded, temporary_bytes
from quick_jit import quick_jit

from flax_vision.ops.cpu import xla_convolution
from flax_vision.ops.cpu import winograd
from flax_vision.ops.cpu.xla_convolution import Geometry

ONE = ((1, 1), (1, 1))


@pytest.mark.parametrize(
    ("images", "expected"), [(2, [2]), (3, [2, 1]), (8, [2] * 4), (9, [3] * 3), (13, [4, 4, 4, 1])]
)
def test_pieces_are_of_some_images_and_at_most_four(images, expected, monkeypatch):
    """Of two images each, or more: a tile of an image takes 128 bytes, and there are six."""
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 2 * 6 * 128)
    pieces = winograd._pieces((images, 3, 5, 8), channels_bytes=8)
    assert [len(piece.images) for piece in pieces] == expected
    assert {piece.rows for piece in pieces} == {range(3)}


@pytest.mark.parametrize(
    ("images", "expected"), [(1, [4, 4, 4, 1]), (2, [8, 5] * 2), (3, [13] * 3), (4, [13] * 4)]
)
def test_few_images_are_cut_into_an_even_number_of_rows(images, expected, monkeypatch):
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 1)
    pieces = winograd._pieces((images, 13, 5, 8), channels_bytes=8)
    assert [len(piece.rows) for piece in pieces] == expected
    assert all(piece.rows.start % 2 == 0 and len(piece.images) == 1 for piece in pieces)


IMAGES = (4, 32, 32, 32)
FORMS = {
    "convolution": (lambda x, kernel: winograd.conv(x, kernel, IMAGES, ONE), 1.5),
    "kernel_gradient": (lambda x, kernel: winograd.kernel_gradient(x, x + 1, ONE), 3.2),
}
"""Each form, and the temporary memory that it may take, in arrays of the images."""


@can_be_heeded
@pytest.mark.parametrize("name", FORMS)
def test_pieces_take_the_memory_of_each_other(name, monkeypatch):
    """If XLA heeds barriers; jaxlib 0.10 takes three times as much without them."""
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 1 << 18)
    function, arrays = FORMS[name]
    x, kernel = jnp.ones(IMAGES), jnp.ones((3, 3, 32, 32))
    assert temporary_bytes(function, x, kernel) < arrays * x.nbytes


def test_winograd_is_exact_in_whole_numbers():
    random = np.random.default_rng(0)
    x = jnp.asarray(random.integers(-4, 5, (2, 8, 10, 3)), jnp.float32)
    # Multiples of what the transform of a kernel divides by, so that nothing is rounded.
    kernel = jnp.asarray(4 * random.integers(-4, 5, (3, 3, 3, 5)), jnp.float32)
    geometry = Geometry((2, 6, 8, 5), 1, ((0, 0), (0, 0)))
    expected = xla_convolution.conv(x, kernel, geometry)
    shape, _, padding = geometry
    y = quick_jit(lambda x, kernel: winograd.conv(x, kernel, shape, padding))(x, kernel)
    np.testing.assert_array_equal(y, expected)
