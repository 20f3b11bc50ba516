import jax
import jax.numpy as jnp
import pytest

from flax_vision.analysis.hlo_scopes import OUTSIDE, keep_op_names, parse_op_name


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("jit(f)/jvp(VGG)/VGG._block/conv1_1/add", ("conv1_1", "add", False)),
        ("jit(f)/transpose(jvp(VGG))/VGG._block/conv1_1/add", ("conv1_1", "add", True)),
        (
            "jit(f)/transpose(jvp(VGG))/jvp(VGG)/checkpoint/rematted_computation/VGG._block/conv2/gt",
            ("conv2", "gt", True),
        ),
        ("jit(f)/VGG/conv2/bn/mul", ("conv2", "mul", False)),
        ("jit(f)/jvp(VGG)/conv3/shard_map/all_gather", ("conv3", "all_gather", False)),
        ("jit(f)/jvp(VGG)/jit(relu)/max", ("(between layers)", "max", False)),
        ("jit(f)/mul", (OUTSIDE, "mul", False)),
        ("copy.12", (OUTSIDE, "copy", False)),
    ],
)
def test_op_names(name, scope):
    assert parse_op_name(name, "VGG") == scope


@pytest.fixture
def cache_of_all():
    """Keeps the quickest of programs too."""
    setting = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, setting)
    jax.config.update(setting, 0.0)
    yield
    jax.config.update(setting, before)


@pytest.mark.usefixtures("cache_of_all")
@pytest.mark.parametrize("scope", ["first", "second"])
def test_programs_that_are_equal_but_for_their_names(scope):
    """JAX's cache of programs would give the first one in place of the second."""

    def function(x):
        with jax.named_scope(scope):
            return jnp.sin(x)

    with keep_op_names():
        program = jax.jit(function).lower(jnp.ones(3)).compile().as_text()
    assert f"/{scope}/sin" in program
    assert not jax.config.jax_compilation_cache_include_metadata_in_key
