"""Datasets prepared by TensorFlow Datasets (TFDS), read without TensorFlow."""

import contextlib
import difflib
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import ArrayDataset, Dataset, ProgressFn
from flax_vision.data.flags import TRAIN_FLAGS, DataFlags
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.data.prepare.sets import preparation_command
from flax_vision.data.upright import upright
from flax_vision.errors import UserError
from flax_vision.runtime.user_cache import cache_dir

_CHUNK = 1000
"""Records per read; ArrayRecord is slow one by one."""


def tfds_loaders(
    name: str,
    directory: str,
    on_progress: ProgressFn,
    decode_config: DecodeConfig | None = None,
    flags: DataFlags = TRAIN_FLAGS,
) -> Mapping[str, Callable[[], Dataset]]:
    """Returns functions that read the training and the test split of a prepared TFDS set.

    EMNIST's images, which are transposed in the set, are read upright.

    Args:
      name: TFDS name, such as `"fashion_mnist"`.
      directory: Directory of prepared sets; empty for `$TFDS_DATA_DIR` or
        `~/tensorflow_datasets`.
      on_progress: Function that gets a text, the records read and the total.
      decode_config: Settings for reading images on demand; None to read all images, of one size,
        into memory.
      flags: Flags that error messages name.

    Returns:
      Functions by `"train"` and `"test"`. The set's `validation` stands in for a `test` that is
      missing or has no labels.

    Raises:
      UserError: The set does not exist, is not prepared, is damaged, or has no labeled images. The
        functions raise it for damaged records.
    """
    request = _Request(name, directory, flags)
    builder = request.prepared_builder()
    request.check_features(builder.info, decode_config)

    def load(split: str) -> Dataset:
        with request.damage_as_user_error(builder):
            records = _Records(builder, split)
            if decode_config is None:
                return _read_all(records, on_progress)
            labels = _cached_labels(records, on_progress)
            indices = np.arange(len(records))
            return ImageFileDataset(records, indices, labels, records.class_names, decode_config)

    with request.damage_as_user_error(builder):
        test = request.test_split(builder)

    def load_upright(split: str) -> Dataset:
        return upright(builder.name, load(split))

    return {"train": partial(load_upright, "train"), "test": partial(load_upright, test)}


