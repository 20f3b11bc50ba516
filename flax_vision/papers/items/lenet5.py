"""LeNet-5: LeCun, Bottou, Bengio and Haffner, 1998."""

from flax_vision.papers.items.item import OUT_OF_SCOPE, REDUCED, REPRODUCED, Item, Paper

_DIAGRAM = "diagram of graph transformer networks, which this library does not have"
_METHODS = "the paper's other methods are left out"

_ITEMS = (
    Item("table1", REPRODUCED, "Maps of S2 that each map of C3 combines", runnable=True),
    Item("fig1", OUT_OF_SCOPE, "Feature extraction and classification", "diagram without results"),
    Item("fig2", REPRODUCED, "Layers of LeNet-5", "flax-vision summary lenet5", runnable=True),
    Item(
        "fig3", REDUCED, "Codes of the output units", "digits only, not all of ASCII", runnable=True
    ),
    Item("fig4", REDUCED, "Examples from MNIST", "examples of the embedded digits", runnable=True),
    Item("fig5", REDUCED, "Training and test error by pass", runnable=True),
    Item("fig6", REDUCED, "Errors for training sets of several sizes", runnable=True),
    Item("fig7", REDUCED, "Distortions of ten training images", runnable=True),
    Item("fig8", REDUCED, "All misclassified test images", runnable=True),
    Item("fig9", REDUCED, "Test errors of several methods", _METHODS, runnable=True),
    Item("fig10", REDUCED, "Rejections for an error of 0.5 %", _METHODS, runnable=True),
    Item("fig11", REPRODUCED, "Multiply-adds of several methods", _METHODS, runnable=True),
    Item("fig12", REPRODUCED, "Parameters of several methods", _METHODS, runnable=True),
    Item("fig13", OUT_OF_SCOPE, "Unusual and noisy digits", "the images were not published"),
    Item("fig14", OUT_OF_SCOPE, "A system of several modules", "diagram without results"),
    Item("fig15", OUT_OF_SCOPE, "Modules that exchange graphs", _DIAGRAM),
    Item("fig16", OUT_OF_SCOPE, "Segmentation graph of a string", _DIAGRAM),
    Item("fig17", OUT_OF_SCOPE, "Recognition of a string with graphs", _DIAGRAM),
    Item("fig18", OUT_OF_SCOPE, "Recognition transformer", _DIAGRAM),
    Item("fig19", OUT_OF_SCOPE, "Viterbi training", _DIAGRAM),
    Item("fig20", OUT_OF_SCOPE, "Discriminative Viterbi training", _DIAGRAM),
    Item("fig21", OUT_OF_SCOPE, "Discriminative forward training", _DIAGRAM),
    Item(
        "fig22", REPRODUCED, "A recognizer at every position", "flax-vision paper lenet5 section7"
    ),
    Item("fig23", REPRODUCED, "LeNet-5 on a wide field", "flax-vision paper lenet5 section7"),
    Item("fig24", OUT_OF_SCOPE, "Graph transformer after the wide network", _DIAGRAM),
    Item("fig25", REDUCED, "Strings read without segmentation", runnable=True),
    Item("fig26", OUT_OF_SCOPE, "Noisy strings", "the images were not published"),
    Item("fig27", OUT_OF_SCOPE, "Hidden Markov model after the wide network", _DIAGRAM),
    Item("fig28", OUT_OF_SCOPE, "Composition of two graphs", _DIAGRAM),
    Item("fig29", OUT_OF_SCOPE, "Algorithm for the composition of graphs", _DIAGRAM),
    Item("fig30", OUT_OF_SCOPE, "Online handwriting with segmentation", _DIAGRAM),
    Item("fig31", OUT_OF_SCOPE, "Online handwriting with the wide network", _DIAGRAM),
    Item("fig32", OUT_OF_SCOPE, "Character errors on handwriting", "the data are not public"),
    Item("fig33", OUT_OF_SCOPE, "System that reads checks", _DIAGRAM),
    Item("fig34", OUT_OF_SCOPE, "Confidence of the check reader", _DIAGRAM),
    Item(
        "section7",
        REDUCED,
        "LeNet-5 as a space displacement network on digit strings",
        "a path of digits and blanks replaces the graph transformers",
        runnable=True,
    ),
)

PAPER = Paper(
    "lenet5",
    "Gradient-Based Learning Applied to Document Recognition",
    "LeCun, Bottou, Bengio and Haffner, 1998",
    figures=34,
    tables=1,
    items=_ITEMS,
)
