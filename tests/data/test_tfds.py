"""TFDS sets that the tests prepare themselves."""

import io
import shutil
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from flax_vision.data import tfds_records
from flax_vision.data.batches import evaluation_batches
from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.tfds import tfds_loaders
from flax_vision.errors import UserError
from flax_vision.evaluation.data_options import OPTIONS

RANDOM = np.random.default_rng(0)
TRAIN = RANDOM.integers(0, 256, (2345, 4, 5, 3), np.uint8)
TEST = RANDOM.integers(0, 256, (7, 4, 5, 3), np.uint8)
MANY = [RANDOM.integers(0, 256, (4 + i % 3, 4 + i % 5, 3), np.uint8) for i in range(12)]
DECODE_CONFIG = DecodeConfig(CropPolicy(size=4, eval_resize=4, resize_range=(4, 4)))


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return file.getvalue()


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    SPLITS: ClassVar = {"train": TRAIN, "test": TEST}
    SHAPE: tuple[int | None, ...] = (4, 5, 3)
    LABEL = tfds.features.ClassLabel(names=["cat", "dog", "owl"])

    def _info(self):
        features = {"image": tfds.features.Image(shape=self.SHAPE), "label": self.LABEL}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(images) for split, images in self.SPLITS.items()}

    def _generate_examples(self, images):
        for index, image in enumerate(images):
            yield index, {"image": png(image), "label": index % 3}


class TinyValidated(TinyPictures):
    SPLITS: ClassVar = {"train": TEST, "validation": TEST[:3]}


class TinyUntested(TinyPictures):
    SPLITS: ClassVar = {"train": TEST}


class TinyOfManySizes(TinyPictures):
    """Like ImageNet: several sizes, and `test` without labels."""

    SPLITS: ClassVar = {"train": MANY, "validation": MANY[:3], "test": MANY[:2]}
    SHAPE = (None, None, 3)

    def _split_generators(self, dl_manager):
        return {
            split: self._generate_examples(images, split != "test")
            for split, images in self.SPLITS.items()
        }

    def _generate_examples(self, images, is_labeled):
        for index, image in enumerate(images):
            label = index % 3 if is_labeled else -1
            yield index, {"image": png(image), "label": label}


class TinyByHand(TinyPictures):
    MANUAL_DOWNLOAD_INSTRUCTIONS = "put pictures.tar there"


class TinyUnlabeled(TinyPictures):
    SPLITS: ClassVar = {"train": TEST, "test": TEST}
    LABEL = np.int64


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tfds")
    for builder in (TinyPictures, TinyValidated, TinyUntested, TinyOfManySizes, TinyUnlabeled):
        builder(data_dir=directory, file_format="array_record").download_and_prepare()
    return str(directory)


def ignore(task, done, total):
    """Ignores progress."""


def load_tfds(*arguments):
    """Returns the training and the test split."""
    found = tfds_loaders(*arguments)
    return found["train"](), found["test"]()


def by_content(images, labels):
    return sorted(
        (image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)
    )


def test_every_image_arrives_with_its_label(directory):
    train, test = load_tfds("tiny_pictures", directory, ignore)
    for dataset, images in ((train, TRAIN), (test, TEST)):
        assert dataset.images.dtype == np.uint8
        # TFDS shuffles when it prepares.
        labels = np.arange(len(images)) % 3
        assert by_content(dataset.images, dataset.labels) == by_content(images, labels)
    assert train.class_names == ["cat", "dog", "owl"]
    assert "tensorflow" not in sys.modules


def test_progress(directory):
    progress = []
    load_tfds("tiny_pictures", directory, lambda *call: progress.append(call))
    name = "tiny_pictures train"
    assert progress[:3] == [(name, 1000, 2345), (name, 2000, 2345), (name, 2345, 2345)]


def test_validation_stands_in_for_a_missing_test_split(directory):
    _, test = load_tfds("tiny_validated", directory, ignore)
    assert len(test) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny_pictuers", "unknown dataset 'tiny_pictuers'; did you mean 'tiny_pictures'"),
        ("mnist_5", "did you mean 'mnist_5k'"),
        ("fashion_mnist", "not prepared.*`flax-vision prepare fashion_mnist --tfds-dir=DIRECTORY`"),
        ("svhn_cropped", "not prepared.*tfds build svhn_cropped --file_format=array_record"),
        ("tiny_untested", "no split 'validation', only train"),
        ("tiny_of_many_sizes", "images of several sizes.*--config.crop.size=224"),
        ("imagenet2012", "`flax-vision prepare imagenet2012 --source=DIR --tfds-dir=DIRECTORY`"),
        (
            "imagenet2012_real",
            "not prepared.*tfds build imagenet2012_real .*--manual_dir=DIRECTORY/downloads/manual`"
            ".*into DIRECTORY/downloads/manual.*ILSVRC2012_img_val.tar",
        ),
        ("tiny_unlabeled", "no `image` with a class as `label`.*image, label"),
        ("not a name", "unknown dataset 'not a name'"),
        ("", "unknown dataset ''"),
        ("mnist:9.9.9", "unknown dataset 'mnist:9.9.9'"),
        ("huggingface:mnist", "unknown dataset 'huggingface:mnist'"),
        ("emnist/letters", "`flax-vision prepare emnist/letters --tfds-dir=DIRECTORY`"),
    ],
)
def test_unavailable_sets(name, message, directory):
    with pytest.raises(UserError, match=message.replace("DIRECTORY", directory)):
        load_tfds(name, directory, ignore)


def test_set_whose_builder_cannot_be_imported(directory, monkeypatch):
    def fails(*_, **__):
        raise ImportError("No module named 'pycocotools'\nand more")

    monkeypatch.setattr(tfds, "builder", fails)
    message = "'coco' cannot be opened .No module named 'pycocotools'.; choose"
    with pytest.raises(UserError, match=message):
        load_tfds("coco", directory, ignore)


