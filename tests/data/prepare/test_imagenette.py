import sys
import tarfile
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from prepared_sets import ignore, tfds_content
from prepared_sets import prepare as prepare_set
from published_archives import serve
from published_imagenet import CLASSES, IMAGENETTE_COUNTS, encoded, imagenette_archives, tar
from tfds_oracle import prepare_by_tfds

from flax_vision.data.label_index import read_labels
from flax_vision.data.prepare import source
from flax_vision.data.prepare.imagenette import imagenette_counts
from flax_vision.errors import UserError

pytestmark = pytest.mark.usefixtures("no_pause")
NAME = "imagenette/160px-v2"
ARCHIVE = "imagenette2-160.tgz"


def prepare(name, directory, location, on_progress=ignore):
    path, counts = prepare_set(name, location, directory, on_progress)
    assert counts == IMAGENETTE_COUNTS
    return path


@pytest.fixture
def folder(publish_imagenet, tmp_path):
    """A function that publishes a configuration, and returns a folder with its archive."""

    def write(name, content=None):
        (tmp_path / "source").mkdir()
        for file, published in publish_imagenet(name).items():
            (tmp_path / "source" / file).write_bytes(content or published)
        return tmp_path / "source"

    return write


@pytest.mark.parametrize("name", ["imagenette", "imagenette/160px-v2", "imagenette/320px"])
def test_files_are_those_of_tfds(name, publish_imagenet, folder, tmp_path, monkeypatch):
    path = prepare(name, tmp_path / "ours", folder(name))
    assert "tensorflow" not in sys.modules
    expected = prepare_by_tfds(
        name, publish_imagenet(name), tmp_path / "theirs", tmp_path / "x", monkeypatch
    )
    assert path.relative_to(tmp_path / "ours") == Path(expected).relative_to(tmp_path / "theirs")
    assert tfds_content(path) == tfds_content(expected)
    assert tfds.builder(name, data_dir=tmp_path / "ours").is_prepared()
    assert {entry.name for entry in (tmp_path / "ours").iterdir()} == {"downloads", "imagenette"}
    assert [entry.name for entry in (tmp_path / "ours/downloads/imagenette").iterdir()] == [".lock"]


def test_images_and_labels(folder, tmp_path):
    path = prepare(NAME, tmp_path, folder(NAME))
    builder = tfds.builder(NAME, data_dir=tmp_path)
    decoders = {"image": tfds.decode.SkipDecoding()}
    rows = list(builder.as_data_source("validation", decoders=decoders))
    names = builder.info.features["label"].names
    images = {row["image"]: names[row["label"]] for row in rows}
    assert images == {
        encoded(f"{CLASSES[3 * (i % 2 == 0)]}_{i + 5}.JPEG"): CLASSES[3 * (i % 2 == 0)]
        for i in range(5)
    }
    assert read_labels(path, "validation", 5).tolist() == [row["label"] for row in rows]


def test_download(publish_imagenet, tmp_path):
    with serve(publish_imagenet(NAME)) as server:
        prepare(NAME, tmp_path, server.url)
        assert [path for path, _ in server.requests] == [f"/{ARCHIVE}"]


def test_progress(folder, tmp_path):
    calls = []
    prepare(NAME, tmp_path, folder(NAME), lambda *call: calls.append(call))
    assert calls[0] == (f"unpacking {ARCHIVE}", 13, 13)
    assert calls[-2:] == [("imagenette train", 8, 8), ("imagenette validation", 5, 5)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x[:-30], "Compressed file ended"),
        (lambda x: b"no archive", "Not a gzipped file"),
        (lambda x: tar({}, "w:gz"), "it has 0 train images, not 8"),
        (lambda x: next(iter(imagenette_archives("imagenette2-320").values())), "it has 0 train"),
        (lambda x: tar({"imagenette2-160/val/n1/n1_2.JPEG": b""}, "w:gz"), "n1"),
    ],
)
def test_damaged_archives(change, reason, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "mismatch", lambda path, file: "")
    (whole,) = imagenette_archives("imagenette2-160").values()
    location = folder(NAME, change(whole))
    with pytest.raises(UserError, match=f"{ARCHIVE}' is damaged or another file .*{reason}"):
        prepare(NAME, tmp_path / "data", location)
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["downloads"]


def test_wrong_checksum(folder, tmp_path):
    location = folder(NAME, b"no archive of this name")
    with pytest.raises(UserError, match=f"{ARCHIVE}' is truncated: it has 23 of .*amazonaws.com"):
        prepare(NAME, tmp_path, location)


def test_links_are_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "mismatch", lambda path, file: "")
    path = tmp_path / "links.tgz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("imagenette2-160/train/n01440764/n01440764_1.JPEG")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(UserError, match="n01440764_1.JPEG is not a regular file"):
        prepare(NAME, tmp_path, folder(NAME, path.read_bytes()))


def test_counts():
    configs = tfds.builder_cls("imagenette").builder_configs
    assert imagenette_counts(configs["full-size-v2"]) == {"train": 9469, "validation": 3925}
    assert imagenette_counts(configs["160px"]) == {"train": 12_894, "validation": 500}
