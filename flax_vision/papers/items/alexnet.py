"""AlexNet: Krizhevsky, Sutskever and Hinton, 2012."""

from flax_vision.papers.items.item import NEEDS_IMAGENET, REDUCED, REPRODUCED, Item, Paper

_TRAIN = "python train.py --config configs/alexnet.py:imagenet"
_TEST = f"{_TRAIN} --workdir=runs/alexnet && flax-vision evaluate runs/alexnet --protocol ten_crop"

_ITEMS = (
    Item("table1", NEEDS_IMAGENET, "Test errors on ILSVRC-2010 (here: on ILSVRC-2012)", _TEST),
    Item("table2", NEEDS_IMAGENET, "Errors on ILSVRC-2012, of one model and of several", _TEST),
    Item("fig1", REDUCED, "Training error of ReLU and tanh by epoch", runnable=True),
    Item("fig2", REPRODUCED, "Layers in two columns", "flax-vision summary alexnet", runnable=True),
    Item("fig3", REDUCED, "Kernels of the first layer", runnable=True),
    Item("fig4", REDUCED, "Predictions, and nearest training images by features", runnable=True),
    Item("section3.1", REDUCED, "ReLU against tanh, as in figure 1", runnable=True),
    Item(
        "section3.2", REDUCED, "Two columns against one column of half the kernels", runnable=True
    ),
    Item("section3.3", REDUCED, "With and without response normalization", runnable=True),
    Item("section3.4", REDUCED, "Overlapping against non-overlapping pools", runnable=True),
    Item("section4.1", REDUCED, "With and without color noise", runnable=True),
    Item("section4.2", REDUCED, "With and without dropout", runnable=True),
)

PAPER = Paper(
    "alexnet",
    "ImageNet Classification with Deep Convolutional Neural Networks",
    "Krizhevsky, Sutskever and Hinton, 2012",
    figures=4,
    tables=2,
    items=_ITEMS,
)
