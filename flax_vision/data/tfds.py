"""Sets that TensorFlow Datasets has prepared, read without TensorFlow."""

import contextlib
import difflib
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import ArrayDataset, Dataset, ProgressFn
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.data.options import TRAINING, Options
from flax_vision.errors import UserError
from flax_vision.runtime.user_cache import cache_dir

_CHUNK = 1000
"""Records read at once; ArrayRecord is slow one by one."""


def find_tfds(
    name: str,
    directory: str,
    on_progress: ProgressFn,
    reading: DecodeConfig | None = None,
    options: Options = TRAINING,
) -> Mapping[str, Callable[[], Dataset]]:
    """Returns what reads the training and the test part of a prepared TFDS set.

    Args:
      name: a TFDS name such as `"fashion_mnist"`.
      directory: where TFDS keeps its sets; empty for `$TFDS_DATA_DIR` or
        `~/tensorflow_datasets`.
      on_progress: called as the reading goes on.
      reading: how photographs are read when they are needed; None to read all images into memory,
        which must be of one size then.
      options: of the program, which errors name.

    Returns:
      Functions by `"train"` and `"test"` (`validation` of the set where there is no `test` with
      labels).

    Raises:
      UserError: the set does not exist, is not prepared, is damaged, which the functions may find
        as well, or is not one of labeled images.
    """
    builder = _prepared_builder(name, directory, options)
    _check_features(name, builder.info, reading, options)

    def load(part: str) -> Dataset:
        with _undamaged(builder, name, directory, options):
            if reading is None:
                return _read(builder, part, on_progress)
            return _photographs(builder, part, reading, on_progress)

    with _undamaged(builder, name, directory, options):
        test = _test_part(name, builder)
    return {"train": partial(load, "train"), "test": partial(load, test)}


@contextlib.contextmanager
def _undamaged(builder: Any, name: str, directory: str, options: Options) -> Iterator[None]:
    """Makes a UserError of what is raised where a set is damaged."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # ArrayRecord, TFDS and Pillow
        if isinstance(error, UserError):
            raise
        problem = _first_line(error)
        raise UserError(
            _how_to_prepare(
                builder, name, directory, f"is damaged ({problem}); prepare it again", options
            )
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _prepared_builder(name: str, directory: str, options: Options) -> Any:
    try:
        with _quiet():
            builder = tfds.builder(name, data_dir=directory or None)
    except (AssertionError, ImportError, ValueError) as error:  # DatasetNotFoundError is one
        known = tfds.list_builders(with_community_datasets=False)  # those need a network
        if name in known:
            raise UserError(
                f"data set {name!r} of TFDS cannot be opened here ({_first_line(error)}); mend "
                f"that, or choose another. {_embedded(options)}"
            ) from error
        nearest = difflib.get_close_matches(name, ["mnist_5k", "folder", *known], n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        raise UserError(
            f"unknown data set {name!r}{hint} Valid: mnist_5k, folder (of your own images), or any "
            "image classification set that `tfds.list_builders()` names, such as mnist, "
            f"fashion_mnist or cifar10. {_embedded(options)}"
        ) from error
    with _quiet():
        is_prepared = builder.is_prepared()
    if not is_prepared:
        raise UserError(_how_to_prepare(builder, name, directory, "is not prepared", options))
    if builder.info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        found = f"is prepared as {builder.info.file_format.value}, which only TensorFlow reads"
        raise UserError(_how_to_prepare(builder, name, directory, found, options))
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


def _how_to_prepare(builder: Any, name: str, directory: str, problem: str, options: Options) -> str:
    directory = directory or str(tfds.core.constants.DATA_DIR)
    command = f"tfds build {name} --file_format=array_record --data_dir={directory}"
    manual = ""
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        place = f"{directory}/downloads/manual"
        command += f" --manual_dir={place}"
        said = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        manual = f" Before that, put what it is made of into {place}; TFDS says: {said!r}."
    return (
        f"data set {name!r} {problem} (looked in {directory}). TFDS needs TensorFlow to prepare "
        "it, once, in an environment of its own: `pip install tensorflow tensorflow-datasets`, "
        f"then `{command}`.{manual} "
        f"For sets elsewhere give {options.tfds_dir}DIR. {_embedded(options)}"
    )


def _embedded(options: Options) -> str:
    return f"{options.name}mnist_5k needs no download and no preparation."


def _check_features(name: str, info: Any, reading: DecodeConfig | None, options: Options) -> None:
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
    if None in image.shape and reading is None:
        raise UserError(f"data set {name!r} has images of several sizes, and {options.one_size}")


def _test_part(name: str, builder: Any) -> str:
    """Returns the part to test on: ImageNet's `test` has no labels (all are -1)."""
    parts = builder.info.splits
    test = "test" if "test" in parts and _Records(builder, "test").label(0) >= 0 else "validation"
    missing = {"train", test} - set(parts)
    if missing:
        raise UserError(
            f"data set {name!r} has no part {missing.pop()!r}, only "
            f"{', '.join(sorted(parts)) or 'none'}; choose another set."
        )
    return test


