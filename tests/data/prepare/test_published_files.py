import gzip
import hashlib

import pytest
import tensorflow_datasets as tfds

from flax_vision.data.prepare import published_files as module
from flax_vision.data.prepare.published_files import (
    PublishedFile,
    find_in_folder,
    is_verifiable,
    mismatch,
    published_files,
)
from flax_vision.data.prepare.sets import SETS

CONTENT = b"pixels" * 1000
PACKED = gzip.compress(CONTENT, mtime=1)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


FILE = PublishedFile("http://example.org/train.gz", len(PACKED), sha256(PACKED))


@pytest.fixture
def known_content(monkeypatch):
    monkeypatch.setitem(module._CONTENT_SHA256, FILE.sha256, sha256(CONTENT))


def problem(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return mismatch(path, FILE)


def test_tfds_has_registered_the_files_of_every_set():
    found = {name: published_files(tfds.builder_cls(name)) for name in SETS}
    assert {name: len(files) for name, files in found.items()} == {
        **{"cifar10": 1, "cifar100": 1, "emnist": 1},
        **{"fashion_mnist": 4, "imagenet2012": 2, "imagenette": 6, "kmnist": 4, "mnist": 4},
    }
    (cifar,) = found["cifar10"]
    assert cifar.name == "cifar-10-binary.tar.gz"
    assert cifar.size == 170_052_171
    assert cifar.sha256.startswith("c4a38c50")
    names = [file.name for file in found["mnist"]]
    assert "train-images-idx3-ubyte.gz" in names
    gz = {file.sha256 for files in found.values() for file in files}
    assert module._CONTENT_SHA256.keys() <= gz


@pytest.mark.parametrize(
    ("config", "name"),
    [("full-size-v2", "imagenette2.tgz"), ("160px", "imagenette-160.tgz")],
)
def test_archive_of_a_configuration(config, name):
    cls = tfds.builder_cls("imagenette")
    (file,) = published_files(cls, cls.builder_configs[config])
    assert file.url == f"https://s3.amazonaws.com/fast-ai-imageclas/{name}"


def test_published_file_is_good(tmp_path):
    assert problem(tmp_path, "train.gz", PACKED) == ""


def test_one_wrong_bit(tmp_path):
    wrong = bytearray(PACKED)
    wrong[30] ^= 1
    assert f"has the SHA-256 {sha256(wrong)}, not" in problem(tmp_path, "train.gz", wrong)


def test_cut_file(tmp_path):
    found = problem(tmp_path, "train.gz", PACKED[:-5])
    assert found == f"is truncated: it has {len(PACKED) - 5} of {len(PACKED)} bytes"


@pytest.mark.usefixtures("known_content")
def test_another_gzip_header_is_good(tmp_path):
    assert problem(tmp_path, "train.gz", gzip.compress(CONTENT, mtime=2)) == ""
    assert "SHA-256" in problem(tmp_path, "train.gz", gzip.compress(CONTENT + b"!", 1))


@pytest.mark.usefixtures("known_content")
def test_decompressed_file_with_a_known_checksum(tmp_path):
    assert problem(tmp_path, "train", CONTENT) == ""
    assert "SHA-256" in problem(tmp_path, "train", CONTENT + b"!")
    assert is_verifiable(tmp_path / "train", FILE)


def test_decompressed_file_without_one(tmp_path):
    assert problem(tmp_path, "train", CONTENT) == ""
    assert not is_verifiable(tmp_path / "train", FILE)
    assert is_verifiable(tmp_path / "train.gz", FILE)


def test_file_of_another_set_is_named(tmp_path, monkeypatch):
    other = b"kuzushiji"
    files = {"kmnist": [PublishedFile("http://example.org/train.gz", 9, sha256(other))]}
    monkeypatch.setattr(module, "published_files", lambda cls: files.get(cls.name, []))
    assert problem(tmp_path, "train.gz", other) == "is a file of 'kmnist'"


def test_repacked_file_of_another_set_is_named(tmp_path, monkeypatch):
    other = gzip.compress(b"kuzushiji", 1)
    kmnist = PublishedFile("http://example.org/train.gz", 9, "registered")
    monkeypatch.setitem(module._CONTENT_SHA256, "registered", sha256(b"kuzushiji"))
    files = {"kmnist": [kmnist]}
    monkeypatch.setattr(module, "published_files", lambda cls: files.get(cls.name, []))
    assert problem(tmp_path, "train.gz", other) == "is a file of 'kmnist'"


def test_compressed_files_come_first(tmp_path):
    assert find_in_folder(tmp_path, [FILE]) == {}
    for name in ("train", "train.gz"):
        (tmp_path / name).write_bytes(b"")
        assert find_in_folder(tmp_path, [FILE]) == {"train.gz": tmp_path / name}
