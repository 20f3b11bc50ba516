"""Reads exported networks as another program would, without flax_vision, and writes logits.

python read_elsewhere.py FORMAT FILE IMAGES.npy LOGITS.npy [NETWORK]

Orbax and safetensors have named arrays and no model: the models are implemented here again. Their
arrays are written beside the logits, to LOGITS.npz.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

sys.modules["flax_vision"] = None  # nothing that is read can import it


def lenet5_modern(variables, images):
    import jax
    from jax import lax

    dims = ("NHWC", "HWIO", "NHWC")

    params = variables["params"]

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


def resnet20(variables, images):
    import jax
    from jax import lax

    params, stats = variables["params"], variables["batch_stats"]

    def unit(x, block, i, stride=1):
        of, means = (tree[block] if block else tree for tree in (params, stats))
        kernel, norm, mean = of[f"conv{i}"]["kernel"], of[f"bn{i}"], means[f"bn{i}"]
        dims = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(x, kernel, (stride, stride), [(1, 1)] * 2, None, None, dims)
        return (x - mean["mean"]) / (mean["var"] + 1e-5) ** 0.5 * norm["scale"] + norm["bias"]

    x = jax.nn.relu(unit(images, "", 1))
    for stage in (2, 3, 4):
        for block in (1, 2, 3):
            stride = 2 if stage > 2 and block == 1 else 1
            y = jax.nn.relu(unit(x, f"conv{stage}_{block}", 1, stride))
            y = unit(y, f"conv{stage}_{block}", 2)
            x = x[:, ::stride, ::stride]
            x = jax.nn.relu(y + jax.numpy.pad(x, [(0, 0)] * 3 + [(0, y.shape[3] - x.shape[3])]))
    return x.mean((1, 2)) @ params["fc"]["kernel"] + params["fc"]["bias"]


def read_orbax(path):
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(f"{path}/variables")


def read_safetensors(path):
    from safetensors.numpy import load_file

    tree = {}
    for name, x in load_file(path).items():
        *layers, leaf = name.split("/")
        place = tree
        for layer in layers:
            place = place.setdefault(layer, {})
        place[leaf] = x
    return tree


def flat(tree, *layers):
    """Returns the arrays by their names, such as params/conv1/kernel."""
    if not isinstance(tree, dict):
        return {"/".join(layers): np.asarray(tree)}
    return {key: x for name in tree for key, x in flat(tree[name], *layers, name).items()}


def arrays(path, images, model, result, read):
    variables = read(path)
    np.savez(Path(result).with_suffix(".npz"), **flat(variables))
    return globals()[model](variables, images)


orbax = partial(arrays, read=read_orbax)
safetensors = partial(arrays, read=read_safetensors)


def stablehlo(path, images, **_):
    import jax

    model = jax.export.deserialize(bytearray(Path(path).read_bytes()))
    assert model.platforms == ("cpu", "cuda", "tpu")
    return model.call(images)


def torchvision(path, images, model, heads=False, **_):
    import torch
    from torchvision import models

    build = getattr(models, model)
    options = {"aux_logits": heads, "init_weights": False} if "googlenet" in model else {}
    module = build(weights=None, num_classes=10, **options).eval()
    if path.endswith(".pth"):
        state_dict = torch.load(path, weights_only=True)
    else:
        from safetensors.torch import load_file

        state_dict = load_file(path)
    module.load_state_dict(state_dict, strict=True)
    # Of the whole alone: its heads answer, and below nothing is dropped and no batch has a mean.
    module.training = heads
    with torch.inference_mode():
        logits = module(torch.from_numpy(images.transpose(0, 3, 1, 2)))
    return (
        np.concatenate([logits.logits, logits.aux_logits1, logits.aux_logits2], 1)
        if heads
        else logits
    )


torchvision_with_heads = partial(torchvision, heads=True)


def onnx(path, images, **_):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    (logits,) = session.run(["logits"], {"images": images})
    return logits


if __name__ == "__main__":
    form, path, given, result, *model = sys.argv[1:]
    images = np.load(given)
    read = partial(globals()[form], path, model=model[0] if model else "", result=result)
    # Of any number of images.
    parts = [np.asarray(read(images=images[:1])), np.asarray(read(images=images[1:]))]
    np.save(result, np.concatenate(parts))
