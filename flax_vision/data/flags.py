"""Command-line flags that error messages name, and bounds of their values."""

from dataclasses import dataclass

MAX_PIXELS = 2**28
"""Bound on the pixels of an image: at Pillow's four bytes a pixel, a copy takes 1 GiB.

Phones take photographs of up to 200 million pixels.
"""

HUGGING_FACE = "hf:"
"""Prefix of the names of Hugging Face's datasets."""

CLASS_ORDERS = ("natural", "sorted")
"""Orders of a folder's classes: natural (9 before 10), or torchvision's ImageFolder order."""


@dataclass(frozen=True)
class DataFlags:
    """Flags of one command, each with the text before its value; train.py's by default.

    Attributes:
      name: Name of the dataset.
      tfds_dir: Directory of prepared TFDS sets.
      image_dir: Folder of images.
      labels: Table of labels.
      image_column: Column of a table with the images or their paths.
      label_column: Column of a table with the labels.
      on_error: Treatment of unreadable images.
      max_pixels: Bound on the pixels of an image.
      arrays: Python call that takes images and labels in memory.
      one_size: Advice for images of several sizes that cannot be read into memory.
    """

    name: str = "--config.data.name="
    tfds_dir: str = "--config.data.tfds_dir="
    image_dir: str = "--config.data.image_dir="
    labels: str = "--config.data.labels="
    image_column: str = "--config.data.image_column="
    label_column: str = "--config.data.label_column="
    on_error: str = "--config.data.on_error="
    max_pixels: str = "--config.data.max_pixels="
    arrays: str = "fv.train(config, data=(images, labels))"
    one_size: str = (
        "config.crop.size is 0; give the height and width of a crop, such as "
        "--config.crop.size=224, and --config.data.resize=0 --config.data.crop=0; or a recipe for "
        "image files, such as configs/resnet50.py:imagenet."
    )


TRAIN_FLAGS = DataFlags()
"""The flags of train.py."""
