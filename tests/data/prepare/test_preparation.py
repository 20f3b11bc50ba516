import gzip
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import filelock
import pytest
import tensorflow_datasets as tfds
from published_archives import COUNTS, NAMES, archives, random_images
from tfds_oracle import prepare_by_tfds

from flax_vision.data.prepare import source, writer
from flax_vision.data.prepare.preparation import Preparation
from flax_vision.data.tfds import tfds_loaders
from flax_vision.errors import UserError

SETS = ["mnist", "fashion_mnist", "kmnist", "emnist/letters", "cifar10", "cifar100"]
pytestmark = pytest.mark.usefixtures("no_pause")


def ignore(task, done, total):
    """Ignores progress."""


def write_files(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return str(folder)


def prepare(preparation):
    with preparation.lock():
        preparation.check_disk_space()
        preparation.write(preparation.obtain_files(ignore), ignore)
    return preparation.path


def content(directory):
    """Returns the files of a set by name, without the labels, which TFDS does not write."""
    files = (path for path in Path(directory).rglob("*") if path.is_file())
    contents = {str(path.relative_to(directory)): path.read_bytes() for path in files}
    return {name: x for name, x in contents.items() if not name.startswith("flax_vision-labels")}


def by_content(images, labels):
    return {image.tobytes(): label for image, label in zip(images, labels, strict=True)}


@pytest.mark.parametrize("name", SETS)
def test_files_are_those_of_tfds(name, publish, tmp_path, monkeypatch):
    files = publish(name)
    folder = write_files(tmp_path / "source", files)
    path = prepare(Preparation(name, str(tmp_path / "ours"), folder))
    assert "tensorflow" not in sys.modules
    expected = prepare_by_tfds(name, files, tmp_path / "theirs", tmp_path / "x", monkeypatch)
    assert path.relative_to(tmp_path / "ours") == Path(expected).relative_to(tmp_path / "theirs")
    assert content(path) == content(expected)
    for theirs in (tmp_path / "theirs").rglob(".config/*"):
        ours = tmp_path / "ours" / theirs.relative_to(tmp_path / "theirs")
        assert ours.read_bytes() == theirs.read_bytes()
    assert {entry.name for entry in (tmp_path / "ours").iterdir()} == {
        name.partition("/")[0],
        "downloads",
    }


@pytest.mark.parametrize("name", ["mnist", "emnist/letters"])
def test_images_and_labels_are_read(name, publish, tmp_path):
    folder = write_files(tmp_path / "source", publish(name))
    prepare(Preparation(name, str(tmp_path), folder))
    loaders = tfds_loaders(name, str(tmp_path), ignore)
    for split in COUNTS:
        dataset = loaders[split]()
        images, labels = random_images(name.rpartition("/")[2], split)
        images = images.swapaxes(1, 2) if name.startswith("emnist") else images
        assert by_content(dataset.images, dataset.labels) == by_content(images, labels)


def test_pixels_and_names_of_cifar10(publish, tmp_path):
    folder = write_files(tmp_path / "source", publish("cifar10"))
    prepare(Preparation("cifar10", str(tmp_path), folder))
    builder = tfds.builder("cifar10", data_dir=tmp_path)
    assert builder.info.features["label"].names == NAMES
    assert builder.info.splits["train"].num_examples == COUNTS["train"]
    rows = {row["id"]: row for row in builder.as_data_source("test")}
    assert sorted(rows) == [f"test_{i:05d}".encode() for i in range(COUNTS["test"])]


def test_default_configuration(publish, tmp_path):
    publish("emnist/byclass")
    folder = write_files(tmp_path / "source", archives("emnist"))
    path = prepare(Preparation("emnist", str(tmp_path), folder))
    assert path == tmp_path / "emnist/byclass/3.1.0"
    assert tfds.builder("emnist", data_dir=tmp_path).is_prepared()


def test_decompressed_files(publish, tmp_path):
    files = {x.removesuffix(".gz"): gzip.decompress(y) for x, y in publish("kmnist").items()}
    folder = write_files(tmp_path / "source", files)
    with pytest.warns(UserWarning, match="no known checksum; only its structure"):
        prepare(Preparation("kmnist", str(tmp_path), f"file://{folder}"))
    assert len(tfds_loaders("kmnist", str(tmp_path), ignore)["train"]()) == COUNTS["train"]


@pytest.mark.parametrize("name", ["mnist", "emnist/letters", "cifar10"])
def test_damage_leaves_nothing(name, publish, tmp_path, monkeypatch):
    publish(name)
    monkeypatch.setattr(source, "mismatch", lambda path, file: "")
    files = {x: y[: len(y) // 2] for x, y in publish(name).items()}
    folder = write_files(tmp_path / "source", files)
    preparation = Preparation(name, str(tmp_path / "data"), folder)
    with pytest.raises(UserError, match="is damaged or another file .*the same command again"):
        prepare(preparation)
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["downloads"]


def test_archive_of_another_set(publish, tmp_path, monkeypatch):
    publish("cifar10")
    monkeypatch.setattr(source, "mismatch", lambda path, file: "")
    (archive,) = archives("cifar100").values()
    folder = write_files(tmp_path / "source", {"cifar-10-binary.tar.gz": archive})
    with pytest.raises(UserError, match="another file .*cifar-10-batches-bin/batches.meta.txt"):
        prepare(Preparation("cifar10", str(tmp_path), folder))


def test_set_is_replaced_when_the_new_one_is_complete(publish, tmp_path):
    folder = write_files(tmp_path / "source", publish("mnist"))
    preparation = Preparation("mnist", str(tmp_path), folder)
    path = prepare(preparation)
    expected = content(path)
    (path / "dataset_info.json").write_text("damaged")
    assert content(prepare(preparation)) == expected


def test_rest_of_a_killed_process_is_removed(publish, tmp_path):
    folder = write_files(tmp_path / "source", publish("mnist"))
    (tmp_path / ".mnist.unfinished/mnist/3.0.1").mkdir(parents=True)
    prepare(Preparation("mnist", str(tmp_path), folder))
    assert not list(tmp_path.glob(".*"))


def test_full_disk_is_said_before(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10_000))
    preparation = Preparation("mnist", str(tmp_path))
    with preparation.lock(), pytest.raises(UserError, match="'mnist' needs 96 MB .* 0 MB are free"):
        preparation.check_disk_space()


def test_disk_that_fills_up(publish, tmp_path, monkeypatch):
    def fail(path, records):
        raise RuntimeError("write() failed: No space left on device; writing x; at byte 5")

    folder = write_files(tmp_path / "source", publish("mnist"))
    preparation = Preparation("mnist", str(tmp_path / "data"), folder)
    message = "cannot be written .write.. failed: No space left on device.; make room"
    with monkeypatch.context() as patch:
        patch.setattr(writer._ADAPTER, "write_examples", fail)
        with pytest.raises(UserError, match=message):
            prepare(preparation)
    assert not preparation.path.exists()
    prepare(preparation)
    assert {entry.name for entry in (tmp_path / "data").iterdir()} == {"downloads", "mnist"}


def test_two_processes(publish, tmp_path):
    publish("mnist")
    preparation = Preparation("mnist", str(tmp_path))
    (tmp_path / "downloads/mnist").mkdir(parents=True)
    with (
        filelock.FileLock(tmp_path / "downloads/mnist/.lock"),
        pytest.raises(UserError, match="another process prepares 'mnist'"),
        preparation.lock(),
    ):
        pytest.fail("both have the lock")


@pytest.mark.parametrize(
    "name", ["cifar", "emnist/letter", "mnist/letters", "imagenet", "imagenette/64px", ""]
)
def test_unknown_names(name):
    with pytest.raises(UserError, match="unknown dataset to prepare .* Valid: cifar10, .*letters"):
        Preparation(name)


def test_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    preparation = Preparation("mnist", str(tmp_path / "file"))
    with (
        pytest.raises(UserError, match="cannot be written .*--tfds-dir"),
        preparation.lock(),
    ):
        pytest.fail("it is no directory")
