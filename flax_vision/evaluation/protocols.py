"""The papers' test protocols as data: which parts of an image the network sees, and how large.

Sizes that a paper gives are for networks of 224x224; for others all are in proportion.
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
_MOST_PIXELS = 2**24
"""Of one image: a gigabyte of its first maps, where there are 16."""


class Box(NamedTuple):
    """A part of an image, in pixels: rows `top` to `top + height`, and so on."""

    top: int
    left: int
    height: int
    width: int

    def inside(self, height: int, width: int, down: float, right: float) -> "Box":
        """Returns a box of that size in this one; `down` and `right` go from 0 to 1."""
        top = self.top + int(down * (self.height - height))
        left = self.left + int(right * (self.width - width))
        return Box(top, left, height, width)


class Crop(NamedTuple):
    """What the network sees of an image.

    Attributes:
      side: shorter side to which the whole image is brought, in proportion.
      box: the part of it.
      shape: height and width to which the part is brought.
      flip: whether it is mirrored, left for right.
    """

    side: int
    box: Box
    shape: tuple[int, int]
    flip: bool


Boxes = Callable[[Box, int], list[Box]]
"""From a whole image and the side of a crop to the boxes of all crops."""


def whole(image: Box, crop: int) -> list[Box]:
    """Returns the image itself, for networks that are convolutions from end to end."""
    del crop
    return [image]


def corners_and_middle(image: Box, crop: int) -> list[Box]:
    """Returns the crops at the corners, from the top left on, and in the middle."""
    places = [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)]
    return [image.inside(crop, crop, *place) for place in places]


def grid(image: Box, crop: int) -> list[Box]:
    """Returns crops whose places are a regular grid of 5x5, row by row."""
    steps = [i / 4 for i in range(5)]
    return [image.inside(crop, crop, down, right) for down in steps for right in steps]


def squares(image: Box, crop: int) -> list[Box]:
    """Returns the corners, the middle and the whole of the left, middle and right square.

    The squares are as large as the image allows; in one that is higher than wide they are the top,
    middle and bottom ones.
    """
    side = min(image.height, image.width)
    found = [image.inside(side, side, place, place) for place in (0, 0.5, 1)]
    return [box for square in found for box in (*corners_and_middle(square, crop), square)]


@dataclass(frozen=True)
class Protocol:
    """How images are tested; every part is seen as it is and mirrored.

    Attributes:
      boxes: of an image, at each scale.
      sides: shorter sides of the images, for networks of 224x224.
      around: the sides are added to the one of training.
      of_middle: the parts are of the middle square of a photograph.
      of_scores: class scores are averaged over the crops; else softmax outputs.
    """

    boxes: Boxes
    sides: tuple[int, ...] = (0,)
    around: bool = True
    of_middle: bool = False
    of_scores: bool = False

    @property
    def is_dense(self) -> bool:
        """Whether the network sees images that are larger than those of its training."""
        return self.boxes is whole


PROTOCOLS = {
    # Krizhevsky et al. 2012, section 4.1; section 2 has the middle square.
    "ten_crop": Protocol(corners_and_middle, of_middle=True),
    # Simonyan and Zisserman 2014, sections 3.2 and 4.1, where the test scale Q is that of training.
    "dense": Protocol(whole),
    # The same, section 4.2, of networks trained at a fixed scale.
    "multi_scale": Protocol(whole, (-32, 0, 32)),
    # The same, sections 3.2 and 4.3; the scales of table 5.
    "multi_crop": Protocol(grid, (256, 384, 512), around=False),
    # Szegedy et al. 2014, section 7.
    "googlenet_144": Protocol(squares, (256, 288, 320, 352), around=False),
}

# He et al. 2015, section 3.4, in place of VGG's: networks trained at scales from 256 to 480,
# whose scores are averaged.
_RESNET_MULTI_SCALE = Protocol(whole, (224, 256, 384, 480, 640), around=False, of_scores=True)

NAMES = (CENTER, *PROTOCOLS)


def find_protocol(name: str, is_resnet: bool) -> Protocol:
    """Returns a protocol other than `"center"`.

    Args:
      name: one of `NAMES`.
      is_resnet: whether it is for one of the ResNets for ImageNet, which have scales of their own.

    Raises:
      UserError: there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, NAMES)
    return _RESNET_MULTI_SCALE if is_resnet and name == "multi_scale" else PROTOCOLS[name]


def sides_of(
    protocol: Protocol, crop: int, trained: int, jitter: tuple[int, int] | None = None
) -> tuple[int, ...]:
    """Returns the shorter sides that images are brought to.

    A network that was trained on whole images is tested densely at their own size. Where smaller
    parts, or smaller scales, are asked for, its images are as much larger as 256 is than 224.

    Args:
      protocol: the protocol.
      crop: height and width that the network was trained on.
      trained: shorter side of the images that these were cropped from.
      jitter: the least and the greatest such side, where training took any between them, which
        are the smaller and the larger scale then (Simonyan and Zisserman, section 4.2).
    """

    def in_proportion(side: int) -> int:
        return round(side * crop / _PAPER_SIZE)

    if not protocol.around:
        return tuple(map(in_proportion, protocol.sides))
    if jitter and len(protocol.sides) > 1:
        return jitter[0], sum(jitter) // 2, jitter[1]
    needs_room = not protocol.is_dense or min(protocol.sides) < 0
    middle = in_proportion(256) if needs_room and trained == crop else trained
    return tuple(middle + in_proportion(side) for side in protocol.sides)


def check_sides(
    protocol: Protocol, size: tuple[int, int], crop: int, sides: tuple[int, ...]
) -> None:
    """Raises a UserError where a crop does not fit into the images, or memory is too small.

    Args:
      protocol: the protocol.
      size: height and width of the images.
      crop: height and width that the network was trained on.
      sides: shorter sides that the images are brought to.
    """
    if min(sides) < 1 or (not protocol.is_dense and min(sides) < crop):
        smallest = 1 if protocol.is_dense else crop
        raise UserError(
            f"a scale is {min(sides)}, and the network sees {crop}x{crop} of each image; give "
            f"--scales of at least {smallest}."
        )
    height, width = resized_size(size, max(sides))
    if height * width > _MOST_PIXELS:
        raise UserError(
            f"a scale is {max(sides)}, which makes images of {height}x{width}; give --scales of at "
            f"most {math.isqrt(_MOST_PIXELS * min(size) // max(size))}."
        )


def crops_of(
    protocol: Protocol, size: tuple[int, int], crop: int, sides: tuple[int, ...], flip: bool = True
) -> Counter[Crop]:
    """Returns what the network sees of each image, and how often the same.

    Args:
      protocol: the protocol.
      size: height and width of the images.
      crop: height and width that the network was trained on.
      sides: shorter sides that the images are brought to; see `check_sides`.
      flip: adds the mirror image of each crop.
    """
    crops = []
    for side in sides:
        image = Box(0, 0, *resized_size(size, side))
        for box in protocol.boxes(image, crop):
            shape = (image.height, image.width) if protocol.is_dense else (crop, crop)
            crops += [Crop(side, box, shape, mirrored) for mirrored in (False, True)[: 1 + flip]]
    return Counter(crops)
