"""Which part of a photograph a network sees, as each paper chooses it."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

_TRIES = 10


class Part(NamedTuple):
    """A rectangle in a photograph, in its pixels; the edges may lie between two."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top


@dataclass(frozen=True)
class View:
    """How a photograph of any size becomes an image of one size; small ones are enlarged.

    Attributes:
      size: height and width of the image.
      test_scale: in a test the shorter side is brought to this, and the middle taken; at least
        `size`.
      scale: in training the shorter side is brought to a whole number, uniform from the first to
        the second of these, and any part taken (AlexNet, section 2: 256; VGG, section 3.1: 256,
        384 or from 256 to 512; ResNet, section 3.4: from 256 to 480).
      area: where given, training takes, in place of that, a part of a share of the photograph,
        uniform from the first to the second of these (GoogLeNet, section 6: from 0.08 to 1).
      aspect: the least and the greatest width of such a part in multiples of its height
        (GoogLeNet: from 3/4 to 4/3). Its logarithm is uniform, so that wide and high parts are as
        frequent; the paper does not say how it is drawn.
      channels: 3, or 1 for grey images.
    """

    size: int
    test_scale: int
    scale: tuple[int, int]
    area: tuple[float, ...] = ()
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    channels: int = 3

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return self.size, self.size, self.channels

    def test(self, width: int, height: int) -> Part:
        """Returns the part of a photograph of that size that is seen in a test."""
        columns, rows = _scaled(width, height, self.test_scale)
        return self._square(
            width, height, columns, rows, (columns - self.size) // 2, (rows - self.size) // 2
        )

    def training(self, width: int, height: int, random: np.random.Generator) -> Part:
        """Returns a random part of a photograph of that size."""
        if self.area:
            return self._part_of_an_area(width, height, random)
        scale = int(random.integers(self.scale[0], self.scale[1], endpoint=True))
        columns, rows = _scaled(width, height, scale)
        left = int(random.integers(columns - self.size, endpoint=True))
        top = int(random.integers(rows - self.size, endpoint=True))
        return self._square(width, height, columns, rows, left, top)

    def _square(
        self, width: int, height: int, columns: int, rows: int, left: int, top: int
    ) -> Part:
        """Returns where a square of the scaled photograph (columns x rows) lies in the original."""
        across, down = width / columns, height / rows
        return Part(
            left * across, top * down, (left + self.size) * across, (top + self.size) * down
        )

    def _part_of_an_area(self, width: int, height: int, random: np.random.Generator) -> Part:
        """Returns a part of random area and aspect, anywhere.

        Where ten tries lie partly outside, as in a panorama, it is the largest middle part whose
        aspect is allowed.
        """
        least, greatest = self.aspect
        for _ in range(_TRIES):
            area = width * height * random.uniform(self.area[0], self.area[1])
            aspect = math.exp(random.uniform(math.log(least), math.log(greatest)))
            columns, rows = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < columns <= width and 0 < rows <= height:
                left = int(random.integers(width - columns, endpoint=True))
                top = int(random.integers(height - rows, endpoint=True))
                return Part(left, top, left + columns, top + rows)
        columns = max(1, min(width, round(height * greatest)))
        rows = max(1, min(height, round(width / least)))
        left, top = (width - columns) // 2, (height - rows) // 2
        return Part(left, top, left + columns, top + rows)


@dataclass(frozen=True)
class Reading:
    """How photographs are read.

    Attributes:
      view: what becomes of each.
      on_error: whether one that cannot be read is an error, or is skipped and counted.
      threads: that decode; 0 for one a core.
    """

    view: View
    on_error: Literal["stop", "skip"] = "stop"
    threads: int = 0


def _scaled(width: int, height: int, shorter_side: int) -> tuple[int, int]:
    """Returns the width and height of a photograph whose shorter side is brought to a length."""
    factor = shorter_side / min(width, height)
    return round(width * factor), round(height * factor)
