"""TrivialAugment's operations against torchvision's, at every magnitude and sign."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.trivial_augment import OPERATIONS, apply_operation

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")
pytest.importorskip("torchvision", reason="torchvision is in the extra `parity`")

from torchvision.transforms import InterpolationMode, TrivialAugmentWide, autoaugment

pytestmark = pytest.mark.slow
APPLY = jax.jit(apply_operation)
THEIR_NAMES = {name: name.title().replace("_", "") for name in OPERATIONS} | {
    "autocontrast": "AutoContrast"
}
EXACT = ("identity", "translate_x", "translate_y", "posterize", "solarize", "equalize")
MOVES = ("shear_x", "shear_y", "rotate")


def random_image(channels):
    random = np.random.default_rng(0)
    plane = np.add.outer(np.linspace(20, 120, 40), np.linspace(0, 60, 36))[..., None]
    return (plane + random.integers(0, 60, (40, 36, channels))).astype(np.uint8)


def test_space_matches_torchvision():
    space = TrivialAugmentWide()._augmentation_space(31)
    assert list(space) == list(THEIR_NAMES.values())
    for (magnitudes, is_signed), ours in zip(space.values(), OPERATIONS.values(), strict=True):
        theirs = np.broadcast_to(magnitudes.numpy(), 31)
        np.testing.assert_allclose(ours.magnitudes, theirs, atol=1e-4)
        assert ours.is_signed == is_signed


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_match_torchvision(name, channels):
    image = random_image(channels)
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
    magnitudes, is_signed = OPERATIONS[name]
    for magnitude in [*magnitudes, *(-magnitudes if is_signed else [])]:
        expected = autoaugment._apply_op(
            pixels, THEIR_NAMES[name], float(magnitude), InterpolationMode.NEAREST, None
        )
        index = jnp.int32(list(OPERATIONS).index(name))
        changed = np.asarray(APPLY(jnp.asarray(image, jnp.float32), index, magnitude))
        differs = np.abs(changed - expected.numpy().transpose(1, 2, 0))
        if name in MOVES:
            assert (differs > 0).mean() < 0.01  # ties between two pixels
        else:
            # torchvision rounds to integers, some of them twice.
            assert differs.max() <= (0 if name in EXACT else 2)
