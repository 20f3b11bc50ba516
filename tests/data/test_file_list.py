import os
from pathlib import Path

import pytest
from tiny_folders import load, write

from flax_vision.data.decode import TooManyPixelsError
from flax_vision.data.file_list import FileList, PathList
from flax_vision.errors import UserError

HUGE = 2**32
"""Bytes of a sparse file, which takes no space on the disk."""


def sparse(path):
    """Extends a file by a hole and returns its path."""
    path.touch()
    os.truncate(path, HUGE)
    return path


def test_file_of_more_bytes_than_an_image_may_have_is_not_opened(tmp_path):
    files = FileList([sparse(tmp_path / "huge.jpg")])
    with pytest.raises(
        TooManyPixelsError,
        match="^it has 4,294,967,296 bytes, too many for an image of 268,435,456 pixels$",
    ):
        files.open(0)


def test_bound_on_bytes_has_room_for_metadata_and_16_bits_a_number(tmp_path):
    path, largest = tmp_path / "image.png", 8 * 99 + 2**24
    path.touch()
    os.truncate(path, largest)
    with FileList([path], max_pixels=99).open(0) as file:
        assert len(file.read()) == largest
    os.truncate(path, largest + 1)
    with pytest.raises(TooManyPixelsError):
        FileList([path], max_pixels=99).open(0)


def test_huge_file_in_a_folder_is_an_error_or_counted(tmp_path):
    sparse(write(tmp_path) / "a/0.png")
    with pytest.raises(UserError, match="a/0.png' cannot be read .it has 4,294,967,296 bytes"):
        load(tmp_path)
    train, *_ = load(tmp_path, on_error="skip")
    train.sizes(lambda *progress: None)
    assert list(train.unreadable) == [str(tmp_path / "a/0.png")]


def test_list_of_paths():
    paths = PathList(["a/1.png", "b.png", "c"])
    assert [*paths] == [Path("a/1.png"), Path("b.png"), Path("c")]
    assert [*paths[1:]] == [Path("b.png"), Path("c")]
    assert (len(paths), paths[-1]) == (3, Path("c"))
