"""Crops of images for training and evaluation, as the papers define them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from flax_vision.data.flags import MAX_PIXELS, TRAIN_FLAGS, DataFlags

_MAX_TRIES = 10

_ASPECT_BUCKETS = (1.0, 1.12, 1.24, 1.32, 1.49, 1.76, 2.0, 2.5)
"""Aspect ratios of evaluation crops, slightly below frequent ones (4:3, 3:2, 500x334, 16:9).

Images of those ratios thus lose only a few pixels.
"""

Size = tuple[int, int]
"""Width and height in pixels."""

INTERPOLATIONS = ("bilinear", "box", "nearest", "bicubic")
"""Pillow's names of resampling filters; box is the mean of an area."""


class CropBox(NamedTuple):
    """A rectangle in an image, in pixels; the edges may be fractional.

    Attributes:
      interpolation: Filter for scaling, one of `INTERPOLATIONS`.
      resize_to: Width and height of the whole image, which is first scaled at full
        resolution; the rectangle then lies in the scaled image, at whole pixels. None to scale
        the crop alone.
    """

    left: float
    top: float
    right: float
    bottom: float
    interpolation: str = "bilinear"
    resize_to: Size | None = None

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top


class EvalCrops(Protocol):
    """Fixed crops of an image of any size.

    Attributes:
      image_shape: Height, width and channels, preceded by the number of crops if several.
    """

    @property
    def image_shape(self) -> tuple[int, ...]: ...

    def crop_boxes(self, width: int, height: int) -> Sequence[CropBox]:
        """Returns the crops of an image of `width` by `height` pixels."""
        ...


