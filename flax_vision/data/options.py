"""How a person tells a program which data it is to have, for errors that say what to give."""

from dataclasses import dataclass

MAX_PIXELS = 2**28
"""Bound on the pixels of an image: at Pillow's four bytes a pixel, a copy takes 1 GiB.

Phones take photographs of up to 200 million pixels.
"""

CLASS_ORDERS = ("natural", "sorted")
"""Orders of a folder's classes: natural (9 before 10), or torchvision's ImageFolder order."""


@dataclass(frozen=True)
class Options:
    """What options are called, with what stands before their value; as train.py has them.

    Attributes:
      name: of a data set.
      tfds_dir: where TFDS keeps its sets.
      image_dir: of a folder of photographs.
      on_error: what becomes of images that cannot be read.
      max_pixels: Bound on the pixels of an image.
      one_size: a sentence on what to do where images of several sizes would be read into memory.
    """

    name: str = "--config.data.name="
    tfds_dir: str = "--config.data.tfds_dir="
    image_dir: str = "--config.data.image_dir="
    on_error: str = "--config.data.on_error="
    max_pixels: str = "--config.data.max_pixels="
    one_size: str = (
        "config.crop.size is 0; give the size of the part that the network sees, such as "
        "--config.crop.size=224, and --config.data.resize=0 --config.data.crop=0; or a recipe for "
        "photographs, such as configs/resnet50.py:imagenet."
    )


TRAINING = Options()
"""Of train.py."""
