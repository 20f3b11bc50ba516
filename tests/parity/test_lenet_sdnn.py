"""LeNet-5 along a field, against a PyTorch function that was written from the paper alone."""

import jax
import numpy as np
import pytest

import flax_vision as fv
from flax_vision.models.lenet_codes import digit_codes
from flax_vision.models.lenet_sdnn import space_displacement

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")

from copying import relative, tensor
from reference_lenet import C3_INPUTS, scan

pytestmark = pytest.mark.slow


def random_variables(model):
    """Draws variables; every bias and coefficient differs."""
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 32, 32, 1), np.float32))

    def draw(leaf):
        inputs = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 4
        return random.standard_normal(leaf.shape, np.float32) / np.float32(inputs**0.5)

    return jax.tree.map(draw, shapes)


def c3_kernels(links):
    """Returns the kernels of C3 by the maps that they connect; links go by input map."""
    pairs = sorted((source, target) for target, own in enumerate(C3_INPUTS) for source in own)
    return {pair: torch.from_numpy(links[:, :, i].copy()) for i, pair in enumerate(pairs)}


@pytest.mark.parametrize("width", [32, 101])
def test_scores_of_all_positions(width):
    model = space_displacement(fv.create_model("lenet5"))
    variables = random_variables(model)
    params = variables["params"]
    random = np.random.default_rng(1)
    images = random.uniform(-0.1, 1.175, (2, 32, width, 1)).astype(np.float32)
    converted = {
        layer: {name: tensor(leaf) for name, leaf in leaves.items()}
        for layer, leaves in params.items()
    }
    codes = torch.from_numpy(digit_codes(10).astype(np.float32))
    expected = scan(
        torch.from_numpy(images.transpose(0, 3, 1, 2)),
        converted,
        c3_kernels(params["C3"]["kernel"]),
        codes,
    )
    actual = jax.jit(model.apply)(variables, images)
    assert actual.shape == (2, (width - 32) // 4 + 1, 10)
    assert relative(actual, expected.numpy()) < 1e-5