@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_bytes(b"short")])
def test_damaged_set(damage, directory, tmp_path):
    shutil.copytree(Path(directory) / "tiny_pictures", tmp_path / "tiny_pictures")
    damage(next(tmp_path.rglob("*train.array_record*")))
    with pytest.raises(UserError, match="'tiny_pictures' is damaged .*prepare it again"):
        load_tfds("tiny_pictures", str(tmp_path), ignore)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache directory of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "flax_vision"


def scaled_center_crops(images):
    """Returns the center crops of images from their own pixels."""
    crops = []
    for image in images:
        height, width, _ = image.shape
        size = [round(side * 4 / min(height, width)) for side in (width, height)]
        left, top = ((side - 4) // 2 for side in size)
        scaled = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
        crops.append(np.asarray(scaled)[top : top + 4, left : left + 4])
    return np.stack(crops)


def test_images_of_several_sizes(directory, cache):
    train, validation = load_tfds("tiny_of_many_sizes", directory, ignore, DECODE_CONFIG)
    for dataset, images in ((train, MANY), (validation, MANY[:3])):
        (batch,) = evaluation_batches(dataset, len(images))
        found = batch.images.astype(int)
        # TFDS shuffles when it prepares: each crop is found among those of its label.
        expected = scaled_center_crops(images).astype(int)
        nearest = [int(np.abs(expected - crop).max(axis=(1, 2, 3)).argmin()) for crop in found]
        assert sorted(nearest) == list(range(len(images)))
        np.testing.assert_allclose(found, expected[nearest], atol=1)
        np.testing.assert_array_equal(batch.labels, np.array(nearest) % 3)
    assert train.class_names == ["cat", "dog", "owl"]
    assert train.files.name(5) == "tiny_of_many_sizes train, record 5"
    assert "tensorflow" not in sys.modules


def test_labels_are_read_once(directory, cache, monkeypatch):
    first, _ = load_tfds("tiny_of_many_sizes", directory, ignore, DECODE_CONFIG)
    assert len(list(cache.glob("labels-*.npy"))) == 2
    monkeypatch.setattr(tfds_records.TfdsRecords, "enumerate", pytest.fail)
    again, _ = load_tfds("tiny_of_many_sizes", directory, ignore, DECODE_CONFIG)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_set_of_several_sizes_is_not_for_models_of_small_images(directory):
    message = "'tiny_of_many_sizes' has images of several sizes, and the model was.*--image-dir DIR"
    with pytest.raises(UserError, match=message):
        tfds_loaders("tiny_of_many_sizes", directory, ignore, None, OPTIONS)


def test_one_split_is_read_without_the_other(directory, cache):
    found = tfds_loaders("tiny_of_many_sizes", directory, ignore, DECODE_CONFIG)
    assert not list(cache.glob("labels-*.npy"))
    validation = found["test"]()
    assert len(list(cache.glob("labels-*.npy"))) == 1
    # TFDS has shuffled the records, so only their sizes are compared.
    sizes = [image.shape[1::-1] for image in MANY[:3]]
    assert sorted(validation.sizes(ignore)) == sorted(sizes)


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_damaged_cache_of_labels_is_read_again(damage, directory, cache):
    first, _ = load_tfds("tiny_of_many_sizes", directory, ignore, DECODE_CONFIG)
    for file in cache.glob("labels-*.npy"):
        if damage is None:
            np.save(file, np.zeros(5, np.int32))
        else:
            file.write_bytes(damage)
    again, _ = load_tfds("tiny_of_many_sizes", directory, ignore, DECODE_CONFIG)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_labels_without_a_cache_directory(directory, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="nothing is cached"):
        train, _ = load_tfds("tiny_of_many_sizes", directory, ignore, DECODE_CONFIG)
    assert np.bincount(train.labels).tolist() == [4, 4, 4]


def test_record_that_is_damaged_later(directory, cache, tmp_path):
    shutil.copytree(Path(directory) / "tiny_pictures", tmp_path / "tiny_pictures")
    load_tfds("tiny_pictures", str(tmp_path), ignore, DECODE_CONFIG)  # labels are cached
    file = next(tmp_path.rglob("*train.array_record*"))
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    file.write_bytes(content)
    train, _ = load_tfds("tiny_pictures", str(tmp_path), ignore, DECODE_CONFIG)
    with pytest.raises(UserError, match="image 'tiny_pictures train, record .*cannot be read"):
        list(evaluation_batches(train, 500))


def test_images_of_one_size_can_be_read_on_demand(directory, cache):
    train, _ = load_tfds("tiny_validated", directory, ignore, DECODE_CONFIG)
    assert train.image_shape == (4, 4, 3)
    assert not train.in_memory


def test_manual_download_instructions_are_shown(tmp_path):
    message = f"into {tmp_path}/downloads/manual; TFDS says: 'put pictures.tar there'"
    with pytest.raises(UserError, match=message):
        load_tfds("tiny_by_hand", str(tmp_path), ignore)


def test_errors_name_the_embedded_set(directory):
    with pytest.raises(UserError, match=r"data.name=mnist_5k needs no download") as caught:
        load_tfds("cifar10", directory, ignore)
    assert directory in str(caught.value)


def test_tfrecord_needs_another_format(directory):
    info = next((Path(directory) / "tiny_validated").rglob("dataset_info.json"))
    text = info.read_text()
    info.write_text(text.replace("array_record", "tfrecord"))
    try:
        with pytest.raises(UserError, match="prepared as tfrecord.*--file_format=array_record"):
            load_tfds("tiny_validated", directory, ignore)
    finally:
        info.write_text(text)