@dataclass(frozen=True)
class _Request:
    """A TFDS set that the user asks for, and the errors about it.

    Attributes:
      name: TFDS name.
      directory: Directory of prepared sets; empty for TFDS's default.
      flags: Flags that error messages name.
    """

    name: str
    directory: str
    flags: DataFlags

    def prepared_builder(self) -> Any:
        """Returns the builder of the set."""
        with _quiet():
            builder = self._builder()
            if not builder.is_prepared():
                raise self._preparation_error(builder, "is not prepared")
        if (format := builder.info.file_format) is not tfds.core.FileFormat.ARRAY_RECORD:
            problem = f"is prepared as {format.value}, which only TensorFlow reads"
            raise self._preparation_error(builder, problem)
        return builder

    def _builder(self) -> Any:
        try:
            if self.name.startswith("huggingface:"):  # TFDS would ask the Hub if it can
                raise ValueError("TFDS has no such set of its own")
            return tfds.builder(self.name, data_dir=self.directory or None)
        except (AssertionError, ImportError, ValueError) as error:  # also DatasetNotFoundError
            known = tfds.list_builders(with_community_datasets=False)  # those need a network
            nearest = difflib.get_close_matches(self.name, ["mnist_5k", "folder", *known], n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
            problem = (
                f"dataset {self.name!r} cannot be opened ({_first_line(error)}); choose another."
                if self.name in known
                else f"unknown dataset {self.name!r}{hint} Valid: mnist_5k, folder (of your own "
                "images), hf:OWNER/NAME, hf:PATH, or any image classification set that "
                "`tfds.list_builders()` names, such as mnist, fashion_mnist or cifar10. For a "
                "custom dataset give --import MODULE too."
            )
            raise UserError(f"{problem} {self._embedded}") from error

    def check_features(self, info: Any, decode_config: DecodeConfig | None) -> None:
        """Raises a UserError if the set has no labeled images, or none of one size for memory."""
        is_dict = isinstance(info.features, tfds.features.FeaturesDict)
        features = dict(info.features) if is_dict else {}
        image, label = features.get("image"), features.get("label")
        is_labeled = isinstance(label, tfds.features.ClassLabel)
        if not is_labeled or not isinstance(image, tfds.features.Image):
            raise UserError(
                f"dataset {self.name!r} has no `image` with a class as `label` (its features: "
                f"{', '.join(features) or 'none'}); choose an image classification set."
            )
        if None in image.shape and decode_config is None:
            raise UserError(
                f"dataset {self.name!r} has images of several sizes, and {self.flags.one_size}"
            )

    def test_split(self, builder: Any) -> str:
        """Returns the split for tests; the `test` of ImageNet has no labels (all are -1)."""
        splits = builder.info.splits
        is_labeled = "test" in splits and _Records(builder, "test").label(0) >= 0
        test = "test" if is_labeled else "validation"
        missing = {"train", test} - set(splits)
        if missing:
            raise UserError(
                f"dataset {self.name!r} has no split {missing.pop()!r}, only "
                f"{', '.join(sorted(splits)) or 'none'}; choose another set."
            )
        return test

    @contextlib.contextmanager
    def damage_as_user_error(self, builder: Any) -> Iterator[None]:
        """Turns the errors of damaged sets into UserErrors."""
        try:
            yield
        except UserError:
            raise
        except (OSError, RuntimeError, ValueError) as error:  # ArrayRecord, TFDS and Pillow
            problem = f"is damaged ({_first_line(error)}); prepare it again"
            raise self._preparation_error(builder, problem) from error

    def _preparation_error(self, builder: Any, problem: str) -> UserError:
        """Returns an error that says how to prepare the set."""
        directory = self.directory or str(tfds.core.constants.DATA_DIR)
        if command := preparation_command(builder, self.directory):
            return UserError(
                f"dataset {self.name!r} {problem} (looked in {directory}). Prepare it with "
                f"`{command}`. For sets elsewhere give {self.flags.tfds_dir}DIR. {self._embedded}"
            )
        command = f"tfds build {self.name} --file_format=array_record --data_dir={directory}"
        manual = ""
        if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            manual_dir = f"{directory}/downloads/manual"
            command += f" --manual_dir={manual_dir}"
            instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
            manual = f" Before that, put its files into {manual_dir}; TFDS says: {instructions!r}."
        return UserError(
            f"dataset {self.name!r} {problem} (looked in {directory}). TFDS needs TensorFlow to "
            "prepare it, once, in a separate environment: `pip install tensorflow "
            f"tensorflow-datasets`, then `{command}`.{manual} "
            f"For sets elsewhere give {self.flags.tfds_dir}DIR. {self._embedded}"
        )

    @property
    def _embedded(self) -> str:
        return f"{self.flags.name}mnist_5k needs no download and no preparation."


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the log messages of TFDS about every folder without the set."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Records:
    """The records of a split, by index."""

    def __init__(self, builder: Any, split: str) -> None:
        # TFDS would decode one image at a time and ask for OpenCV; direct calls of Pillow are
        # faster.
        decoders = {"image": tfds.decode.SkipDecoding()}
        self._source = builder.as_data_source(split=split, decoders=decoders)
        self._title = f"{builder.name} {split}"
        self._info = Path(builder.data_path, "dataset_info.json")
        self._split = split
        self.image_shape = builder.info.features["image"].shape
        self.class_names = builder.info.features["label"].names

    def __len__(self) -> int:
        return len(self._source)

    def open(self, index: int) -> IO[bytes]:
        """Returns an encoded image, read as a whole."""
        try:
            return io.BytesIO(self._source[index]["image"])
        except (RuntimeError, ValueError) as error:  # ArrayRecord and TFDS
            raise OSError(f"the record is damaged: {_first_line(error)}") from error

    def label(self, index: int) -> int:
        """Returns the class of an image."""
        return int(self._source[index]["label"])

    def name(self, index: int) -> str:
        """Returns the name of a record for messages."""
        return f"{self._title}, record {index}"

    def key(self, index: int) -> str:
        """Returns the number of a record."""
        return str(index)

    @property
    def identity(self) -> str:
        """Location and date of the prepared split."""
        modified = self._info.stat().st_mtime_ns
        return f"{self._info.resolve()} {modified} {self._split} {len(self)}"

    def enumerate(self, on_progress: ProgressFn) -> Iterator[tuple[int, Any]]:
        """Yields all records with their indices."""
        for start in range(0, len(self), _CHUNK):
            indices = range(start, min(start + _CHUNK, len(self)))
            yield from zip(indices, self._source.__getitems__(list(indices)), strict=True)
            on_progress(self._title, indices[-1] + 1, len(self))


def _read_all(records: _Records, on_progress: ProgressFn) -> ArrayDataset:
    """Reads images of one size into memory."""
    images = np.empty((len(records), *records.image_shape), np.uint8)
    labels = np.empty(len(records), np.int32)
    for index, record in records.enumerate(on_progress):
        pixels = np.asarray(Image.open(io.BytesIO(record["image"])))
        images[index] = pixels.reshape(images.shape[1:])
        labels[index] = record["label"]
    return ArrayDataset(images, labels, records.class_names)


def _cached_labels(records: _Records, on_progress: ProgressFn) -> np.ndarray:
    """Returns the labels of all records, int32 [N].

    A label lies beside its image, so all 150 GB of ImageNet must be read for the labels. The
    user's cache directory holds them for each prepared set.
    """
    digest = hashlib.sha256(records.identity.encode()).hexdigest()
    directory = cache_dir()
    file = directory and directory / f"labels-{digest[:16]}.npy"
    if file:
        with contextlib.suppress(OSError, ValueError, EOFError):  # missing or damaged
            cached = np.load(file)
            if cached.shape == (len(records),):
                return cached
    labels = np.empty(len(records), np.int32)
    for index, record in records.enumerate(on_progress):
        labels[index] = record["label"]
    if file:
        with contextlib.suppress(OSError):  # without a cache the labels are read again
            unfinished = file.with_name(f"{file.stem}-{os.getpid()}.npy")
            np.save(unfinished, labels)
            unfinished.replace(file)
    return labels
