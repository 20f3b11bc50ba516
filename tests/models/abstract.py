"""Abstract models: shapes of parameters and outputs, at once and without memory."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

import flax_vision as fv
from flax_vision.models.registry import find_variant
from flax_vision.models.summary import summarize


def quick_key(seed: int = 0) -> jax.Array:
    """Returns a key with a fast generator; the default one compiles a second per shape."""
    return jax.random.key(seed, impl="unsafe_rbg")


def count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def abstract_images(name, batch=1, size=None):
    height, width, channels = find_variant(name).image_shape
    return jax.ShapeDtypeStruct((batch, size or height, size or width, channels), "float32")


@cache
def abstract_variables(name, size=None, **options):
    """Returns the shapes of a model's variables."""
    init = fv.create_model(name, **options).init
    return jax.eval_shape(init, jax.random.key(0), abstract_images(name, size=size))


def abstract_apply(model, variables, images, train=False):
    """Returns the shapes of the logits and of the updated collections."""

    def apply(variables, images):
        return model.apply(
            variables,
            images,
            train=train,
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats", "intermediates"],
        )

    return jax.eval_shape(apply, variables, images)


@cache
def abstract_intermediates(name, size=None, train=False, **options):
    """Returns the shapes of the intermediates by name, without the image axis."""
    model = fv.create_model(name, **options)
    images = abstract_images(name, size=size)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    _, updates = abstract_apply(model, variables, images, train)
    return {key: value.shape[1:] for key, (value,) in updates["intermediates"].items()}


@cache
def rows_of(name, **options):
    """Returns the rows of a model's table by layer."""
    rows = summarize(fv.create_model(name, **options), find_variant(name).image_shape)
    return {row.layer: row for row in rows}


def initial_params(name, size, *layers, **options):
    """Computes the initial parameters of some layers and every bias, and skips the others."""
    model = fv.create_model(name, **options)
    images = jnp.zeros((1, size, size, find_variant(name).image_shape[2]))

    def init(key):
        params = flatten_dict(model.init(key, images)["params"])
        return {path: x for path, x in params.items() if path[0] in layers or path[-1] == "bias"}

    return unflatten_dict(jax.jit(init)(quick_key()))


def lively_variables(model, images):
    """Draws parameters that keep every layer alive, faster than their initialization."""
    random = np.random.default_rng(0)

    def draw(path, leaf):
        if "kernel" not in str(path):
            return np.zeros(leaf.shape, leaf.dtype)
        inputs = leaf.size // leaf.shape[-1]
        array = random.random(leaf.shape, np.float32) - np.float32(0.5)
        array *= np.float32((24 / inputs) ** 0.5)  # He's variance
        return array

    return jax.tree.map_with_path(draw, jax.eval_shape(model.init, quick_key(), images))


def dropouts(name, train, **options):
    """Returns the layer before each active dropout, and its rate."""
    model, found, last = fv.create_model(name, **options), [], [""]

    def record(method, args, kwargs, context):
        output = method(*args, **kwargs)
        if isinstance(context.module, nn.Dropout):
            if not context.module.deterministic:
                found.append((last[0], context.module.rate))
        elif context.module.path and context.method_name == "__call__":
            last[0] = "/".join(context.module.path)
        return output

    with nn.intercept_methods(record):
        abstract_apply(model, abstract_variables(name, **options), abstract_images(name), train)
    return found
