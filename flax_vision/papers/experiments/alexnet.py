"""The experiments of the AlexNet paper."""

from functools import partial

from flax_vision.papers import layer_sizes
from flax_vision.papers.experiment import FEW_IMAGES, Experiment, Training
from flax_vision.papers.figures import bars, error_curves
from flax_vision.papers.kernels import show_kernels
from flax_vision.papers.measures import TEST_ERROR, compare, epochs_to, parameters, test_error
from flax_vision.papers.nearest import show_nearest

ALEXNET = Training(
    "alexnet",
    "alexnet",
    {
        "two columns": {},
        "one column of half the kernels": {"model.name": "alexnet_half"},
        "no response normalization": {"model.lrn": "none"},
        "non-overlapping pools": {"model.pool": "2/2"},
        "no color noise": {"augmentation.pca_noise": 0.0},
        "color noise": {"augmentation.pca_noise": 0.1},
        "no dropout": {"model.dropout": 0.0},
    },
    full="imagenet",
    reduced={"epochs": 12},
    smoke=FEW_IMAGES,
)

ACTIVATIONS = Training(
    "alexnet-cifar",
    "alexnet",
    {
        "ReLU": {"model.activation": "relu"},
        "tanh": {"model.activation": "tanh"},
    },
    full="figure1",
    smoke=FEW_IMAGES,
    recipes={"mnist_5k": "figure1_digits", "cifar10": "figure1"},
    common={"model.name": "alexnet_cifar"},
)

_REACHED = "epochs to 25 % training error"
_FIGURE_1 = Experiment(
    compare,
    ACTIVATIONS,
    columns={_REACHED: epochs_to},
    draw=partial(error_curves, splits=("train",), styles={"ReLU": "-", "tanh": "--"}),
    note="the paper finds ReLU six times faster, with the best rate for each",
)


def _ablation(other: str, gain: str) -> Experiment:
    """Returns the comparison of the paper's model with another one.

    Args:
      other: Name of the other setting.
      gain: Note about the difference that the paper reports.
    """
    return Experiment(
        compare,
        ALEXNET,
        ("two columns", other),
        columns={TEST_ERROR: test_error, "parameters": parameters},
        draw=bars,
        note=gain,
        smoke_labels=(other,),
    )


EXPERIMENTS = {
    "fig1": _FIGURE_1,
    "section3.1": _FIGURE_1,
    "fig2": Experiment(
        partial(
            layer_sizes.analyze,
            model="alexnet",
            shape=(224, 224, 3),
            paper={"multiply-adds": {}},
        )
    ),
    "fig3": Experiment(show_kernels, ALEXNET, ("two columns",)),
    "fig4": Experiment(show_nearest, ALEXNET, ("two columns",)),
    "section3.2": _ablation(
        "one column of half the kernels", "the paper's two columns gain 1.7 % top-1"
    ),
    "section3.3": _ablation("no response normalization", "the paper's normalization gains 1.4 %"),
    "section3.4": _ablation("non-overlapping pools", "the paper's overlapping pools gain 0.4 %"),
    "section4.1": Experiment(
        compare,
        ALEXNET,
        ("color noise", "no color noise"),
        columns={TEST_ERROR: test_error},
        draw=bars,
        note="the paper's color noise gains over 1 %; gray digits have no colors",
        smoke_labels=("color noise",),
    ),
    "section4.2": _ablation("no dropout", "the paper finds substantial overfitting without it"),
}
