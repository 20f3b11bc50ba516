"""Strings of digits, which LeNet-5 reads without segmentation.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86(11): section VII.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from flax_vision.errors import UserError
from flax_vision.models.lenet import INPUT_SIZE
from flax_vision.models.lenet_sdnn import OUTPUT_STRIDE, space_displacement

BLANK = -35.0
"""Score of a position without a digit, for LeNet-5.

The score of a centered digit is about -5, the negated distance of equation 7. Most other positions
are below -40. With this value, a model of the embedded digits read 83 to 94 % of 1,000 strings of
five training digits, at distances of 20 to 28 pixels. It reads most at multiples of 4 pixels, the
distance of two positions. It read 72 to 77 % of strings of test digits. It classifies 97.2 % of
single test digits correctly; five in a row would give 87 %.
"""

MIN_DISTANCE = 5
"""Smallest distance between two digits, in positions: 20 pixels, the size of MNIST's digits."""


class StringReading(NamedTuple):
    """The digits that a model reads in a string.

    Attributes:
      digits: Classes from left to right.
      positions: Position of each digit; the center of position p is column 4 p + 16.
      scores: Scores of all positions, float32 [positions, classes].
    """

    digits: tuple[int, ...]
    positions: tuple[int, ...]
    scores: np.ndarray


def make_string(
    images: np.ndarray, labels: np.ndarray, count: int, seed: int, distance: int = 24
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Draws random digits side by side, in a field that is 32 pixels high.

    Where two images overlap, the brighter pixel is kept.

    Args:
      images: Digits, uint8 [N, H, W, C] of at most 32x32.
      labels: Their classes, int [N].
      count: Number of digits in the string.
      seed: Seed of the choice.
      distance: Distance between the left edges of two images, in pixels.

    Returns:
      The image uint8 [32, width, C], and the classes of its digits from left to right. The width
      is a multiple of 4.

    Raises:
      UserError: The number, the distance or the size of the images is not possible.
    """
    height, width, channels = images.shape[1:]
    if not 0 < count <= len(images):
        raise UserError(f"count is {count}; give a number of digits from 1 to {len(images):,}.")
    if distance < 1:
        raise UserError(f"distance is {distance}; give a number of pixels of at least 1.")
    if max(height, width) > INPUT_SIZE:
        raise UserError(f"the digits are {height}x{width}; give images of at most 32x32.")
    chosen = np.random.default_rng(seed).choice(len(images), count, replace=False)
    total = INPUT_SIZE + distance * (count - 1)
    string = np.zeros((INPUT_SIZE, total + -total % OUTPUT_STRIDE, channels), images.dtype)
    top, left = (INPUT_SIZE - height) // 2, (INPUT_SIZE - width) // 2
    for index, image in enumerate(images[chosen]):
        start = left + distance * index
        part = string[top : top + height, start : start + width]
        np.maximum(part, image, out=part)
    return string, tuple(int(label) for label in labels[chosen])


def read_string(
    model: nn.Module,
    variables: Any,
    image: np.ndarray,
    blank: float = BLANK,
    min_distance: int = MIN_DISTANCE,
) -> StringReading:
    """Reads the digits of a string with the space displacement network of LeNet-5.

    ```python
    model, variables = fv.load("runs/lenet5")
    string, truth = make_string(test.images, test.labels, count=5, seed=0)
    image = load_metadata("runs/lenet5").preprocessing(string[None])[0]
    print(read_string(model, variables, image).digits, truth)
    ```

    The paper's system is more complex, see `best_digits`.

    Args:
      model: Model `lenet5`, or `lenet5_modern` with another `blank`.
      variables: Its variables, trained on single digits.
      image: Preprocessed string, float32 [32, width, C].
      blank: Score of a position without a digit.
      min_distance: Smallest distance between two digits, in positions.

    Raises:
      UserError: The model has no space displacement form, or `min_distance` is below 1.
      ValueError: The image is not 32 pixels high.

    Source: LeCun et al. 1998, section VII.
    """
    scores = string_scores(model, variables, np.asarray(image)[None])[0]
    return read_scores(scores, blank, min_distance)


def string_scores(model: nn.Module, variables: Any, images: np.ndarray) -> np.ndarray:
    """Returns the scores of all positions of strings, float32 [N, positions, classes].

    Args:
      model: Model `lenet5` or `lenet5_modern`.
      variables: Its variables.
      images: Preprocessed strings, float32 [N, 32, width, C].

    Raises:
      UserError: The model has no space displacement form.
      ValueError: The images are not 32 pixels high.
    """
    return np.asarray(_scan(space_displacement(model), variables, images))


def read_scores(
    scores: np.ndarray, blank: float = BLANK, min_distance: int = MIN_DISTANCE
) -> StringReading:
    """Reads the digits of a string from its scores, see `best_digits`.

    Args:
      scores: Scores at all positions, float [positions, classes].
      blank: Score of a position without a digit.
      min_distance: Smallest number of positions from one digit to the next.

    Raises:
      UserError: `min_distance` is below 1.
    """
    positions = best_digits(scores, blank, min_distance)
    digits = tuple(int(scores[position].argmax()) for position in positions)
    return StringReading(digits, positions, scores)


def best_digits(scores: np.ndarray, blank: float, min_distance: int) -> tuple[int, ...]:
    """Returns the positions of the best path of digits and blanks.

    A digit takes `min_distance` positions, its own first; every other position is blank. The best
    path has the largest sum of digit scores, minus `blank` for each digit. Dynamic programming
    finds it (Viterbi's algorithm).

    The paper's system composes the scores with a grammar of characters, sums the penalties of all
    positions along a path, and trains the network on whole strings. Here the network is trained on
    single digits, and a digit has the score of its best position.

    Args:
      scores: Scores of all positions, float [positions, classes].
      blank: Score of a position without a digit.
      min_distance: Smallest distance between two digits, in positions.

    Raises:
      UserError: `min_distance` is below 1.
    """
    if min_distance < 1:
        raise UserError(f"min_distance is {min_distance}; give at least 1.")
    gains = scores.max(axis=1) - blank
    best = np.zeros(len(gains) + 1)  # of the positions before each
    for position, gain in enumerate(gains):
        best[position + 1] = max(best[position], best[max(0, position + 1 - min_distance)] + gain)
    found, position = [], len(gains)
    while position:
        if best[position] > best[position - 1]:
            found.append(position - 1)
            position = max(0, position - min_distance)
        else:
            position -= 1
    return tuple(reversed(found))


@partial(jax.jit, static_argnums=0)
def _scan(model: nn.Module, variables: Any, images: Any) -> jax.Array:
    scores: Any = model.apply(variables, images)
    return scores
