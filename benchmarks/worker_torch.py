"""Runs steps of a PyTorch model on request; see `interleaved.serve`.

    python benchmarks/worker_torch.py resnet50_v1_5 training --batch-size 16 --image-size 224

A model that torchvision has is torchvision's; the others are the reference modules of the parity
tests, without auxiliary heads. Images are in the channels-last format, the optimizer is SGD with
momentum and weight decay, and each step returns its loss to Python.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from interleaved import serve
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/parity"))

import reference_alexnet
import reference_googlenet
import reference_resnet


def lenet5_modern() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )


def vgg16_for_small_images() -> nn.Module:
    """Returns torchvision's convolutions with a classifier for the 1x1 maps of 32x32 images."""
    dropout = nn.Dropout
    classifier = nn.Sequential(
        nn.Flatten(), nn.Linear(512, 4096), nn.ReLU(), dropout(), nn.Linear(4096, 4096), nn.ReLU()
    )
    features = torchvision.models.vgg16(weights=None).features
    return nn.Sequential(features, classifier, dropout(), nn.Linear(4096, 1000))


def googlenet() -> nn.Module:
    model = reference_googlenet.GoogLeNet()
    model.auxiliary_4a = model.auxiliary_4d = nn.Identity()
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "lenet5_modern": lenet5_modern,
    "alexnet_owt": lambda: torchvision.models.alexnet(weights=None),
    "vgg16": lambda: torchvision.models.vgg16(weights=None),
    "googlenet_torchvision": lambda: torchvision.models.googlenet(
        weights=None, aux_logits=False, init_weights=False
    ),
    "resnet50_v1_5": lambda: torchvision.models.resnet50(weights=None),
    "resnet20": lambda: reference_resnet.CifarResNet(3),
    "alexnet": reference_alexnet.AlexNet,
    "googlenet": googlenet,
    "resnet50": lambda: reference_resnet.ResNet([3, 4, 6, 3], True),
}


def make_step(model: nn.Module, mode: str, x: torch.Tensor, y: torch.Tensor) -> Callable:
    def logits() -> torch.Tensor:
        output = model(x)
        return output[0] if isinstance(output, tuple) else output

    if mode == "inference":
        model.eval()
        return lambda: torch.inference_mode()(logits)().argmax().item()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(logits(), y)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("mode", choices=["training", "inference"])
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    options = parser.parse_args()
    small = options.name == "vgg16" and options.image_size == 32
    model = vgg16_for_small_images() if small else MODELS[options.name]()
    channels, classes = (1, 10) if options.name == "lenet5_modern" else (3, 10)
    shape = (options.batch_size, channels, options.image_size, options.image_size)
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    y = torch.randint(classes, (options.batch_size,))
    model = model.to(memory_format=torch.channels_last)
    if options.compile:
        model = torch.compile(model)
    step = make_step(model, options.mode, x, y)
    step()
    serve(step, {})


if __name__ == "__main__":
    main()
