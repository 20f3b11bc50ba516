"""Reads exported networks as another program would, without flax_vision, and prints logits.

python read_elsewhere.py FORMAT FILE IMAGES.npy LOGITS.npy [NETWORK]
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np


def lenet5_modern(params, images):
    """The network from its description alone."""
    import jax
    from jax import lax

    dims = ("NHWC", "HWIO", "NHWC")

    def conv(name, x):
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        y = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=dims)
        return jax.numpy.tanh(y + bias)

    def pool(x):
        return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4

    field = ((0, 0), (2, 2), (2, 2), (0, 0))
    x = jax.numpy.pad(images, field, constant_values=-0.1)
    x = conv("C5", pool(conv("C3", pool(conv("C1", x))))).reshape(len(images), -1)
    f6, output = params["F6"], params["OUT"]
    return jax.numpy.tanh(x @ f6["kernel"] + f6["bias"]) @ output["kernel"] + output["bias"]


def orbax(path, images, network):
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        return lenet5_modern(checkpointer.restore(f"{path}/variables")["params"], images)


def safetensors(path, images, network):
    from safetensors.numpy import load_file

    params = {}
    for name, x in load_file(path).items():
        collection, layer, leaf = name.split("/")
        assert collection == "params"
        params.setdefault(layer, {})[leaf] = x
    return lenet5_modern(params, images)


def stablehlo(path, images, network):
    import jax

    network = jax.export.deserialize(bytearray(Path(path).read_bytes()))
    assert network.platforms == ("cpu", "cuda", "tpu")
    return network.call(images)


def torchvision(path, images, network):
    import torch
    from torchvision import models

    build = getattr(models, network)
    heads = {"aux_logits": False, "init_weights": False} if "googlenet" in network else {}
    module = build(weights=None, num_classes=10, **heads)
    if path.endswith(".pth"):
        state_dict = torch.load(path, weights_only=True)
    else:
        from safetensors.torch import load_file

        state_dict = load_file(path)
    module.load_state_dict(state_dict, strict=True)
    with torch.inference_mode():
        return module.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2)))


def onnx(path, images, network):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    (logits,) = session.run(["logits"], {"images": images})
    return logits


if __name__ == "__main__":
    form, path, given, result, *network = sys.argv[1:]
    read = partial(globals()[form], path, network=network[0] if network else "")
    images = np.load(given)
    # Of any number of images.
    parts = [np.asarray(read(images=images[:1])), np.asarray(read(images=images[1:]))]
    np.save(result, np.concatenate(parts))
    assert "flax_vision" not in sys.modules
