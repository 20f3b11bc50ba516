"""Which part of a photograph a network sees, as each paper chooses it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from flax_vision.data.options import MAX_PIXELS, TRAINING, Options

_TRIES = 10

_ASPECTS = (1.0, 1.12, 1.24, 1.32, 1.49, 1.76, 2.0, 2.5)
"""Longer sides, in multiples of the shorter one, that photographs are cut to: a little below those
that are frequent (4:3, 3:2 and 500x334, 16:9), so that these lose some pixels at the most."""


INTERPOLATIONS = ("bilinear", "box", "nearest", "bicubic")
"""By Pillow's names; box is the mean of an area."""


class CropBox(NamedTuple):
    """A rectangle in a photograph, in its pixels; the edges may lie between two.

    Attributes:
      interpolation: one of `INTERPOLATIONS`, by which it is scaled.
      brought_to: width and height that all of the photograph, in all its resolution, is brought to
        first; the rectangle is one of that then, in whole pixels. None to scale the part alone.
    """

    left: float
    top: float
    right: float
    bottom: float
    interpolation: str = "bilinear"
    brought_to: tuple[int, int] | None = None

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top


class Seen(Protocol):
    """What a test sees of a photograph of any size.

    Attributes:
      image_shape: height, width and channels, or those of each part after the number of parts.
    """

    @property
    def image_shape(self) -> tuple[int, ...]: ...

    def parts(self, width: int, height: int) -> Sequence[CropBox]:
        """Returns where the parts lie in a photograph of that size."""
        ...


