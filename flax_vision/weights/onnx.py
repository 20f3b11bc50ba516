"""A network as an ONNX graph, which jax2onnx makes and ONNX Runtime takes."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax2onnx
import numpy as np
import onnx
from onnx import helper

from flax_vision.ops.backend import reference_ops

_LAST_TO_SECOND, _SECOND_TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def write_onnx(
    path: Path,
    function: Callable[[Any], jax.Array],
    shape: Sequence[int],
    dtype: str,
    metadata: Mapping[str, str],
) -> None:
    """Writes a function of images [N, H, W, C] to logits as a graph from `images` to `logits`.

    Args:
      path: of the file.
      function: a network with its parameters.
      shape: height, width and channels of the images.
      dtype: of them.
      metadata: Texts by name for the graph's `metadata_props`.
    """
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns of shapes that it leaves out
    with reference_ops():
        model = jax2onnx.to_onnx(
            function,
            inputs=[jax.ShapeDtypeStruct(("batch", *shape), np.dtype(dtype))],
            input_names=["images"],
            output_names=["logits"],
        )
    _pool_in_two_dimensions(model.graph)
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _pool_in_two_dimensions(graph: onnx.GraphProto) -> None:
    """Has maxima be taken over height and width only.

    jax2onnx makes of them a pooling over batch and channels too, by windows of 1, in six
    dimensions, of which ONNX Runtime computes five at the most.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    used_by = {name: node for node in graph.node for name in node.input}
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        outer = made_by[pool.input[0]]
        inner, after = made_by[outer.input[0]], used_by[pool.output[0]]
        settings = {item.name: helper.get_attribute_value(item) for item in pool.attribute}
        flat = {name: settings[name][1:3] for name in ("kernel_shape", "strides")}
        if "pads" in settings:
            flat["pads"] = [settings["pads"][i] for i in (1, 2, 5, 6)]
        before = helper.make_node(
            "Transpose", inner.input[:1], outer.output, perm=_LAST_TO_SECOND, name=outer.name
        )
        pooled = helper.make_node("MaxPool", pool.input, pool.output, name=pool.name, **flat)
        back = helper.make_node(
            "Transpose", pool.output, after.output, perm=_SECOND_TO_LAST, name=after.name
        )
        for old, new in ((outer, before), (pool, pooled), (after, back)):
            old.CopyFrom(new)
        graph.node.remove(inner)
    # The shapes of what lies between are others now, and axes that were added are not.
    del graph.value_info[:]
    used = {name for node in graph.node for name in node.input}
    for constant in [each for each in graph.initializer if each.name not in used]:
        graph.initializer.remove(constant)
