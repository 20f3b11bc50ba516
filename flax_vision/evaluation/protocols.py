"""The papers' test protocols as data: the crops of each image, and their sizes.

A paper gives sizes for models of 224x224 pixels; other models use them in proportion.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from flax_vision.data.crops import resized_size
from flax_vision.errors import UserError, unknown

CENTER = "center"
"""The protocol of training: one crop, made by the preprocessing alone."""

_PAPER_SIZE = 224
_MAX_PIXELS = 2**24
"""Bound on the pixels of an image: its first 16 feature maps take a gigabyte."""


Size = tuple[int, int]
"""Height and width."""

Scales = tuple[int, ...]
"""Shorter sides of resized images."""


class Box(NamedTuple):
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def inside(self, height: int, width: int, down: float, right: float) -> "Box":
        """Returns a smaller box inside this one; `down` and `right` are offsets from 0 to 1."""
        top = self.top + int(down * (self.height - height))
        left = self.left + int(right * (self.width - width))
        return Box(top, left, height, width)


class Crop(NamedTuple):
    """One crop of an image.

    Attributes:
      scale: Shorter side of the resized whole image.
      box: Rectangle of the resized image.
      shape: Height and width of the resized rectangle.
      flip: Whether the crop is mirrored left to right.
    """

    scale: int
    box: Box
    shape: Size
    flip: bool


BoxesFn = Callable[[Box, int], list[Box]]
"""Function from a whole image and the crop size to the boxes of all crops."""


def whole_image(image: Box, _crop_size: int) -> list[Box]:
    """Returns the whole image, for fully convolutional models."""
    return [image]


def corners_and_center(image: Box, crop_size: int) -> list[Box]:
    """Returns the four corner crops, from the top left on, and the center crop."""
    offsets = [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)]
    return [image.inside(crop_size, crop_size, *offset) for offset in offsets]


def grid(image: Box, crop_size: int) -> list[Box]:
    """Returns the crops of a regular 5x5 grid, row by row."""
    offsets = [i / 4 for i in range(5)]
    return [image.inside(crop_size, crop_size, y, x) for y in offsets for x in offsets]


def three_squares(image: Box, crop_size: int) -> list[Box]:
    """Returns the corners, the center and the whole of the left, center and right square.

    The squares are as large as the image allows. A tall image has top, center and bottom squares.
    """
    side = min(image.height, image.width)
    squares = [image.inside(side, side, offset, offset) for offset in (0, 0.5, 1)]
    return [box for square in squares for box in (*corners_and_center(square, crop_size), square)]


@dataclass(frozen=True)
class Protocol:
    """A test protocol; each crop is used as it comes and mirrored.

    Attributes:
      boxes: Function that returns the crops of an image at one scale.
      scales: Shorter sides of the images, for models of 224x224 pixels.
      relative: Whether the scales are offsets from the training scale.
      center_square: Whether the crops lie in the center square of an image file.
      average_logits: Whether logits are averaged over the crops; else softmax outputs.
    """

    boxes: BoxesFn
    scales: Scales = (0,)
    relative: bool = True
    center_square: bool = False
    average_logits: bool = False

    @property
    def is_dense(self) -> bool:
        """Whether the model is applied to images larger than its training crops."""
        return self.boxes is whole_image


PROTOCOLS = {
    # Krizhevsky et al. 2012, section 4.1; section 2 has the center square.
    "ten_crop": Protocol(corners_and_center, center_square=True),
    # Simonyan and Zisserman 2014, sections 3.2 and 4.1, with the training scale as test scale Q.
    "dense": Protocol(whole_image),
    # The same, section 4.2, for models trained at a fixed scale.
    "multi_scale": Protocol(whole_image, (-32, 0, 32)),
    # The same, sections 3.2 and 4.3; the scales of table 5.
    "multi_crop": Protocol(grid, (256, 384, 512), relative=False),
    # Szegedy et al. 2014, section 7.
    "googlenet_144": Protocol(three_squares, (256, 288, 320, 352), relative=False),
}

# He et al. 2015, section 3.4, in place of VGG's: models trained at scales from 256 to 480,
# with averaged logits.
_RESNET_MULTI_SCALE = Protocol(
    whole_image, (224, 256, 384, 480, 640), relative=False, average_logits=True
)

NAMES = (CENTER, *PROTOCOLS)


def find_protocol(name: str, is_resnet: bool) -> Protocol:
    """Returns a protocol other than `"center"`.

    Args:
      name: One of `NAMES`.
      is_resnet: Whether the model is an ImageNet ResNet, whose paper has other scales.

    Raises:
      UserError: The protocol does not exist.
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, NAMES)
    return _RESNET_MULTI_SCALE if is_resnet and name == "multi_scale" else PROTOCOLS[name]


def default_scales(
    protocol: Protocol, crop_size: int, train_scale: int, scale_range: tuple[int, int] | None = None
) -> Scales:
    """Returns the scales of a protocol: shorter sides of the resized images.

    A model trained on whole images gets dense tests at their own size. If a protocol needs crops
    or smaller scales, its images are larger by the ratio of 256 to 224.

    Args:
      protocol: Test protocol.
      crop_size: Height and width of the training crops.
      train_scale: Shorter side of the images around the training crops.
      scale_range: Smallest and largest random scale of training. They become the smallest and the
        largest test scale (Simonyan and Zisserman, section 4.2).
    """

    def in_proportion(scale: int) -> int:
        return round(scale * crop_size / _PAPER_SIZE)

    if not protocol.relative:
        return tuple(map(in_proportion, protocol.scales))
    if scale_range and len(protocol.scales) > 1:
        return scale_range[0], sum(scale_range) // 2, scale_range[1]
    needs_room = not protocol.is_dense or min(protocol.scales) < 0
    center = in_proportion(256) if needs_room and train_scale == crop_size else train_scale
    return tuple(center + in_proportion(scale) for scale in protocol.scales)


def check_scales(protocol: Protocol, size: Size, crop_size: int, scales: Scales) -> None:
    """Checks that each crop fits into the images, and the images into memory.

    Args:
      protocol: Test protocol.
      size: Height and width of the images.
      crop_size: Height and width of the training crops.
      scales: Shorter sides of the resized images.

    Raises:
      UserError: A scale is too small or too large.
    """
    smallest = 1 if protocol.is_dense else crop_size
    if min(scales) < smallest:
        raise UserError(
            f"a scale is {min(scales)}, and the model takes {crop_size}x{crop_size} of each image; "
            f"give --scales of at least {smallest}."
        )
    height, width = resized_size(size, max(scales))
    if height * width > _MAX_PIXELS:
        raise UserError(
            f"a scale is {max(scales)}, which makes images of {height}x{width}; give --scales of "
            f"at most {math.isqrt(_MAX_PIXELS * min(size) // max(size))}."
        )


def make_crops(
    protocol: Protocol, size: Size, crop_size: int, scales: Scales, flip: bool = True
) -> Counter[Crop]:
    """Returns the crops of an image; identical crops are counted.

    Args:
      protocol: Test protocol.
      size: Height and width of the image.
      crop_size: Height and width of the training crops.
      scales: Shorter sides of the resized image; see `check_scales`.
      flip: Whether to add the mirror image of each crop.
    """
    crops: Counter[Crop] = Counter()
    for scale in scales:
        image = Box(0, 0, *resized_size(size, scale))
        shape = image[2:] if protocol.is_dense else (crop_size, crop_size)
        for box in protocol.boxes(image, crop_size):
            crops.update(Crop(scale, box, shape, x) for x in (False, True)[: 1 + flip])
    return crops
