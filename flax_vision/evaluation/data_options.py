"""Options that choose the images of an evaluation, and the flags of the commands for them."""

from typing import Literal, TypedDict

from flax_vision.data.custom_datasets import ArrayData
from flax_vision.data.flags import DataFlags

OPTIONS = DataFlags(
    name="--data ",
    tfds_dir="--tfds-dir ",
    image_dir="--image-dir ",
    labels="--labels ",
    image_column="--image-column ",
    label_column="--label-column ",
    on_error="--on-error ",
    max_pixels="--max-pixels ",
    arrays="fv.evaluate(DIR, data=(images, labels))",
    one_size="the model was trained on small images in memory; give such a set, or a folder of "
    "images, --image-dir DIR.",
)
"""Flags of the `flax-vision` commands, for error messages."""


class DataOptions(TypedDict, total=False):
    """Options that choose the images; a missing one, or None, is as in the run.

    Attributes:
      data: Name of a dataset with the same classes; or images and labels in memory, as in
        `fv.train`. The arrays of the run are divided as in the run; of other arrays, all images
        are tested.
      tfds_dir: Directory of TFDS's datasets; the run's own is used only for its own dataset.
      image_dir: Folder of images to test in place of a named set. All of it is tested if it has no
        folder `train`.
      labels: Table of labels for the folder. All of it is tested if it has no splits.
      image_column: Column of a table with the images or their paths.
      label_column: Column of a table with the labels.
      on_error: Whether an unreadable image is an error, or is skipped with a warning.
      max_pixels: Bound on the pixels of an image file.
    """

    data: str | ArrayData | None
    tfds_dir: str | None
    image_dir: str | None
    labels: str | None
    image_column: str | None
    label_column: str | None
    on_error: Literal["stop", "skip"] | None
    max_pixels: int | None
