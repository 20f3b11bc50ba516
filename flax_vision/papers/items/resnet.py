"""ResNet: He, Zhang, Ren and Sun, 2015."""

from flax_vision.papers.items.item import (
    NEEDS_IMAGENET,
    OUT_OF_SCOPE,
    REDUCED,
    REPRODUCED,
    Item,
    Paper,
)

_DETECTION = "detection of objects, which this library does not have"
_LOCALIZATION = "localization of objects, which this library does not have"
_TRAIN = "python train.py --config configs/resnet50.py:imagenet --workdir=runs/resnet50"

_ITEMS = (
    Item("table1", REPRODUCED, "Layers and multiply-adds for ImageNet", runnable=True),
    Item("table2", REDUCED, "Errors of plain and residual networks", runnable=True),
    Item("table3", REDUCED, "Errors of the shortcuts A, B and C", runnable=True),
    Item(
        "table4",
        NEEDS_IMAGENET,
        "Errors of single models",
        f"{_TRAIN} && flax-vision evaluate runs/resnet50 --protocol multi_scale",
    ),
    Item(
        "table5",
        NEEDS_IMAGENET,
        "Errors of several models together",
        f"{_TRAIN}, the same for other depths, and flax-vision evaluate RUN RUN ... --protocol "
        "multi_scale",
    ),
    Item("table6", REDUCED, "Sizes and errors on CIFAR-10", runnable=True),
    Item("table7", OUT_OF_SCOPE, "Detection on PASCAL VOC", _DETECTION),
    Item("table8", OUT_OF_SCOPE, "Detection on COCO", _DETECTION),
    Item("table9", OUT_OF_SCOPE, "Improvements of the detection on COCO", _DETECTION),
    Item("table10", OUT_OF_SCOPE, "Detection on VOC 2007 by class", _DETECTION),
    Item("table11", OUT_OF_SCOPE, "Detection on VOC 2012 by class", _DETECTION),
    Item("table12", OUT_OF_SCOPE, "Detection on ImageNet", _DETECTION),
    Item("table13", OUT_OF_SCOPE, "Localization on ImageNet", _LOCALIZATION),
    Item("table14", OUT_OF_SCOPE, "Localization beside other papers", _LOCALIZATION),
    Item("fig1", REDUCED, "Errors of plain networks with 20 and 56 layers", runnable=True),
    Item("fig2", REPRODUCED, "A residual block", "flax-vision summary resnet20"),
    Item("fig3", REPRODUCED, "VGG-19, plain-34 and ResNet-34", "flax-vision summary resnet34"),
    Item("fig4", REDUCED, "Errors by iteration of plain and residual networks", runnable=True),
    Item("fig5", REPRODUCED, "A block with a bottleneck", "flax-vision summary resnet50"),
    Item("fig6", REDUCED, "Errors by iteration on CIFAR-10", runnable=True),
    Item("fig7", REDUCED, "Standard deviations of the layers' responses", runnable=True),
)

PAPER = Paper(
    "resnet",
    "Deep Residual Learning for Image Recognition",
    "He, Zhang, Ren and Sun, 2015",
    figures=7,
    tables=14,
    items=_ITEMS,
)
