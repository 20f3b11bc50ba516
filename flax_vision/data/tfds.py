"""Datasets prepared by TensorFlow Datasets (TFDS), read without TensorFlow."""

import contextlib
import difflib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.flags import TRAIN_FLAGS, DataFlags
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.data.prepare.sets import preparation_command
from flax_vision.data.tfds_records import (
    TfdsRecords,
    first_line,
    is_large,
    known_labels,
    read_all,
    split_labels,
)
from flax_vision.data.upright import upright
from flax_vision.errors import UserError
from flax_vision.runtime.open_files import allow_open_files


def tfds_loaders(
    name: str,
    directory: str,
    on_progress: ProgressFn,
    decode_config: DecodeConfig | None = None,
    flags: DataFlags = TRAIN_FLAGS,
    stratify: str = "auto",
) -> Mapping[str, Callable[[], Dataset]]:
    """Returns functions that read the training and the test split of a prepared TFDS set.

    A record has an image and its label, so all of ImageNet must be read for its labels. Large sets
    have `LazyLabels` unless an index beside the records, or the user's cache, has the labels. The
    images of EMNIST are stored transposed, and read upright.

    Args:
      name: TFDS name, such as `"fashion_mnist"`.
      directory: Directory of prepared sets; empty for `$TFDS_DATA_DIR` or
        `~/tensorflow_datasets`.
      on_progress: Function that gets a text, the records read and the total.
      decode_config: Settings for reading images on demand; None to read all images, of one size,
        into memory.
      flags: Flags that error messages name.
      stratify: `"always"` to read all labels even of a large set, `"never"` for `LazyLabels` of any
        set, or `"auto"`.

    Returns:
      Functions by `"train"` and `"test"`. The set's `validation` stands in for a `test` that is
      missing or has no labels.

    Raises:
      UserError: The set does not exist, is not prepared, is damaged, has no labeled images, or has
        more files than a process may open. The functions raise it for damaged records.
    """
    request = _Request(name, directory, flags)
    builder = request.prepared_builder()
    request.check_features(builder.info, decode_config)

    def load(split: str) -> Dataset:
        with request.damage_as_user_error(builder):
            records = TfdsRecords(builder, split)
            if decode_config is None:
                return upright(builder.name, read_all(records, on_progress))
            labels = split_labels(records, stratify, on_progress)
            images = records, np.arange(len(records)), labels, records.class_names
            return upright(builder.name, ImageFileDataset(*images, decode_config))

    with request.damage_as_user_error(builder):
        test = request.test_split(builder)
    request.allow_open_shards(builder, ("train", test))
    return {"train": partial(load, "train"), "test": partial(load, test)}


def has_lazy_labels(
    name: str, directory: str, decode_config: DecodeConfig, flags: DataFlags = TRAIN_FLAGS
) -> bool:
    """Returns whether a split of a set gets `LazyLabels` from `tfds_loaders` with `"auto"`.

    Args:
      name: TFDS name.
      directory: Directory of prepared sets; empty for TFDS's default.
      decode_config: Settings for reading images on demand.
      flags: Flags that error messages name.

    Raises:
      UserError: As in `tfds_loaders`.
    """
    request = _Request(name, directory, flags)
    builder = request.prepared_builder()
    request.check_features(builder.info, decode_config)
    if not is_large(builder):
        return False
    with request.damage_as_user_error(builder):
        splits = ("train", request.test_split(builder))
        return any(known_labels(TfdsRecords(builder, split)) is None for split in splits)


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
                f"dataset {self.name!r} cannot be opened ({first_line(error)}); choose another."
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
        is_labeled = "test" in splits and TfdsRecords(builder, "test").label(0) >= 0
        test = "test" if is_labeled else "validation"
        missing = {"train", test} - set(splits)
        if missing:
            raise UserError(
                f"dataset {self.name!r} has no split {missing.pop()!r}, only "
                f"{', '.join(sorted(splits)) or 'none'}; choose another set."
            )
        return test

    def allow_open_shards(self, builder: Any, splits: Sequence[str]) -> None:
        """Lets readers of some splits hold all shards open; a UserError if they cannot."""
        shards = sum(builder.info.splits[split].num_shards for split in splits)
        allow_open_files(shards, f"dataset {self.name!r}")

    @contextlib.contextmanager
    def damage_as_user_error(self, builder: Any) -> Iterator[None]:
        """Turns the errors of damaged sets into UserErrors."""
        try:
            yield
        except UserError:
            raise
        except (OSError, RuntimeError, ValueError) as error:  # ArrayRecord, TFDS and Pillow
            problem = f"is damaged ({first_line(error)}); prepare it again"
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
