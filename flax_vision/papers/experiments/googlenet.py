"""The experiments of the GoogLeNet paper."""

from functools import partial

from flax_vision.papers import layer_sizes
from flax_vision.papers.experiment import FEW_IMAGES, Experiment, Training
from flax_vision.papers.figures import bars
from flax_vision.papers.measures import (
    TEST_ERROR,
    compare,
    multiply_adds,
    parameters,
    test_error,
)
from flax_vision.papers.protocols import compare_protocols

GOOGLENET = Training(
    "googlenet",
    "googlenet",
    {
        "auxiliary heads": {},
        "no auxiliary heads": {"model.auxiliary_heads": False},
    },
    full="imagenet",
    reduced={"epochs": 6},
    smoke=FEW_IMAGES,
)

# The naive modules have eight times the multiply-adds, so both train on fewer images.
MODULES = Training(
    "googlenet-modules",
    "googlenet",
    {
        name: {"model.auxiliary_heads": False, "model.inception": name}
        for name in ("reduced", "naive")
    },
    full="imagenet",
    reduced={"epochs": 4, "data.limit": 100},
    smoke=FEW_IMAGES,
)

_COST = {"parameters": parameters, "multiply-adds": multiply_adds}

EXPERIMENTS = {
    # Table 1 prints operations in millions.
    "table1": Experiment(
        partial(
            layer_sizes.analyze,
            model="googlenet",
            shape=(224, 224, 3),
            paper={
                "multiply-adds": {
                    "conv1": 34e6,
                    "conv2": 360e6,
                    "inception_3a": 128e6,
                    "inception_3b": 304e6,
                    "inception_4a": 73e6,
                    "inception_4b": 88e6,
                    "inception_4c": 100e6,
                    "inception_4d": 119e6,
                    "inception_4e": 170e6,
                    "inception_5a": 54e6,
                    "inception_5b": 71e6,
                    "linear": 1e6,
                }
            },
        ),
        note="the paper's numbers for conv1 and inception_5a do not follow from its kernels; its "
        "conv2 includes conv2_reduce",
    ),
    "table3": Experiment(
        partial(
            compare_protocols,
            protocols=["center", "ten_crop", "googlenet_144"],
            averages_models=True,
        ),
        GOOGLENET,
        ("auxiliary heads",),
        note="the paper prints top-5 errors: 10.07 % with 1 crop, 9.15 % with 10, 7.89 % with 144; "
        "and 8.09, 7.62 and 6.67 % with 7 models. --seeds 0,1,2,3,4,5,6 trains 7 models",
        smoke_analyze=partial(compare_protocols, protocols=["center"]),
    ),
    "fig2": Experiment(
        compare,
        MODULES,
        ("reduced", "naive"),
        columns={TEST_ERROR: test_error, **_COST},
        draw=bars,
        note="the paper draws both modules, and gives no numbers for the naive one",
        smoke_labels=("reduced",),
    ),
    "section5": Experiment(
        compare,
        GOOGLENET,
        ("auxiliary heads", "no auxiliary heads"),
        columns={TEST_ERROR: test_error, **_COST},
        draw=bars,
        note="the paper gives no numbers for a network without auxiliary heads",
    ),
}