class _Records:
    """The records of a part, by their number."""

    def __init__(self, builder: Any, part: str) -> None:
        # TFDS would decode one image at a time and ask for OpenCV; Pillow is quicker called
        # directly.
        skip = {"image": tfds.decode.SkipDecoding()}
        self._source = builder.as_data_source(split=part, decoders=skip)
        self._title = f"{builder.name} {part}"

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> bytes:
        """Returns an encoded image."""
        try:
            content: bytes = self._source[index]["image"]
        except (RuntimeError, ValueError) as error:  # ArrayRecord and TFDS
            raise OSError(f"the record is damaged: {_first_line(error)}") from error
        return content

    def open(self, index: int) -> IO[bytes]:
        """Returns an encoded image, all of which is read."""
        return io.BytesIO(self.read(index))

    def label(self, index: int) -> int:
        """Returns the class of an image."""
        return int(self._source[index]["label"])

    def name(self, index: int) -> str:
        """Returns what a person finds a record by."""
        return f"{self._title}, record {index}"

    def key(self, index: int) -> str:
        """Returns the number of a record."""
        return str(index)

    def chunks(self, on_progress: ProgressFn) -> Iterator[tuple[int, Any]]:
        """Yields all records with their numbers."""
        for start in range(0, len(self), _CHUNK):
            indices = range(start, min(start + _CHUNK, len(self)))
            yield from zip(indices, self._source.__getitems__(list(indices)), strict=True)
            on_progress(self._title, indices[-1] + 1, len(self))


def _read(builder: Any, part: str, on_progress: ProgressFn) -> ArrayDataset:
    records = _Records(builder, part)
    images = np.empty((len(records), *builder.info.features["image"].shape), np.uint8)
    labels = np.empty(len(records), np.int32)
    for index, record in records.chunks(on_progress):
        pixels = np.asarray(Image.open(io.BytesIO(record["image"])))
        images[index] = pixels.reshape(images.shape[1:])
        labels[index] = record["label"]
    return ArrayDataset(images, labels, builder.info.features["label"].names)


def _photographs(
    builder: Any, part: str, reading: DecodeConfig, on_progress: ProgressFn
) -> ImageFileDataset:
    records = _Records(builder, part)
    labels = _labels(builder, part, records, on_progress)
    names = builder.info.features["label"].names
    return ImageFileDataset(records, np.arange(len(records)), labels, names, reading)


def _labels(builder: Any, part: str, records: _Records, on_progress: ProgressFn) -> np.ndarray:
    """Returns the labels of all records, int32 [N].

    A label lies beside its image, so that all 150 GB of ImageNet are read to have them; they are
    kept in the user's cache directory, for a set as it was prepared.
    """
    info = Path(builder.data_path) / "dataset_info.json"
    identity = f"{info.resolve()} {info.stat().st_mtime_ns} {part} {len(records)}"
    digest = hashlib.sha256(identity.encode()).hexdigest()
    cache = cache_dir()
    file = cache and cache / f"labels-{digest[:16]}.npy"
    if file:
        with contextlib.suppress(OSError, ValueError, EOFError):  # missing or damaged
            kept = np.load(file)
            if kept.shape == (len(records),):
                return kept
    labels = np.empty(len(records), np.int32)
    for index, record in records.chunks(on_progress):
        labels[index] = record["label"]
    if file:
        with contextlib.suppress(OSError):  # without a cache the labels are read again
            unfinished = file.with_name(f"{file.stem}-{os.getpid()}.npy")
            np.save(unfinished, labels)
            unfinished.replace(file)
    return labels
