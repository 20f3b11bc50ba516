"""Which part of a photograph of any size is seen, and how it is brought to the size of a batch.

On the host, before the compiled step. A part is a box (left, top, right, bottom) in pixels of the
photograph, so that only what is seen is resized.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from flax_vision.errors import UserError

Box = tuple[float, float, float, float]

_TRIES = 10
"""At a part of the wanted area and shape that fits into the photograph."""

_FILTERS = (
    Image.Resampling.BILINEAR,
    Image.Resampling.BOX,
    Image.Resampling.NEAREST,
    Image.Resampling.BICUBIC,
)


@dataclass(frozen=True)
class View:
    """How photographs become squares.

    Attributes:
      size: height and width of the squares, in pixels.
      choice: of the part in training: the middle (AlexNet), or any of `size` pixels after the
        shorter side was brought to a random length in `scale` (`"random"`; VGG, ResNet), or one of
        random area and shape (`"area"`; GoogLeNet).
      scale: shortest and longest length of the shorter side in training.
      area: least and greatest share of the photograph's area.
      aspect: least and greatest width by height.
      test_scale: length of the shorter side in a test, of which the middle is seen.
      interpolation: `"bilinear"`, or one of four at random in training (GoogLeNet).
    """

    size: int = 224
    choice: Literal["middle", "random", "area"] = "random"
    scale: tuple[int, int] = (256, 256)
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    test_scale: int = 256
    interpolation: Literal["bilinear", "random"] = "bilinear"

    def __post_init__(self) -> None:
        for key, shortest in (("scale", min(self.scale)), ("test_scale", self.test_scale)):
            if shortest < self.size:
                raise UserError(
                    f"config.files.{key} is {getattr(self, key)}, and config.files.size is "
                    f"{self.size}; give a shorter side of at least that."
                )

    def test(self, image: Image.Image) -> np.ndarray:
        """Returns what is seen of an image in a test, uint8 [size, size, 3]."""
        return self._cut(image, middle(*image.size, self.size / self.test_scale))

    def train(self, image: Image.Image, random: np.random.Generator) -> np.ndarray:
        """Returns what is seen of an image in training, uint8 [size, size, 3]."""
        if self.choice == "area":
            box = part_of_area(*image.size, self.area, self.aspect, random)
        else:
            shorter = random.integers(self.scale[0], self.scale[1], endpoint=True)
            share = self.size / shorter
            is_middle = self.choice == "middle"
            box = middle(*image.size, share) if is_middle else part(*image.size, share, random)
        chosen = random.choice(len(_FILTERS)) if self.interpolation == "random" else 0
        return self._cut(image, box, _FILTERS[chosen])

    def _cut(
        self, image: Image.Image, box: Box, resample: Image.Resampling = Image.Resampling.BILINEAR
    ) -> np.ndarray:
        return np.asarray(image.resize((self.size, self.size), resample, box, reducing_gap=3.0))


def middle(width: int, height: int, share: float) -> Box:
    """Returns the square in the middle whose side is that share of the shorter side."""
    side = share * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def part(width: int, height: int, share: float, random: np.random.Generator) -> Box:
    """Returns a square anywhere whose side is that share of the shorter side."""
    side = share * min(width, height)
    left, top = random.uniform(0, width - side), random.uniform(0, height - side)
    return left, top, left + side, top + side


def part_of_area(
    width: int,
    height: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    random: np.random.Generator,
) -> Box:
    """Returns a box of random area and shape anywhere (Szegedy et al. 2014, section 6).

    The area is uniform, the logarithm of width by height too, so that a shape and its transpose are
    equally likely. Where none fits in ten tries, it is the largest square in the middle.
    """
    for _ in range(_TRIES):
        wanted = random.uniform(*area) * width * height
        shape = np.exp(random.uniform(*np.log(aspect)))
        w, h = np.sqrt(wanted * shape), np.sqrt(wanted / shape)
        if w <= width and h <= height:
            left, top = random.uniform(0, width - w), random.uniform(0, height - h)
            return left, top, left + w, top + h
    return middle(width, height, 1.0)
