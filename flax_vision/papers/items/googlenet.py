"""GoogLeNet: Szegedy and others, 2014."""

from flax_vision.papers.items.item import (
    NEEDS_IMAGENET,
    OUT_OF_SCOPE,
    REDUCED,
    REPRODUCED,
    Item,
    Paper,
)

_DETECTION = "detection of objects, which this library does not have"
_TEST = (
    "python train.py --config configs/googlenet.py:imagenet --workdir=runs/googlenet, with the "
    "seeds 0 to 6, and flax-vision evaluate RUN RUN ... --protocol googlenet_144"
)

_ITEMS = (
    Item("table1", REPRODUCED, "Layers and multiply-adds", runnable=True),
    Item("table2", NEEDS_IMAGENET, "Errors beside the other teams", _TEST),
    Item("table3", REDUCED, "Errors by the number of crops and models", runnable=True),
    Item("table4", OUT_OF_SCOPE, "Detection of the teams", _DETECTION),
    Item("table5", OUT_OF_SCOPE, "Detection of single models", _DETECTION),
    Item("fig1", OUT_OF_SCOPE, "Two similar breeds of dogs", "photographs without results"),
    Item("fig2", REDUCED, "Naive module against one with reductions", runnable=True),
    Item("fig3", REPRODUCED, "The whole network", "flax-vision summary googlenet"),
    Item("section5", REDUCED, "With and without auxiliary heads", runnable=True),
)

PAPER = Paper(
    "googlenet",
    "Going Deeper with Convolutions",
    "Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke and Rabinovich, 2014",
    figures=3,
    tables=5,
    items=_ITEMS,
)
