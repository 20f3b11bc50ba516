"""A model as its paper's table, read from the module without compiling anything."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from flax_vision.errors import UserError


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
      layer: Name of the layer, or its kind if it has no parameters.
      kernels: Size, stride and number of its kernels or windows; one line per building block.
      output: Shape of its output for one image, the channels of all columns together.
      parameters: Number of trainable parameters.
      multiply_adds: Multiply-adds of its convolutions and fully connected layers for one image.
      modules: Names of the model's modules in this row.
    """

    layer: str
    kernels: tuple[str, ...]
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    modules: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns the row by the headings of the table."""
        columns = asdict(self) | {"kernels": list(self.kernels)}
        del columns["modules"]
        return {name.replace("_", "-"): value for name, value in columns.items()}

    @property
    def is_auxiliary(self) -> bool:
        """Tells whether the row is a classifier for training only."""
        return self.layer.startswith("auxiliary")


@dataclass(frozen=True)
class _Call:
    """One application of a module.

    Attributes:
      module: Module that was applied.
      path: Path of the module in the model.
      output: Shape of its output for one image, the channels of all columns together.
      kernel: Number of values in its own kernel, 0 without one.
    """

    module: nn.Module
    path: tuple[str, ...]
    output: tuple[int, ...]
    kernel: int

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the kernel, which is used once at each position of the output."""
        return math.prod(self.output[:-1]) * self.kernel


def summarize(model: nn.Module, image_shape: tuple[int, int, int]) -> list[Row]:
    """Returns the rows of the model's table, from its first layer to its last.

    Args:
      model: Model to summarize.
      image_shape: Height, width and channels of the images.

    Raises:
      UserError: The model cannot take such images.
    """
    calls: list[_Call] = []
    images = jax.ShapeDtypeStruct((1, *image_shape), "float32")
    try:
        with nn.intercept_methods(_recorder(calls)):
            params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    except ValueError as error:
        raise UserError(str(error)) from error
    # A layer ends after its sublayers have ended.
    layers: list[list[_Call]] = [[]]
    for call in calls:
        layers[-1].append(call)
        if len(call.path) == 1:
            layers.append([])
    rows = [_row(name, list(stage), params) for name, stage in groupby(layers[:-1], _row_name)]
    counted = {module for row in rows for module in row.modules}
    return [_parameter_row(name, params[name]) for name in params if name not in counted] + rows


def totals(rows: list[Row]) -> list[Row]:
    """Returns the sum of the rows, and the sum without auxiliary classifiers if there are any."""
    main = [row for row in rows if not row.is_auxiliary]
    sums = {"total": rows} | ({} if len(main) == len(rows) else {"without auxiliary heads": main})
    return [
        Row(name, (), (), sum(r.parameters for r in of), sum(r.multiply_adds for r in of))
        for name, of in sums.items()
    ]


def _recorder(calls: list[_Call]) -> Callable[..., Any]:
    def record(
        method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        output = method(*args, **kwargs)
        module = context.module
        if context.method_name == "__call__" and module.path:
            columns = jax.tree.leaves(output)
            shape = (*columns[0].shape[1:-1], sum(column.shape[-1] for column in columns))
            has_kernel = module.has_variable("params", "kernel")
            kernel = module.get_variable("params", "kernel").size if has_kernel else 0
            calls.append(_Call(module, module.path, shape, kernel))
        return output

    return record


def _row_name(layer: list[_Call]) -> str:
    """Returns the name of a layer's row: the blocks conv2_1, conv2_2 and so on are conv2_x."""
    name = layer[-1].path[0]
    return re.sub(r"_\d+$", "_x", name) if len(layer) > 1 else name


def _row(name: str, layers: list[list[_Call]], params: Mapping[str, Any]) -> Row:
    last = layers[-1][-1]
    modules = tuple(layer[-1].path[0] for layer in layers)
    leaves = jax.tree.leaves([params.get(module) for module in modules])
    # Flax names a layer without a name after its class.
    automatic = re.fullmatch(rf"{type(last.module).__name__}_\d+", name)
    return Row(
        layer=_kind(last.module) if automatic else name,
        kernels=_merge_repeats([_layer_kernels(layer) for layer in layers]),
        output=last.output,
        parameters=sum(leaf.size for leaf in leaves),
        multiply_adds=sum(call.multiply_adds for layer in layers for call in layer),
        modules=modules,
    )


def _parameter_row(name: str, params: Any) -> Row:
    """Returns the row of parameters that the model itself has."""
    return Row(name, (), (), sum(leaf.size for leaf in jax.tree.leaves(params)), 0, (name,))


def _merge_repeats(blocks: list[str]) -> tuple[str, ...]:
    """Returns one line for each run of equal blocks."""
    runs = [(text, len(list(members))) for text, members in groupby(blocks)]
    return tuple(text if count == 1 else f"[{text}] x {count}" for text, count in runs if text)


def _layer_kernels(layer: list[_Call]) -> str:
    """Returns the kernels of a layer's sublayers, the shortcut's last."""
    return ", ".join(filter(None, map(_kernels, sorted(layer, key=_is_shortcut))))


def _is_shortcut(call: _Call) -> bool:
    return call.path[-1] == "projection"


def _kernels(call: _Call) -> str:
    """Describes a module's kernels, for example `3x3/2 64` for 64 of 3x3 with stride 2."""
    module = call.module
    if isinstance(module, nn.Dropout):
        return f"{module.rate:.0%}"
    window = _window(module)
    if call.kernel:
        shortcut = "shortcut" if _is_shortcut(call) else ""
        return " ".join(filter(None, (shortcut, window, str(call.output[-1]))))
    return f"{_kind(module)} {window}" if window and len(call.path) > 1 else window


def _window(module: nn.Module) -> str:
    """Describes the size and the stride of a window, for example `3x3/2`; empty for none."""
    if isinstance(module, nn.Conv):
        strides = module.strides if isinstance(module.strides, Sequence) else (module.strides,)
        sides = np.atleast_1d(module.kernel_size)
        size, stride = "x".join(map(str, sides)), max(each or 1 for each in strides)
    else:
        side, stride = getattr(module, "size", None), getattr(module, "stride", 1)
        size = f"{side}x{side}" if isinstance(side, int) else ""
    return size + (f"/{stride}" if size and isinstance(stride, int) and stride > 1 else "")


def _kind(module: nn.Module) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(module).__name__).lower()
