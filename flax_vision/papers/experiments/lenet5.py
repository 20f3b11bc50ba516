"""The experiments of the LeNet-5 paper."""

from functools import partial

from flax_vision.papers import digits, layer_sizes, model_sizes
from flax_vision.papers.experiment import Experiment, Training
from flax_vision.papers.figures import bars, error_curves, errors_by_size
from flax_vision.papers.measures import TEST_ERROR, compare, test_error, train_error
from flax_vision.papers.rejection import REJECTED, compare_rejections
from flax_vision.papers.strings import read_strings

_TRAIN_ERROR = "training error, %"
_SMOKE = {"epochs": 1, "data.limit": 10, "mesh.data": 1}
_DISTORTED = {"augmentation.random_affine": 0.5}

DIGITS = Training(
    "lenet5",
    "lenet5",
    {
        "no distortions": {},
        "distortions": _DISTORTED,
        "half of the images": {"data.limit": 180},
        "quarter of the images": {"data.limit": 90},
        "eighth of the images": {"data.limit": 45},
    },
    full="paper",
    full_settings={
        "half of the images": {"data.limit": 3000},
        "quarter of the images": {"data.limit": 1500},
        "eighth of the images": {"data.limit": 750},
    },
    reduced={"epochs": 40},
    smoke=_SMOKE,
    seeds=3,
    common={"test_every_epochs": 1},
)

METHODS = Training(
    "lenet-methods",
    "lenet5",
    {
        "linear classifier": {"model.name": "lenet_linear"},
        "LeNet-1": {"model.name": "lenet1", "data.resize": 22},
        "LeNet-4": {"model.name": "lenet4"},
        "LeNet-5": {"model.name": "lenet5"},
    },
    full="mnist",
    reduced={"epochs": 40},
    smoke=_SMOKE,
    seeds=3,
)

_MODELS = ("lenet_linear", "lenet1", "lenet4", "lenet5")
_SIZES = ("eighth of the images", "quarter of the images", "half of the images", "no distortions")
_LINEAR = "the paper's linear classifier has 20x20 deslanted pixels there, and here 28x28"
_PAPER_ERRORS = {TEST_ERROR: {"no distortions": 0.95, "distortions": 0.8}}

_STRINGS = Experiment(
    read_strings,
    DIGITS,
    ("distortions",),
    note="a path of digits and blanks replaces the paper's graph transformers, and the network is "
    "trained on single digits only",
)

EXPERIMENTS = {
    "fig25": _STRINGS,
    "section7": _STRINGS,
    "table1": Experiment(digits.show_connections),
    "fig2": Experiment(
        partial(
            layer_sizes.analyze,
            model="lenet5",
            shape=(28, 28, 1),
            paper={
                "parameters": {
                    "C1": 156,
                    "S2": 12,
                    "C3": 1516,
                    "S4": 32,
                    "C5": 48_120,
                    "F6": 10_164,
                }
            },
        )
    ),
    "fig3": Experiment(digits.show_codes),
    "fig4": Experiment(digits.show_examples),
    "fig5": Experiment(
        compare,
        DIGITS,
        ("no distortions",),
        columns={_TRAIN_ERROR: train_error, TEST_ERROR: test_error},
        paper=_PAPER_ERRORS | {_TRAIN_ERROR: {"no distortions": 0.35}},
        draw=error_curves,
    ),
    "fig6": Experiment(
        compare,
        DIGITS,
        (*_SIZES, "distortions"),
        columns={_TRAIN_ERROR: train_error, TEST_ERROR: test_error},
        paper=_PAPER_ERRORS,
        draw=partial(
            errors_by_size,
            groups=dict.fromkeys(_SIZES, "no distortions") | {"distortions": "distortions"},
        ),
        smoke_labels=("no distortions", "distortions"),
    ),
    "fig7": Experiment(digits.show_distortions),
    "fig9": Experiment(
        compare,
        METHODS,
        columns={TEST_ERROR: test_error},
        paper={
            TEST_ERROR: {
                "linear classifier": 12.0,
                "LeNet-1": 1.7,
                "LeNet-4": 1.1,
                "LeNet-5": 0.95,
            }
        },
        draw=bars,
        note="the paper's other methods are left out",
        smoke_labels=("linear classifier", "LeNet-1"),
    ),
    "fig10": Experiment(
        compare_rejections,
        METHODS,
        ("LeNet-1", "LeNet-4", "LeNet-5"),
        paper={REJECTED: {"LeNet-1": 3.7, "LeNet-4": 1.8}},
        note="the figure has no LeNet-5; other methods than convolutional networks are left out",
        smoke_labels=("LeNet-1",),
    ),
    "fig11": Experiment(
        partial(
            model_sizes.analyze,
            models=_MODELS,
            paper={
                "multiply-adds": {
                    "lenet_linear": 4_000,
                    "lenet1": 100_000,
                    "lenet4": 260_000,
                    "lenet5": 401_000,
                }
            },
        ),
        note="section II.B counts 340,908 connections in LeNet-5, and the figure 401,000; "
        + _LINEAR,
    ),
    "fig12": Experiment(
        partial(
            model_sizes.analyze,
            models=_MODELS,
            paper={
                "parameters": {
                    "lenet_linear": 4_000,
                    "lenet1": 2_600,
                    "lenet4": 17_000,
                    "lenet5": 60_000,
                }
            },
        ),
        note=_LINEAR,
    ),
    "fig8": Experiment(
        digits.show_mistakes,
        DIGITS,
        ("distortions",),
        paper=_PAPER_ERRORS,
    ),
}
