"""VGG: Simonyan and Zisserman, 2014."""

from flax_vision.papers.items.item import (
    NEEDS_IMAGENET,
    OUT_OF_SCOPE,
    REDUCED,
    REPRODUCED,
    Item,
    Paper,
)

_LOCALIZATION = "localization of objects, which this library does not have"
_FUSION = (
    "python train.py --config configs/vgg16.py:imagenet --workdir=runs/vgg16, the same for "
    "configs/vgg19.py, and flax-vision evaluate runs/vgg16 runs/vgg19 --protocol dense"
)

_ITEMS = (
    Item("table1", REPRODUCED, "Layers of configurations A to E", "flax-vision summary vgg_a"),
    Item("table2", REPRODUCED, "Parameters of configurations A to E", runnable=True),
    Item("table3", REDUCED, "Errors of configurations A to E at one scale", runnable=True),
    Item("table4", REDUCED, "Errors at several test scales", runnable=True),
    Item("table5", REDUCED, "Dense evaluation, crops, and both", runnable=True),
    Item("table6", NEEDS_IMAGENET, "Errors of several models together", _FUSION),
    Item("table7", NEEDS_IMAGENET, "Errors beside other papers", _FUSION),
    Item("table8", OUT_OF_SCOPE, "Localization with several settings", _LOCALIZATION),
    Item("table9", OUT_OF_SCOPE, "Localization of several models", _LOCALIZATION),
    Item("table10", OUT_OF_SCOPE, "Localization beside other papers", _LOCALIZATION),
    Item(
        "table11",
        OUT_OF_SCOPE,
        "Features on other datasets",
        "linear classifiers on VOC and Caltech, which this library does not have",
    ),
    Item("table12", OUT_OF_SCOPE, "Recognition of actions", "VOC's actions are not a dataset here"),
    Item("section4.1", REDUCED, "Pairs of 3x3 layers against one 5x5 layer", runnable=True),
)

PAPER = Paper(
    "vgg",
    "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    "Simonyan and Zisserman, 2014",
    figures=0,
    tables=12,
    items=_ITEMS,
)
