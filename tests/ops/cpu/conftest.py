"""Operands of a convolution, and both lowerings of the primitives."""

import jax
import pytest
from conv_forms import xla
from jax.sharding import AxisType
from random_arrays import random_array

from flax_vision.ops.cpu import onednn_library


@pytest.fixture(scope="module", params=["with oneDNN", "without"])
def library(request):
    """Selects the lowering; JAX's caches would reuse the other."""
    if request.param == "with oneDNN" and onednn_library.unavailable_reason() is not None:
        pytest.skip("there is no oneDNN for this machine")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "without":
            patch.setattr(onednn_library, "unavailable_reason", lambda: "a test disables it")
        jax.clear_caches()
        yield request.param
    jax.clear_caches()


@pytest.fixture(scope="module")
def operands():
    return random_array(0, (4, 8, 9, 3)), random_array(1, (3, 3, 3, 5))


@pytest.fixture(scope="module", params=[(5,), (2, 5)], ids=["bias", "scale and bias"])
def affine(request):
    return random_array(2, request.param)


@pytest.fixture(scope="module", params=["with residual", "without"])
def epilogue_operands(operands, affine, request):
    """Images, kernel, a bias or a scale and a bias, and in one case a residual."""
    has_residual = request.param == "with residual"
    residual = (random_array(4, xla(*operands).shape),) if has_residual else ()
    return *operands, affine, *residual


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