@dataclass(frozen=True)
class CenterCrop:
    """The middle of a photograph whose shorter side has been brought to a length.

    Attributes:
      height: of the middle, in pixels.
      width: the same.
      scale: length of the shorter side.
      channels: 3, or 1 for gray images.
      as_torchvision: Whether pixels equal torchvision's to the bit: see `CropPolicy`.
    """

    height: int
    width: int
    scale: int
    channels: int = 3
    as_torchvision: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    def parts(self, width: int, height: int) -> list[CropBox]:
        """Returns where it lies in a photograph of that size, as its only part."""
        return [self.part(width, height)]

    def part(self, width: int, height: int) -> CropBox:
        """Returns where it lies in a photograph of that size."""
        if self.as_torchvision:
            return self._torchvisions_part(width, height)
        columns, rows = scaled((width, height), self.scale)
        left, top = (columns - self.width) // 2, (rows - self.height) // 2
        return in_the_file((width, height), (columns, rows), (left, top), (self.width, self.height))

    def _torchvisions_part(self, width: int, height: int) -> CropBox:
        """Returns what `Resize(scale)` and `CenterCrop` leave, which round in their own ways."""
        shorter = min(width, height)
        columns, rows = (self.scale * side // shorter for side in (width, height))
        left, top = round((columns - self.width) / 2), round((rows - self.height) / 2)
        right, bottom = left + self.width, top + self.height
        return CropBox(left, top, right, bottom, brought_to=(columns, rows))


def nearly_whole(width: int, height: int, scale: int, channels: int) -> CenterCrop:
    """Returns the middle that has nearly all of a photograph.

    It is of one of 15 shapes, so that few steps have to be compiled: the longer side is cut to the
    next of `_ASPECTS`, half of that at each end. A panorama is cut to 5:2.

    Args:
      width: of the photograph.
      height: the same.
      scale: that its shorter side is brought to.
      channels: 3, or 1 for gray images.
    """
    aspect = max(width, height) / min(width, height)
    longer = round(scale * max(least for least in _ASPECTS if least <= aspect))
    rows, columns = (scale, longer) if width >= height else (longer, scale)
    return CenterCrop(rows, columns, scale, channels)


@dataclass(frozen=True)
class CropPolicy:
    """How a photograph of any size becomes an image of one size; small ones are enlarged.

    Attributes:
      size: height and width of the image.
      eval_resize: in a test the shorter side is brought to this, and the middle taken; at least
        `size`.
      resize_range: in training the shorter side is brought to a whole number, uniform from the
        first to the second of these, and any part taken (AlexNet, section 2: 256; VGG, section
        3.1: 256, 384 or from 256 to 512; ResNet, section 3.4: from 256 to 480).
      scale: where given, training takes, in place of that, a part of a share of the photograph,
        uniform from the first to the second of these (GoogLeNet, section 6: from 0.08 to 1).
      ratio: the least and the greatest width of such a part in multiples of its height
        (GoogLeNet: from 3/4 to 4/3). Its logarithm is uniform, so that wide and high parts are as
        frequent; the paper does not say how it is drawn.
      interpolation: of training; `"random"` for any of four, equally often (GoogLeNet, section 6).
      channels: 3, or 1 for gray images.
      center_square: Whether training takes crops of the middle square only (AlexNet, section 2).
      as_torchvision: in a test the whole photograph is scaled, from all its resolution, and cut
        then, with torchvision's rounding of the longer side and the margins. Else the part alone is
        scaled, of a JPEG from no more resolution than it takes, which is faster.
    """

    size: int
    eval_resize: int
    resize_range: tuple[int, int]
    scale: tuple[float, ...] = ()
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Literal["bilinear", "random"] = "bilinear"
    channels: int = 3
    center_square: bool = False
    as_torchvision: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return self.size, self.size, self.channels

    @property
    def middle(self) -> CenterCrop:
        """What is seen in a test."""
        return CenterCrop(
            self.size, self.size, self.eval_resize, self.channels, self.as_torchvision
        )

    def training(self, width: int, height: int, random: np.random.Generator) -> CropBox:
        """Returns a random part of a photograph of that size."""
        choose = self._part_of_an_area if self.scale else self._part_at_a_scale
        part = choose(width, height, random)
        if self.interpolation == "random":
            return part._replace(interpolation=str(random.choice(INTERPOLATIONS)))
        return part

    def _part_at_a_scale(self, width: int, height: int, random: np.random.Generator) -> CropBox:
        scale = int(random.integers(self.resize_range[0], self.resize_range[1], endpoint=True))
        columns, rows = scaled((width, height), scale)
        across, down = (scale, scale) if self.center_square else (columns, rows)
        left = (columns - across) // 2 + int(random.integers(across - self.size, endpoint=True))
        top = (rows - down) // 2 + int(random.integers(down - self.size, endpoint=True))
        return in_the_file((width, height), (columns, rows), (left, top), (self.size, self.size))

    def _part_of_an_area(self, width: int, height: int, random: np.random.Generator) -> CropBox:
        """Returns a part of random area and aspect, anywhere.

        Where ten tries lie partly outside, as in a panorama, it is the largest middle part whose
        aspect is allowed.
        """
        least, greatest = self.ratio
        for _ in range(_TRIES):
            area = width * height * random.uniform(self.scale[0], self.scale[1])
            aspect = math.exp(random.uniform(math.log(least), math.log(greatest)))
            columns, rows = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < columns <= width and 0 < rows <= height:
                left = int(random.integers(width - columns, endpoint=True))
                top = int(random.integers(height - rows, endpoint=True))
                return CropBox(left, top, left + columns, top + rows)
        columns = max(1, min(width, round(height * greatest)))
        rows = max(1, min(height, round(width / least)))
        left, top = (width - columns) // 2, (height - rows) // 2
        return CropBox(left, top, left + columns, top + rows)


@dataclass(frozen=True)
class DecodeConfig:
    """How photographs are read.

    Attributes:
      view: what becomes of each.
      on_error: whether one that cannot be read is an error, or is skipped and counted.
      threads: that decode; 0 for one a core.
      options: of the program, which errors name.
      max_pixels: Bound on the pixels of a photograph.
    """

    crop: CropPolicy
    on_error: Literal["stop", "skip"] = "stop"
    threads: int = 0
    options: Options = TRAINING
    max_pixels: int = MAX_PIXELS


def scaled(size: tuple[int, int], shorter_side: int) -> tuple[int, int]:
    """Returns the two sides of an image, in their order, whose shorter one is brought to a length.

    The longer one is rounded, halves to the even number.
    """
    first, second = (round(side * shorter_side / min(size)) for side in size)
    return first, second


def in_the_file(
    original: tuple[int, int],
    scaled: tuple[int, int],
    place: tuple[int, int],
    size: tuple[int, int],
) -> CropBox:
    """Returns where a part of the scaled photograph lies in the original.

    Args:
      original: width and height of the photograph.
      scaled: those that it is brought to.
      place: left and top of the part in that.
      size: its width and height.
    """
    across, down = (length / brought for length, brought in zip(original, scaled, strict=True))
    left, top = place
    return CropBox(left * across, top * down, (left + size[0]) * across, (top + size[1]) * down)
