"""Writes a model as an ONNX graph for ONNX Runtime, by jax2onnx."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax2onnx
import numpy as np
import onnx
from onnx import helper

from flax_vision.ops.backend import reference_ops

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def write_onnx(
    path: Path,
    function: Callable[[Any], jax.Array],
    shape: Sequence[int],
    dtype: str,
    metadata: Mapping[str, str],
) -> None:
    """Writes a function from images [N, H, W, C] to logits as a graph.

    The graph's input is `images`, and its output `logits`.

    Args:
      path: File to write.
      function: Model with its parameters.
      shape: Height, width and channels of the images.
      dtype: Type of the images.
      metadata: Texts by name for the graph's `metadata_props`.
    """
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns about shapes that it leaves out
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
    """Replaces max pooling in six dimensions by pooling over height and width.

    jax2onnx also pools over batch and channels, by windows of 1. ONNX Runtime supports at most five
    dimensions.
    """
    producers = {name: node for node in graph.node for name in node.output}
    consumers = {name: node for node in graph.node for name in node.input}
    transpose = partial(helper.make_node, "Transpose")
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        outer = producers[pool.input[0]]
        inner, after = producers[outer.input[0]], consumers[pool.output[0]]
        before = transpose(inner.input[:1], outer.output, perm=_TO_NCHW, name=outer.name)
        attributes = {"name": pool.name, **_attributes_2d(pool)}
        pool_2d = helper.make_node("MaxPool", pool.input, pool.output, **attributes)
        back = transpose(pool.output, after.output, perm=_TO_NHWC, name=after.name)
        for old, new in ((outer, before), (pool, pool_2d), (after, back)):
            old.CopyFrom(new)
        graph.node.remove(inner)
    # Intermediate shapes have changed, and the axes of removed nodes are unused.
    del graph.value_info[:]
    used = {name for node in graph.node for name in node.input}
    for constant in [x for x in graph.initializer if x.name not in used]:
        graph.initializer.remove(constant)


def _attributes_2d(pool: onnx.NodeProto) -> dict[str, Any]:
    """Returns the attributes of a pooling for height and width only."""
    attributes = {item.name: helper.get_attribute_value(item) for item in pool.attribute}
    flat = {name: attributes[name][1:3] for name in ("kernel_shape", "strides")}
    if "pads" in attributes:
        flat["pads"] = [attributes["pads"][i] for i in (1, 2, 5, 6)]
    return flat
