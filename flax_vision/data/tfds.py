"""Sets of small images that TensorFlow Datasets has prepared, read without TensorFlow."""

import contextlib
import difflib
import io
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from flax_vision.data.image_set import ImageSet, Report
from flax_vision.errors import UserError

_CHUNK = 1000
"""Images read at once; ArrayRecord is slow one by one."""

EMBEDDED = "--config.data.name=mnist_5k needs no download and no preparation."


def load_tfds(name: str, directory: str, report: Report) -> tuple[ImageSet, ImageSet]:
    """Reads the training and the test part of a prepared TFDS set into memory.

    Args:
      name: a TFDS name such as `"fashion_mnist"`.
      directory: where TFDS keeps its sets; empty for `$TFDS_DATA_DIR` or
        `~/tensorflow_datasets`.
      report: called as the reading goes on.

    Returns:
      The part `train`, and `test` (`validation` where there is no `test`).

    Raises:
      UserError: the set does not exist, is not prepared, or is not one of labelled images of
        one size.
    """
    builder = _prepared_builder(name, directory)
    _check_features(name, builder.info)
    test = "test" if "test" in builder.info.splits else "validation"
    missing = {"train", test} - set(builder.info.splits)
    if missing:
        raise UserError(
            f"data set {name!r} has no part {missing.pop()!r}, only "
            f"{', '.join(sorted(builder.info.splits)) or 'none'}; choose another set."
        )
    try:
        return _read(builder, "train", report), _read(builder, test, report)
    except (OSError, RuntimeError, ValueError) as error:  # ArrayRecord, TFDS and Pillow
        problem = str(error).splitlines()[0]
        raise UserError(
            _how_to_prepare(name, directory, f"is damaged ({problem}); prepare it again")
        ) from error


def _prepared_builder(name: str, directory: str) -> Any:
    try:
        with _quiet():
            builder = tfds.builder(name, data_dir=directory or None)
    except (AssertionError, ImportError, ValueError) as error:  # DatasetNotFoundError is one
        known = tfds.list_builders(with_community_datasets=False)  # those need a network
        nearest = difflib.get_close_matches(name, ["mnist_5k", *known], n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        raise UserError(
            f"unknown data set {name!r}{hint} Valid: mnist_5k, or any image classification set "
            f"that `tfds.list_builders()` names, such as mnist, fashion_mnist or cifar10. "
            f"{EMBEDDED}"
        ) from error
    if not builder.is_prepared():
        raise UserError(_how_to_prepare(name, directory, "is not prepared"))
    if builder.info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        found = f"is prepared as {builder.info.file_format.value}, which only TensorFlow reads"
        raise UserError(_how_to_prepare(name, directory, found))
    return builder


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what TFDS logs about every folder in which it does not find a set."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _how_to_prepare(name: str, directory: str, problem: str) -> str:
    directory = directory or str(tfds.core.constants.DATA_DIR)
    return (
        f"data set {name!r} {problem} (looked in {directory}). TFDS needs TensorFlow to prepare "
        "it, once, in an environment of its own: `pip install tensorflow tensorflow-datasets`, "
        f"then `tfds build {name} --file_format=array_record --data_dir={directory}`. "
        f"For sets elsewhere give --config.data.directory=DIR. {EMBEDDED}"
    )


def _check_features(name: str, info: Any) -> None:
    is_dict = isinstance(info.features, tfds.features.FeaturesDict)
    features = dict(info.features) if is_dict else {}
    image: Any = features.get("image")
    label = features.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(
        label, tfds.features.ClassLabel
    ):
        raise UserError(
            f"data set {name!r} has no `image` with a class as `label` (its features: "
            f"{', '.join(features) or 'none'}); choose an image classification set."
        )
    if None in image.shape:
        raise UserError(
            f"data set {name!r} has images of several sizes; choose a set of images of one size, "
            f"such as mnist, fashion_mnist or cifar10. {EMBEDDED}"
        )


def _read(builder: Any, part: str, report: Report) -> ImageSet:
    # TFDS would decode one image at a time and ask for OpenCV; Pillow is quicker called directly.
    skip = {"image": tfds.decode.SkipDecoding()}
    source = builder.as_data_source(split=part, decoders=skip)
    images = np.empty((len(source), *builder.info.features["image"].shape), np.uint8)
    labels = np.empty(len(source), np.int32)
    for start in range(0, len(source), _CHUNK):
        indices = range(start, min(start + _CHUNK, len(source)))
        for index, record in zip(indices, source.__getitems__(list(indices)), strict=True):
            images[index] = np.asarray(Image.open(io.BytesIO(record["image"]))).reshape(
                images.shape[1:]
            )
            labels[index] = record["label"]
        report(f"{builder.name} {part}", indices[-1] + 1, len(source))
    return ImageSet(images, labels, builder.info.features["label"].names)
