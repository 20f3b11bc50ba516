"""Strings of digits, and how LeNet-5 reads them without cutting them into digits.

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
from flax_vision.models.lenet_sdnn import PLACE_DISTANCE, space_displacement

BLANK = -35.0
"""Score of a place without a digit, for LeNet-5.

It scores a centered digit at about -5, the negated distance of equation 7, and most other places
below -40. A model of the embedded digits read 83 to 94 % of 1,000 strings of five of its training
digits. That depends on their distance, 20 to 28 pixels; multiples of 4, as between two places, are
best. Of strings of test digits it read 72 to 77 %. It knows 97.2 % of the single digits, which are
87 % of all strings of five.
"""

MIN_PLACES = 5
"""Smallest number of places from one digit to the next: 20 pixels, the size of MNIST's digits."""


class StringReading(NamedTuple):
    """The digits that a model reads in a string.

    Attributes:
      digits: Classes from left to right.
      places: Place of each digit; the center of place p is the column 4 p + 16.
      scores: Scores of all places, float32 [places, classes].
    """

    digits: tuple[int, ...]
    places: tuple[int, ...]
    scores: np.ndarray


def make_string(
    images: np.ndarray, labels: np.ndarray, count: int, seed: int, distance: int = 24
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Draws random digits side by side, in a field that is 32 pixels high.

    Where the images of two digits overlap, the brighter pixel counts.

    Args:
      images: Digits, uint8 [N, H, W, C] of at most 32x32.
      labels: Their classes, int [N].
      count: Number of digits in the string.
      seed: Seed of the choice.
      distance: Distance from one image to the next, in pixels.

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
    string = np.zeros((INPUT_SIZE, total + -total % PLACE_DISTANCE, channels), images.dtype)
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
    min_places: int = MIN_PLACES,
) -> StringReading:
    """Reads the digits of a string by the space displacement network of LeNet-5.

    ```python
    model, variables = fv.load("runs/lenet5")
    string, truth = make_string(test.images, test.labels, count=5, seed=0)
    image = load_metadata("runs/lenet5").preprocessing(string[None])[0]
    print(read_string(model, variables, image).digits, truth)
    ```

    This is simpler than the paper's system, see `best_digits`.

    Args:
      model: Model `lenet5`, or `lenet5_modern` with another `blank`.
      variables: Its variables, trained on single digits.
      image: Preprocessed string, float32 [32, width, C].
      blank: Score of a place without a digit.
      min_places: Smallest number of places from one digit to the next.

    Raises:
      UserError: The model has no space displacement form, or `min_places` is below 1.
      ValueError: The image is not 32 pixels high.

    Source: LeCun et al. 1998, section VII.
    """
    scores = string_scores(model, variables, np.asarray(image)[None])[0]
    return read_scores(scores, blank, min_places)


def string_scores(model: nn.Module, variables: Any, images: np.ndarray) -> np.ndarray:
    """Returns the scores of all places of strings, float32 [N, places, classes].

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
    scores: np.ndarray, blank: float = BLANK, min_places: int = MIN_PLACES
) -> StringReading:
    """Reads the digits of a string from its scores, see `best_digits`.

    Args:
      scores: Scores of all places, float [places, classes].
      blank: Score of a place without a digit.
      min_places: Smallest number of places from one digit to the next.

    Raises:
      UserError: `min_places` is below 1.
    """
    places = best_digits(scores, blank, min_places)
    digits = tuple(int(scores[place].argmax()) for place in places)
    return StringReading(digits, places, scores)


def best_digits(scores: np.ndarray, blank: float, min_places: int) -> tuple[int, ...]:
    """Returns the places of the best path of digits and blanks.

    A digit takes `min_places` places, its own first; every other place is blank. The path has the
    largest sum of the scores of its digits, less `blank` for each. Dynamic programming finds it
    (Viterbi's algorithm).

    The paper's system differs. It composes the scores with a grammar of characters and their
    models, adds up the penalties of all places along a path, and trains the network on whole
    strings. Here the network knows single digits only, and a digit has the score of its best place.

    Args:
      scores: Scores of all places, float [places, classes].
      blank: Score of a place without a digit.
      min_places: Smallest number of places from one digit to the next.

    Raises:
      UserError: `min_places` is below 1.
    """
    if min_places < 1:
        raise UserError(f"min_places is {min_places}; give a number of places of at least 1.")
    gains = scores.max(axis=1) - blank
    best = np.zeros(len(gains) + 1)  # of the places before each
    for place, gain in enumerate(gains):
        best[place + 1] = max(best[place], best[max(0, place + 1 - min_places)] + gain)
    found, place = [], len(gains)
    while place:
        if best[place] > best[place - 1]:
            found.append(place - 1)
            place = max(0, place - min_places)
        else:
            place -= 1
    return tuple(reversed(found))


@partial(jax.jit, static_argnums=0)
def _scan(model: nn.Module, variables: Any, images: Any) -> jax.Array:
    scores: Any = model.apply(variables, images)
    return scores
