"""Meshes: which devices share a batch, and which the columns of AlexNet."""

import math

import jax
from jax.sharding import AxisType, Mesh

DATA = "data"
"""The axis of the devices that share a batch."""

COLUMN = "column"
"""The axis of the devices that share AlexNet's columns."""


def make_mesh(*, data: int | None = None, column: int = 1) -> Mesh:
    """Returns a mesh with the axes `data` and `column` over the devices that JAX sees.

    Args:
      data: devices that share a batch; None for all that there are, `column` for each share.
      column: devices that share the columns of each image's network.

    Raises:
      ValueError: there are not that many devices, or `column` does not divide them.
    """
    devices = jax.devices()
    for axis, size in ((DATA, data), (COLUMN, column)):
        if size is not None and size < 1:
            raise ValueError(f"the mesh's axis {axis!r} is {size}; it must be at least 1.")
    if data is None:
        data = max(len(devices) // column, 1)
        if len(devices) >= column and len(devices) % column:
            raise ValueError(
                f"the mesh's axis {COLUMN!r} of {column} does not divide the {len(devices)} "
                f"devices; give the axis {DATA!r} a size of at most {data}."
            )
    shape = {DATA: data, COLUMN: column}
    needed = math.prod(shape.values())
    if needed > len(devices):
        raise ValueError(_too_few(shape, needed, devices))
    # Explicit axes, JAX's default, are not for linen's Dropout.
    axis_types = (AxisType.Auto,) * len(shape)
    return jax.make_mesh(
        tuple(shape.values()), tuple(shape), axis_types=axis_types, devices=devices[:needed]
    )


def _too_few(shape: dict[str, int], needed: int, devices: list[jax.Device]) -> str:
    axes = " x ".join(f"{axis} {size}" for axis, size in shape.items())
    message = f"a mesh of {axes} needs {needed} devices, and JAX sees {len(devices)}; "
    if devices[0].platform != "cpu":
        return f"{message}give a smaller mesh."
    flag = f"--xla_force_host_platform_device_count={needed}"
    return f"{message}XLA_FLAGS={flag} in the environment emulates them on this CPU."
