import io
import os
import tarfile
import tracemalloc

import numpy as np
import pytest
from published_imagenet import tar

from flax_vision.data.prepare.image_index import ImageIndex, tar_members
from flax_vision.data.prepare.tf_example import serialize_example
from flax_vision.errors import UserError

IMAGES = {"b.JPEG": b"second" * 700, "a.JPEG": b"", "c.JPEG": b"third"}


@pytest.fixture
def index(tmp_path):
    """An index of three images."""
    path = tmp_path / "images.tar"
    path.write_bytes(tar(IMAGES))
    with path.open("rb") as file:
        index = ImageIndex(path, file, "train", has_names=True)
        for label, member in enumerate(tar_members(file)):
            index.add(member.name, member, label * 100)
        yield index


def record(name, content, label):
    return serialize_example({"file_name": name, "image": content, "label": label})


def test_members_and_their_offsets():
    content = tar(IMAGES)
    found = list(tar_members(io.BytesIO(content)))
    assert [member.name for member in found] == list(IMAGES)
    for member in found:
        start = member.offset_data
        assert content[start : start + member.size] == IMAGES[member.name]


def test_members_of_a_tar_in_a_tar():
    content = tar({"first.tar": tar({"x": b"1"}), "second.tar": tar({"y": b"22"})})
    file = io.BytesIO(content)
    found = [
        (archive.name, member.name, content[member.offset_data :][: member.size])
        for archive in tar_members(file)
        for member in tar_members(file, archive.offset_data)
    ]
    assert found == [("first.tar", "x", b"1"), ("second.tar", "y", b"22")]


def test_folders_are_skipped_and_names_are_normalized():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        folder = tarfile.TarInfo("./images")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        archive.addfile(tarfile.TarInfo("./images/" + "a" * 150))
    assert [member.name for member in tar_members(file)] == ["images/" + "a" * 150]


@pytest.mark.parametrize("length", [0, 300, 700, 4000])
def test_cut_tar(length):
    with pytest.raises((tarfile.TarError, EOFError)):
        list(tar_members(io.BytesIO(tar(IMAGES)[:length])))


def test_headers_of_many_images_take_no_memory():
    content = tar({f"{i}.JPEG": b"" for i in range(3000)})
    members = tar_members(io.BytesIO(content))
    next(members)
    tracemalloc.start()
    try:
        for _ in members:
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1e5


def test_records(index):
    index.check(3)
    expected = [
        record(name, content, label)
        for (name, content), label in zip(IMAGES.items(), (0, 100, 200), strict=True)
    ]
    for position in (1, 0, 2):
        assert index.read(position) == expected[position]
    assert index.sizes.tolist() == [len(x) for x in expected]
    assert index.labels.tolist() == [0, 100, 200]


def test_replaced_image(index):
    index.replace_last(b"another and a longer image" * 10)
    expected = record("c.JPEG", b"another and a longer image" * 10, 200)
    assert index.read(2) == expected
    assert index.sizes[2] == len(expected)
    assert index.read(0) == record("b.JPEG", IMAGES["b.JPEG"], 0)


def test_without_names(tmp_path):
    (tmp_path / "images.tar").write_bytes(tar({"x": b"pixels"}))
    with (tmp_path / "images.tar").open("rb") as file:
        index = ImageIndex(tmp_path / "images.tar", file, "train", has_names=False)
        (member,) = tar_members(file)
        index.add("x", member, -1)
        assert index.read(0) == serialize_example({"image": b"pixels", "label": -1})
        assert index.sizes.tolist() == [len(index.read(0))]


def test_another_number_of_images(index):
    with pytest.raises(ValueError, match="it has 3 train images, not 1,281,167"):
        index.check(1_281_167)


def test_two_images_of_the_same_name(index):
    index.add("a.JPEG", tarfile.TarInfo("a.JPEG"), 0)
    with pytest.raises(ValueError, match="two images have the same name"):
        index.check(4)


def test_images_are_prefetched_in_the_order_of_the_disk(index, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *call: calls.append(call[1:3]), raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)
    index.prefetch([2, 0])
    assert [length for _, length in calls] == [4200, 5]
    assert calls == sorted(calls)


def test_system_without_advice(index, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    index.prefetch(np.arange(3).tolist())


def test_archive_that_is_cut_later(index, tmp_path):
    with (tmp_path / "images.tar").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(
        UserError, match="images.tar' is damaged or another file .b.JPEG is truncated"
    ):
        index.read(0)
