"""What each device of a mesh has of a network, and what it sends to others in a training step."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flax_vision.analysis.hlo_collectives import collectives
from flax_vision.analysis.hlo_scopes import own_names, place_of
from flax_vision.errors import UserError
from flax_vision.models.googlenet import auxiliary_logits
from flax_vision.models.summary import Row
from flax_vision.runtime.mesh import DATA, make_mesh, parameter_shardings

_COMPILER: dict[str, str | bool] = {
    # It joins the sums of many layers into one, to which it gives the name of one of them.
    "xla_disable_hlo_passes": "cpu-all-reduce-combiner",
    # The machine code is not run.
    "xla_backend_optimization_level": "0",
}


class Traffic(NamedTuple):
    """Bytes of a layer on each device.

    Attributes:
      parameters: that it has.
      forward: that it sends to other devices in the forward pass of a step.
      backward: that it sends in the backward pass, the sums of gradients among them.
    """

    parameters: int
    forward: int
    backward: int


def beside_data(
    create: Callable[..., nn.Module],
    axes: Mapping[str, int],
    layers: Sequence[Row],
    image_shape: tuple[int, int, int],
    batch_size: int,
) -> dict[str, list[dict[str, Any]]]:
    """Returns the table of a mesh, and of one of as many devices that share batches only.

    Args:
      create: makes the network for a `mesh`.
      axes: devices along each axis of the mesh.
      layers: of the network.
      image_shape: height, width and channels of the images.
      batch_size: images in a step.

    Returns:
      Rows as of `table` by the mesh, such as `column=2` and `data=2`.

    Raises:
      UserError: JAX shows too few devices, the network cannot be on the mesh, or the batch cannot
        be divided.
    """
    devices = math.prod(axes.values())
    shapes: list[dict[str, int]] = [{DATA: 1, **axes}, {DATA: devices}]
    models = {_named(shape): _on_mesh(create, shape) for shape in shapes}
    if batch_size % devices:
        raise UserError(
            f"a batch of {batch_size} images cannot be divided over {devices} devices; give a "
            f"--batch-size that is a multiple of {devices}."
        )
    return {
        name: table(layers, traffic(model, mesh, image_shape, batch_size), batch_size)
        for name, (model, mesh) in models.items()
    }


def traffic(
    model: nn.Module, mesh: Mesh, image_shape: tuple[int, int, int], batch_size: int
) -> dict[str, Traffic]:
    """Compiles the gradients of a training step, and reads from the program what is sent.

    Nothing is computed, so that it takes no more than the memory of the compiler.

    Args:
      model: the network, made for the mesh.
      mesh: of CPU devices, with an axis `data`, over which the batch is divided.
      image_shape: height, width and channels of the images.
      batch_size: images in a step on all devices together, a multiple of that axis.

    Returns:
      The traffic of each module of the network by its name, and of `places.OUTSIDE` where anything
      is sent outside of them. On a CPU what is less than 32 bits wide travels as float32.
    """
    one, all_images = (jax.ShapeDtypeStruct((n, *image_shape), "float32") for n in (1, batch_size))
    variables = jax.eval_shape(model.init, jax.random.key(0), one)
    shardings = parameter_shardings(variables, mesh, getattr(model, "column_layers", ()))
    program = _compile(model, mesh, _placed(variables, shardings), shardings, all_images)
    sent: Counter[tuple[str, bool]] = Counter()
    for collective in collectives(program, mesh.size):
        place = place_of(collective.name, type(model).__name__)
        sent[place.layer, place.is_backward] += collective.sent
    params = {
        name: _bytes(layer, shardings["params"][name])
        for name, layer in variables["params"].items()
    }
    return {
        name: Traffic(params.get(name, 0), sent[name, False], sent[name, True])
        for name in dict.fromkeys([*params, *(layer for layer, _ in sent)])
    }


def table(
    layers: Sequence[Row], found: Mapping[str, Traffic], batch_size: int
) -> list[dict[str, Any]]:
    """Returns the rows of a table of the layers that have parameters or send anything.

    Args:
      layers: of the network.
      found: from `traffic`.
      batch_size: images in a step, to divide by.

    Returns:
      Rows whose last one is the sum of the others.
    """
    members = [(row.layer, row.modules) for row in layers]
    known = {name for _, names in members for name in names}
    members += [(name, (name,)) for name in found if name not in known]
    sums = [
        (layer, _sum(found[name] for name in names if name in found)) for layer, names in members
    ]
    shown = [(layer, of) for layer, of in sums if any(of)]
    return [
        {
            "layer": layer,
            "parameters, bytes": of.parameters,
            "forward, bytes": of.forward,
            "backward, bytes": of.backward,
            "forward, an image": round(of.forward / batch_size),
            "backward, an image": round(of.backward / batch_size),
        }
        for layer, of in [*shown, ("total", _sum(of for _, of in shown))]
    ]


def _named(shape: Mapping[str, int]) -> str:
    return ",".join(f"{axis}={size}" for axis, size in shape.items() if size > 1) or f"{DATA}=1"


def _on_mesh(create: Callable[..., nn.Module], shape: Mapping[str, int]) -> tuple[nn.Module, Mesh]:
    try:
        mesh = make_mesh(**shape)
        return create(mesh=mesh), mesh
    except ValueError as error:
        raise UserError(str(error)) from error


def _sum(parts: Iterable[Traffic]) -> Traffic:
    return Traffic(*map(sum, zip(Traffic(0, 0, 0), *parts, strict=True)))


def _placed(tree: Any, shardings: Any) -> Any:
    return jax.tree.map(
        lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree, shardings
    )


def _bytes(tree: Any, shardings: Any) -> int:
    """Returns the bytes of arrays on each device."""
    parts = jax.tree.map(
        lambda x, where: math.prod(where.shard_shape(x.shape)) * x.dtype.itemsize, tree, shardings
    )
    return sum(jax.tree.leaves(parts))


def _compile(
    model: nn.Module, mesh: Mesh, variables: Any, shardings: Any, images: jax.ShapeDtypeStruct
) -> str:
    """Returns the program of the gradients, which lie where their parameters do."""
    key = jax.eval_shape(jax.random.key, 0)
    operands = _placed(
        (images, key),
        (NamedSharding(mesh, PartitionSpec(DATA)), NamedSharding(mesh, PartitionSpec())),
    )
    with jax.set_mesh(mesh), own_names():
        step = jax.jit(partial(_gradients, model), out_shardings=shardings)
        return step.lower(variables, *operands).compile(compiler_options=_COMPILER).as_text() or ""


def _gradients(
    model: nn.Module, variables: Mapping[str, Any], images: jax.Array, key: jax.Array
) -> dict[str, Any]:
    """Returns the parameters' gradients, and the other collections as they are after the step."""
    statistics = {name: value for name, value in variables.items() if name != "params"}

    def objective(params: Any) -> tuple[jax.Array, Any]:
        applied: Any = model.apply(
            {"params": params, **statistics},
            images,
            train=True,
            rngs={"dropout": key},
            mutable=[*statistics, "intermediates"],
        )
        logits, updated = applied
        heads = auxiliary_logits(updated.pop("intermediates", {}))
        # Any loss will do: what is sent does not depend on it.
        return sum((output**2).sum() for output in [logits, *heads]), updated

    gradients, updated = jax.grad(objective, has_aux=True)(variables["params"])
    return {"params": gradients, **updated}
