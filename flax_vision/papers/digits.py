"""Pictures of the LeNet-5 paper: table I, codes, examples, distortions and mistakes."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.ticker import FixedLocator

from flax_vision.analysis.report.figures.augmented import augment
from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Sheet, Theme, style
from flax_vision.analysis.report.figures.mistake_page import mistake_page
from flax_vision.data.augmentation import Augmentation
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.models.lenet import TABLE_I
from flax_vision.models.lenet_codes import digit_codes
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.papers.measures import PAPER, TEST_ERROR, test_error
from flax_vision.papers.run_images import probabilities, read_images

_CODE_SIZE = (12, 7)
_GAP = 0.05
MAX_DRAWN = 200
"""Largest number of mistakes in a figure."""


def show_connections(experiment: Experiment, runs: Sequence[Run]) -> Analysis:
    """Returns the maps of S2 that each map of C3 combines."""
    del experiment, runs
    rows: list[Row] = [
        {"map of C3": column, "maps of S2": " ".join(map(str, np.flatnonzero(TABLE_I[:, column])))}
        for column in range(TABLE_I.shape[1])
    ]
    return Analysis(rows, draw_connections, "Table of the connections from S2 to C3.")


def draw_connections(theme: Theme = LIGHT) -> Picture:
    """Draws table I: a cross for each connection."""
    picture = Picture(WIDTH, 0.45 * WIDTH, theme)
    axes = picture.add_subplot()
    style(axes, theme)
    inputs, outputs = np.nonzero(TABLE_I)
    axes.plot(outputs, inputs, "x", color=theme.first, ms=9, mew=2)
    axes.set_xlabel("map of C3", fontsize=12)
    axes.set_ylabel("map of S2", fontsize=12)
    axes.xaxis.set_major_locator(FixedLocator(range(TABLE_I.shape[1])))
    axes.yaxis.set_major_locator(FixedLocator(range(TABLE_I.shape[0])))
    axes.invert_yaxis()
    return picture


def show_codes(experiment: Experiment, runs: Sequence[Run]) -> Analysis:
    """Returns the number of components equal to 1 in the code of each digit."""
    del experiment, runs
    codes = digit_codes(10)
    rows: list[Row] = [
        {
            "digit": digit,
            "components": codes.shape[1],
            "components equal to 1": int((code > 0).sum()),
        }
        for digit, code in enumerate(codes)
    ]
    pictures = np.where(codes > 0, 0, 255).reshape(10, *_CODE_SIZE).astype(np.uint8)
    return Analysis(rows, partial(draw_grid, pictures, 10), "Bitmaps of the ten digits.")


def show_examples(experiment: Experiment, runs: Sequence[Run], each: int = 12) -> Analysis:
    """Returns the number of embedded digits, and draws the first ones of each class.

    Args:
      experiment: The experiment.
      runs: No runs.
      each: Drawn images of each class.
    """
    del experiment, runs
    train, test = load_mnist_5k()
    rows: list[Row] = [
        {
            "digit": name,
            "training images": int((train.labels == digit).sum()),
            "test images": int((test.labels == digit).sum()),
        }
        for digit, name in enumerate(train.class_names)
    ]
    chosen = [np.flatnonzero(train.labels == digit)[:each] for digit in range(10)]
    images = train.images[np.concatenate(chosen)]
    return Analysis(
        rows, partial(draw_grid, images, each), "Examples of the digits, one row for each digit."
    )


def show_distortions(
    experiment: Experiment, runs: Sequence[Run], strength: float = 0.5
) -> Analysis:
    """Returns the strength of the distortions, and draws nine distortions of ten digits.

    Args:
      experiment: The experiment.
      runs: No runs.
      strength: Value of `augmentation.random_affine`.
    """
    del experiment, runs
    train, _ = load_mnist_5k()
    originals = train.images[[np.flatnonzero(train.labels == digit)[0] for digit in range(10)]]
    forms = augment(
        originals, Augmentation(random_affine=strength), Preprocessing((0.0,), (255.0,)), 0, 9
    )
    # As in the figure, the originals are on the left.
    columns = np.concatenate([originals[None], forms])
    images = columns.swapaxes(0, 1).reshape(-1, *originals.shape[1:])
    rows: list[Row] = [{"setting": "augmentation.random_affine", "strength": strength}]
    return Analysis(rows, partial(draw_grid, images, 10), "Digits and nine distortions of each.")


def show_mistakes(experiment: Experiment, runs: Sequence[Run]) -> Analysis:
    """Returns the number of misclassified test images, and draws them for the first run.

    Args:
      experiment: The experiment.
      runs: Finished runs.
    """
    rows: list[Row] = []
    for run in runs:
        images = int(run.result["test/images"])
        error = test_error(run)
        rows.append(
            {
                "setting": f"{run.label}, seed {run.seed}",
                "test images": images,
                "mistakes": round(error / 100 * images),
                TEST_ERROR: error,
                f"{TEST_ERROR}, {PAPER}": experiment.paper[TEST_ERROR].get(run.label),
            }
        )
    pixels, tests = read_images(runs[0], "test")
    predicted = probabilities(runs[0], pixels).argmax(-1)
    shown = np.flatnonzero(predicted != tests.labels)[:MAX_DRAWN]
    if not len(shown):
        return Analysis(rows, partial(draw_grid, pixels[:0], 1), "No misclassified images.")
    wrong = pixels[shown], tests.labels[shown], predicted[shown]
    draw = partial(mistake_page, *wrong, tests.class_names, 12)
    return Analysis(rows, draw, f"{len(shown)} misclassified images with both classes.")


def draw_grid(images: np.ndarray, columns: int, theme: Theme = LIGHT) -> Picture:
    """Draws images in rows.

    Args:
      images: uint8 [N, H, W] or [N, H, W, C].
      columns: Images in a row.
      theme: Colors.
    """
    cell = WIDTH / columns
    height = cell * images.shape[1] / images.shape[2]
    rows = max(1, -(-len(images) // columns))
    sheet = Sheet(WIDTH, rows * height, theme)
    for index, image in enumerate(images):
        left, top = index % columns * cell, index // columns * height
        size = (cell - _GAP, height - _GAP)
        sheet.put(image, left + _GAP / 2, top + _GAP / 2, size, vmin=0, vmax=255)
    return sheet
