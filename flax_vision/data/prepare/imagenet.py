"""Reader of the tar files of ImageNet (ILSVRC 2012)."""

import contextlib
import io
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.datasets.imagenet2012 import imagenet2012_dataset_builder as tfds_imagenet
from tensorflow_datasets.datasets.imagenet2012 import imagenet_common

from flax_vision.data.dataset import ProgressFn
from flax_vision.data.prepare.archives import damage_as_user_error
from flax_vision.data.prepare.image_index import ImageIndex, tar_members

TEST_ARCHIVES = ("ILSVRC2012_img_test.tar", "ILSVRC2012_img_test_v10102019.tar")
"""Names of the archive without labels, which is optional: TFDS's, and image-net.org's."""

_ARCHIVES = {
    "train": ("ILSVRC2012_img_train.tar",),
    "validation": ("ILSVRC2012_img_val.tar",),
    "test": TEST_ARCHIVES,
}

_REPORT = 1000
"""Images between two reports of progress."""


def imagenet_counts(config: Any) -> Mapping[str, int]:
    """Returns the number of images of each split."""
    del config  # ImageNet has none
    return {"train": 1_281_167, "validation": 50_000, "test": 100_000}


@contextlib.contextmanager
def imagenet_stores(
    builder: Any,
    files: Mapping[str, Path],
    counts: Mapping[str, int],
    scratch: Path,
    on_progress: ProgressFn,
) -> Iterator[Mapping[str, ImageIndex]]:
    """Checks the archives, and yields their indices.

    Args:
      builder: TFDS builder of ImageNet.
      files: Paths of the archives by published name; the test archive may be missing.
      counts: Number of images by split.
      scratch: Directory for temporary files, which are not needed.
      on_progress: Function that gets a text, the images found and the total.

    Raises:
      UserError: An archive is truncated, or is another file.
    """
    del scratch
    with contextlib.ExitStack() as stack:
        indices = {}
        for split, names in _ARCHIVES.items():
            for path in [files[name] for name in names if name in files][:1]:
                with damage_as_user_error(path):
                    file = stack.enter_context(path.open("rb"))
                    index = ImageIndex(path, file, split, has_names=True)
                    images = _fill(index, file, split, counts[split], builder)
                    _count(images, f"{builder.name} {split} index", counts[split], on_progress)
                    index.check(counts[split])
                indices[split] = index
        yield indices


def _count(images: Iterator[int], task: str, total: int, on_progress: ProgressFn) -> None:
    for found in images:
        if found % _REPORT == 0:
            on_progress(task, found, total)


def fix_image(name: str, content: bytes) -> bytes:
    """Returns an image as RGB JPEG, if TFDS lists it as PNG or CMYK.

    TFDS uses TensorFlow's encoder with the same settings; pixels may differ slightly.

    Args:
      name: Name of the image.
      content: Encoded image.
    """
    if not _is_recoded(name):
        return content
    file = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        rgb = image.convert("RGB")
    rgb.info.clear()  # its color profile is that of CMYK
    rgb.save(file, "jpeg", quality=100, subsampling="4:2:0", dpi=(300, 300))
    return file.getvalue()


def _is_recoded(name: str) -> bool:
    """Returns whether TFDS lists an image as PNG or CMYK."""
    return name in (*tfds_imagenet.CMYK_IMAGES, *tfds_imagenet.PNG_IMAGES)


def _fill(
    index: ImageIndex, file: IO[bytes], split: str, count: int, builder: Any
) -> Iterator[int]:
    """Adds the images of an archive, and yields their number after each."""
    if split == "train":
        return _fill_train(index, file, builder.info.features["label"].names)
    return _fill_numbered(index, file, split, _labels(builder, split, count))


def _fill_train(index: ImageIndex, file: IO[bytes], classes: list[str]) -> Iterator[int]:
    """Adds the images of the training archive, which has a tar for each class."""
    missing = dict.fromkeys(classes)
    labels = {name: label for label, name in enumerate(classes)}
    for archive in tar_members(file):
        name = archive.name.removesuffix(".tar")
        if name not in missing:
            raise ValueError(
                f"{archive.name} is not an archive of one of the {len(classes):,} classes"
            )
        del missing[name]
        for member in tar_members(file, archive.offset_data):
            _check_train_image(member, archive)
            index.add(member.name, member, labels[name])
            _fix_last(index, file, member)
            yield len(index)
    if missing:
        raise ValueError(f"{len(missing):,} of its classes are missing, such as {min(missing)}")


def _check_train_image(member: tarfile.TarInfo, archive: tarfile.TarInfo) -> None:
    """Raises a ValueError unless an image is in the archive of its class."""
    name = archive.name.removesuffix(".tar")
    if not re.fullmatch(rf"{name}_\d+\.JPEG", member.name):
        raise ValueError(f"{member.name} in {archive.name} is not an image of the class")
    if member.offset_data + member.size > archive.offset_data + archive.size:
        raise ValueError(f"{archive.name} is truncated")


def _fix_last(index: ImageIndex, file: IO[bytes], member: tarfile.TarInfo) -> None:
    if _is_recoded(member.name):
        file.seek(member.offset_data)
        index.replace_last(fix_image(member.name, file.read(member.size)))


def _fill_numbered(
    index: ImageIndex, file: IO[bytes], split: str, labels: list[int]
) -> Iterator[int]:
    """Adds the images of an archive whose names have numbers from 1 on."""
    prefix = {"validation": "val", "test": "test"}[split]
    for member in tar_members(file):
        name = posixpath.basename(member.name)
        found = re.fullmatch(rf"ILSVRC2012_{prefix}_(\d{{8}})\.JPEG", name)
        number = int(found[1]) if found else 0
        if not 1 <= number <= len(labels):
            raise ValueError(f"{member.name} is not an image of the {split} split")
        index.add(member.name, member, labels[number - 1])
        yield len(index)


def _labels(builder: Any, split: str, count: int) -> list[int]:
    """Returns the labels by number; -1 for the test split, whose labels are secret."""
    if split == "test":
        return [-1] * count
    to_label = builder.info.features["label"].str2int
    lines = Path(tfds.core.tfds_path(imagenet_common._VALIDATION_LABELS_FNAME)).read_text().split()
    return [to_label(line) for line in lines]
