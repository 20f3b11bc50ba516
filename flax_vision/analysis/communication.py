"""Computes the parameters that each device of a mesh holds, and the bytes that it sends."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flax_vision.analysis.hlo_collectives import collectives
from flax_vision.analysis.hlo_scopes import keep_op_names, parse_op_name
from flax_vision.errors import UserError
from flax_vision.models.googlenet import auxiliary_logits
from flax_vision.models.summary import Row
from flax_vision.runtime.mesh import DATA, make_mesh, parameter_shardings

_COMPILER_OPTIONS: dict[str, str | bool] = {
    # The combiner joins the sums of many layers, under the name of one of them.
    "xla_disable_hlo_passes": "cpu-all-reduce-combiner",
    # The program never runs.
    "xla_backend_optimization_level": "0",
}


class LayerBytes(NamedTuple):
    """Bytes of a layer on each device.

    Attributes:
      parameters: Size of the parameters.
      forward: Bytes sent to other devices in the forward pass of a step.
      backward: Bytes sent in the backward pass, sums of gradients included.
    """

    parameters: int
    forward: int
    backward: int


def compare_with_data_parallel(
    create: Callable[..., nn.Module],
    axes: Mapping[str, int],
    layers: Sequence[Row],
    image_shape: tuple[int, int, int],
    batch_size: int,
) -> dict[str, list[dict[str, Any]]]:
    """Returns the table of a mesh, and of a data-parallel mesh with as many devices.

    Args:
      create: Function that creates the model for a `mesh`.
      axes: Number of devices along each axis of the mesh.
      layers: Layers of the model.
      image_shape: Height, width and channels of the images.
      batch_size: Number of images in a step.

    Returns:
      Rows of `table` by mesh, such as `column=2` and `data=2`.

    Raises:
      UserError: There are too few devices, the model does not support the mesh, or the batch is not
        divisible.
    """
    devices = math.prod(axes.values())
    meshes: dict[str, tuple[nn.Module, Mesh]] = {}
    for shape in ({DATA: 1, **axes}, {DATA: devices}):
        sizes = [f"{axis}={size}" for axis, size in shape.items() if size > 1]
        try:
            mesh = make_mesh(**shape)
            meshes[",".join(sizes) or f"{DATA}=1"] = create(mesh=mesh), mesh
        except ValueError as error:
            raise UserError(str(error)) from error
    if batch_size % devices:
        raise UserError(
            f"a batch of {batch_size} images cannot be divided over {devices} devices; give a "
            f"--batch-size that is a multiple of {devices}."
        )
    return {
        name: table(layers, layer_bytes(model, mesh, image_shape, batch_size), batch_size)
        for name, (model, mesh) in meshes.items()
    }


def layer_bytes(
    model: nn.Module, mesh: Mesh, image_shape: tuple[int, int, int], batch_size: int
) -> dict[str, LayerBytes]:
    """Compiles the gradients of a training step, and reads the collectives of the program.

    Nothing is computed; the compiler's memory suffices.

    Args:
      model: Model for the mesh.
      mesh: Mesh of CPU devices, whose axis `data` divides the batch.
      image_shape: Height, width and channels of the images.
      batch_size: Number of images in a step on all devices, a multiple of that axis.

    Returns:
      The bytes of each module of the model by name, and of `OUTSIDE` if anything is sent outside
      the modules. CPUs send types of less than 32 bits as float32.
    """
    one, batch = (jax.ShapeDtypeStruct((n, *image_shape), "float32") for n in (1, batch_size))
    variables = jax.eval_shape(model.init, jax.random.key(0), one)
    shardings = parameter_shardings(variables, mesh, getattr(model, "column_layers", ()))
    variables = jax.tree.map(_with_sharding, variables, shardings)
    sent: Counter[tuple[str, bool]] = Counter()
    for collective in collectives(_compile(model, mesh, variables, batch), mesh.size):
        scope = parse_op_name(collective.name, type(model).__name__)
        sent[scope.layer, scope.is_backward] += collective.sent
    params = {name: _device_bytes(layer) for name, layer in variables["params"].items()}
    return {
        name: LayerBytes(params.get(name, 0), sent[name, False], sent[name, True])
        for name in dict.fromkeys([*params, *(layer for layer, _ in sent)])
    }


def table(
    layers: Sequence[Row], sizes: Mapping[str, LayerBytes], batch_size: int
) -> list[dict[str, Any]]:
    """Returns the rows of the layers that have parameters or send anything, and their sum.

    Args:
      layers: Layers of the model.
      sizes: Result of `layer_bytes`.
      batch_size: Number of images in a step, the divisor of the columns for one image.
    """
    members = [(row.layer, row.modules) for row in layers]
    known = {name for _, names in members for name in names}
    members += [(name, (name,)) for name in sizes if name not in known]
    sums = [
        (layer, _sum(sizes[name] for name in names if name in sizes)) for layer, names in members
    ]
    rows = [(layer, size) for layer, size in sums if any(size)]
    return [
        {
            "layer": layer,
            "parameters, bytes": size.parameters,
            "forward, bytes": size.forward,
            "backward, bytes": size.backward,
            "forward, an image": round(size.forward / batch_size),
            "backward, an image": round(size.backward / batch_size),
        }
        for layer, size in [*rows, ("total", _sum(size for _, size in rows))]
    ]


def _sum(sizes: Iterable[LayerBytes]) -> LayerBytes:
    return LayerBytes(*map(sum, zip(LayerBytes(0, 0, 0), *sizes, strict=True)))


def _with_sharding(array: jax.ShapeDtypeStruct, sharding: Any) -> jax.ShapeDtypeStruct:
    return array.update(sharding=sharding)


def _device_bytes(tree: Any) -> int:
    """Returns the bytes of arrays on each device."""
    arrays = jax.tree.leaves(tree)
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in arrays)


def _compile(model: nn.Module, mesh: Mesh, variables: Any, images: jax.ShapeDtypeStruct) -> str:
    """Returns the program of the gradients, which have the shardings of their parameters."""
    shardings = jax.tree.map(lambda x: x.sharding, variables)
    images = _with_sharding(images, NamedSharding(mesh, PartitionSpec(DATA)))
    key = jax.eval_shape(jax.random.key, 0)
    operands = variables, images, _with_sharding(key, NamedSharding(mesh, PartitionSpec()))
    with jax.set_mesh(mesh), keep_op_names():
        lowered = jax.jit(partial(_gradients, model), out_shardings=shardings).lower(*operands)
        return lowered.compile(compiler_options=_COMPILER_OPTIONS).as_text() or ""


def _gradients(
    model: nn.Module, variables: Mapping[str, Any], images: jax.Array, key: jax.Array
) -> dict[str, Any]:
    """Returns the gradients of the parameters, and the updated statistics."""
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
        # Any loss will do: the bytes do not depend on it.
        return sum((output**2).sum() for output in [logits, *heads]), updated

    gradients, updated = jax.grad(objective, has_aux=True)(variables["params"])
    return {"params": gradients, **updated}