@dataclass(frozen=True)
class CenterCrop:
    """The center of an image after its shorter side is scaled.

    Attributes:
      height: Height of the crop in pixels.
      width: Width of the crop in pixels.
      resize: Length of the shorter side after scaling.
      channels: 3, or 1 for gray images.
      as_torchvision: Whether pixels equal torchvision's to the bit: see `CropPolicy`.
    """

    height: int
    width: int
    resize: int
    channels: int = 3
    as_torchvision: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    def crop_boxes(self, width: int, height: int) -> list[CropBox]:
        """Returns the only crop of an image of `width` by `height` pixels."""
        if self.as_torchvision:
            # Rounds as torchvision's `Resize` and `CenterCrop` do.
            columns, rows = (self.resize * side // min(width, height) for side in (width, height))
            left, top = round((columns - self.width) / 2), round((rows - self.height) / 2)
            right, bottom = left + self.width, top + self.height
            return [CropBox(left, top, right, bottom, resize_to=(columns, rows))]
        columns, rows = resized = resized_size((width, height), self.resize)
        offset = (columns - self.width) // 2, (rows - self.height) // 2
        return [crop_box_in_original((width, height), resized, offset, (self.width, self.height))]


def aspect_bucket_crop(width: int, height: int, resize: int, channels: int) -> CenterCrop:
    """Returns a center crop of nearly the whole image, in one of 15 shapes.

    Few shapes need few compiled steps. The longer side is cut equally at both ends to the next of
    `_ASPECT_BUCKETS`; a panorama is cut to 5:2.

    Args:
      width: Width of the image.
      height: Height of the image.
      resize: Length of the shorter side after scaling.
      channels: 3, or 1 for gray images.
    """
    aspect = max(width, height) / min(width, height)
    longer = round(resize * max(bucket for bucket in _ASPECT_BUCKETS if bucket <= aspect))
    rows, columns = (resize, longer) if width >= height else (longer, resize)
    return CenterCrop(rows, columns, resize, channels)


@dataclass(frozen=True)
class CropPolicy:
    """Crops of one size from images of any size; small images are enlarged.

    Attributes:
      size: Height and width of the crop.
      eval_resize: Length of the shorter side in evaluation, before a center crop; at least `size`.
      resize_range: Least and greatest length of the shorter side in training. The length is
        uniform, and the crop lies anywhere (AlexNet, section 2: 256; VGG, section 3.1: 256, 384,
        or 256 to 512; ResNet, section 3.4: 256 to 480).
      scale: Least and greatest share of the image's area in a training crop, uniform
        (GoogLeNet, section 6: 0.08 to 1). It replaces `resize_range`; empty to use that.
      ratio: Least and greatest width of such a crop in multiples of its height (GoogLeNet: 3/4 to
        4/3). Its logarithm is uniform, so wide and high crops are equally frequent; the paper
        does not state the distribution.
      interpolation: Filter in training; `"random"` for any of four, equally often (GoogLeNet,
        section 6).
      channels: 3, or 1 for gray images.
      center_square: Whether training takes crops of the center square only (AlexNet, section 2).
      as_torchvision: Whether evaluation scales the whole image at full resolution before the
        crop, and rounds the longer side and the margins as torchvision does. Otherwise only the
        crop is scaled, and a JPEG is decoded at a sufficient resolution, which is faster.
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
        """Height, width and channels of the crops."""
        return self.size, self.size, self.channels

    @property
    def center_crop(self) -> CenterCrop:
        """The crop in evaluation."""
        size, resize = self.size, self.eval_resize
        return CenterCrop(size, size, resize, self.channels, self.as_torchvision)

    def random_crop(self, width: int, height: int, random: np.random.Generator) -> CropBox:
        """Draws a training crop of an image of `width` by `height` pixels."""
        draw = self._random_resized_crop if self.scale else self._random_crop_of_resized
        crop_box = draw(width, height, random)
        if self.interpolation == "random":
            return crop_box._replace(interpolation=str(random.choice(INTERPOLATIONS)))
        return crop_box

    def _random_crop_of_resized(
        self, width: int, height: int, random: np.random.Generator
    ) -> CropBox:
        resize = int(random.integers(*self.resize_range, endpoint=True))
        columns, rows = resized = resized_size((width, height), resize)
        inner = (resize, resize) if self.center_square else resized
        left = (columns - inner[0]) // 2 + int(random.integers(inner[0] - self.size, endpoint=True))
        top = (rows - inner[1]) // 2 + int(random.integers(inner[1] - self.size, endpoint=True))
        return crop_box_in_original((width, height), resized, (left, top), (self.size, self.size))

    def _random_resized_crop(self, width: int, height: int, random: np.random.Generator) -> CropBox:
        """Draws a crop of random area and aspect ratio, anywhere in the image.

        After ten tries outside the image, as in a panorama, it is the largest center crop of
        a permitted aspect ratio.
        """
        least, greatest = self.ratio
        for _ in range(_MAX_TRIES):
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
    """Settings for reading image files.

    Attributes:
      crop: Crops of each image.
      on_error: Treatment of unreadable images: an error, or skipped and counted.
      num_threads: Number of decoding threads; 0 for one per core.
      flags: Flags that error messages name.
      max_pixels: Bound on the pixels of an image.
    """

    crop: CropPolicy
    on_error: Literal["stop", "skip"] = "stop"
    num_threads: int = 0
    flags: DataFlags = TRAIN_FLAGS
    max_pixels: int = MAX_PIXELS


def resized_size(size: Size, shorter_side: int) -> Size:
    """Returns both sides of an image, in their order, after its shorter side is scaled.

    The longer side is rounded, halves to the even number.
    """
    first, second = (round(side * shorter_side / min(size)) for side in size)
    return first, second


def crop_box_in_original(original: Size, resized: Size, offset: Size, size: Size) -> CropBox:
    """Maps a crop of a resized image to the original image.

    Args:
      original: Width and height of the original.
      resized: Width and height after scaling.
      offset: Left and top of the crop in the resized image.
      size: Width and height of the crop in the resized image.
    """
    across, down = original[0] / resized[0], original[1] / resized[1]
    left, top = offset
    return CropBox(left * across, top * down, (left + size[0]) * across, (top + size[1]) * down)
