"""The experiments of the ResNet paper."""

from functools import partial

from flax_vision.papers import model_sizes
from flax_vision.papers.experiment import FEW_IMAGES, Experiment, Training
from flax_vision.papers.figures import bars, error_curves
from flax_vision.papers.measures import (
    TEST_ERROR,
    compare,
    multiply_adds,
    parameters,
    test_error,
    train_error,
)
from flax_vision.papers.responses import compare_responses

_TRAIN_ERROR = "training error, %"
_DEPTHS = (20, 32, 44, 56)
_TESTED = {"test_every_epochs": 1}

CIFAR = Training(
    "resnet-cifar",
    "resnet20",
    {f"{kind}{n}": {"model.name": f"{kind}{n}"} for kind in ("plain", "resnet") for n in _DEPTHS},
    full="cifar10",
    reduced={"epochs": 12},
    smoke=FEW_IMAGES,
    common=_TESTED,
)
_PLAIN = tuple(f"plain{n}" for n in _DEPTHS)
_RESIDUAL = tuple(f"resnet{n}" for n in _DEPTHS)

IMAGENET = Training(
    "resnet-imagenet",
    "resnet50",
    {
        "plain18": {"model.name": "plain18"},
        "resnet18": {"model.name": "resnet18", "model.shortcut": "A"},
        "plain34": {"model.name": "plain34"},
        "resnet34 A": {"model.name": "resnet34", "model.shortcut": "A"},
        "resnet34 B": {"model.name": "resnet34", "model.shortcut": "B"},
        "resnet34 C": {"model.name": "resnet34", "model.shortcut": "C"},
    },
    full="imagenet",
    reduced={"epochs": 8},
    smoke=FEW_IMAGES,
    common=_TESTED,
)

_CURVES = {_TRAIN_ERROR: train_error, TEST_ERROR: test_error}
_PAIRS = ("plain18", "resnet18", "plain34", "resnet34 A")
_TEN_CROPS = "the paper averages ten crops of ImageNet's validation images; here one crop is tested"

EXPERIMENTS = {
    # Table 1 prints the operations as billions of multiply-adds.
    "table1": Experiment(
        partial(
            model_sizes.analyze,
            models=[f"resnet{n}" for n in (18, 34, 50, 101, 152)],
            paper={
                "multiply-adds": {
                    "resnet18": 1.8e9,
                    "resnet34": 3.6e9,
                    "resnet50": 3.8e9,
                    "resnet101": 7.6e9,
                    "resnet152": 11.3e9,
                }
            },
        )
    ),
    "table2": Experiment(
        compare,
        IMAGENET,
        _PAIRS,
        columns={TEST_ERROR: test_error},
        paper={
            TEST_ERROR: {"plain18": 27.94, "resnet18": 27.88, "plain34": 28.54, "resnet34 A": 25.03}
        },
        draw=bars,
        note=_TEN_CROPS,
        smoke_labels=("plain18",),
    ),
    "table3": Experiment(
        compare,
        IMAGENET,
        ("plain34", "resnet34 A", "resnet34 B", "resnet34 C"),
        columns={TEST_ERROR: test_error, "parameters": parameters},
        paper={
            TEST_ERROR: {
                "plain34": 28.54,
                "resnet34 A": 25.03,
                "resnet34 B": 24.52,
                "resnet34 C": 24.19,
            }
        },
        draw=bars,
        note=_TEN_CROPS,
        smoke_labels=("plain18",),
    ),
    "table6": Experiment(
        compare,
        CIFAR,
        _RESIDUAL,
        columns={
            TEST_ERROR: test_error,
            "parameters": parameters,
            "multiply-adds": multiply_adds,
        },
        paper={
            TEST_ERROR: {"resnet20": 8.75, "resnet32": 7.51, "resnet44": 7.17, "resnet56": 6.97},
            "parameters": {
                "resnet20": 270_000,
                "resnet32": 460_000,
                "resnet44": 660_000,
                "resnet56": 850_000,
            },
        },
        draw=bars,
        note="resnet110 and resnet1202 are left out; train.py trains them",
        smoke_labels=("resnet20",),
    ),
    "fig1": Experiment(
        compare,
        CIFAR,
        ("plain20", "plain56"),
        columns=_CURVES,
        draw=partial(error_curves, by="step"),
        smoke_labels=("plain20",),
    ),
    "fig4": Experiment(
        compare,
        IMAGENET,
        _PAIRS,
        columns=_CURVES,
        draw=partial(error_curves, by="step"),
        smoke_labels=("plain18",),
    ),
    "fig6": Experiment(
        compare,
        CIFAR,
        (*_PLAIN, *_RESIDUAL),
        columns=_CURVES,
        paper={
            TEST_ERROR: {"resnet20": 8.75, "resnet32": 7.51, "resnet44": 7.17, "resnet56": 6.97}
        },
        draw=partial(error_curves, by="step"),
        note="resnet110 and resnet1202 are left out",
        smoke_labels=("plain20", "resnet20"),
    ),
    "fig7": Experiment(
        compare_responses,
        CIFAR,
        ("plain20", "resnet20", "plain56", "resnet56"),
        note="resnet110 is left out",
        smoke_labels=("plain20", "resnet20"),
    ),
}
