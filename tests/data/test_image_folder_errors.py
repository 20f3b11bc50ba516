"""Image folders that cannot be used, and checks of headers."""

import os

import pytest
from PIL import Image
from tiny_folders import CROP_POLICY, ignore, load, write

from flax_vision.data import image_folder as image_folder_module
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.image_folder import check_headers, image_folder_loaders
from flax_vision.errors import UserError


def no_directory(path):
    path.write_text("a file")


def images_without_classes(path):
    path.mkdir()
    Image.new("RGB", (9, 9)).save(path / "0.png")


def one_class(path):
    write(path, "a")


def empty_class(path):
    write(path)
    (path / "c").mkdir()


def class_without_an_extension(path):
    write(path)
    (path / "c").mkdir()
    (path / "c/photograph.heic").touch()


def class_of_validation_alone(path):
    write(path / "train")
    write(path / "val", "abc")


def empty_validation(path):
    write(path / "train")
    (path / "val").mkdir()


def empty_class_of_the_test(path):
    write(path / "train")
    write(path / "test", "a")
    (path / "test/b").mkdir()


def no_image(path):
    write(path)
    (path / "b/broken.jpg").write_bytes(b"<html>")


def link_to_nowhere(path):
    write(path)
    (path / "b/gone.jpg").symlink_to(path / "nowhere")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "config.data.image_dir is '.*pictures', which does not exist"),
        (no_directory, "pictures', which is not a directory.*--config.data.image_dir=DIR"),
        (lambda path: path.mkdir(), "pictures' has no classes"),
        (images_without_classes, "no classes.*1 image outside"),
        (one_class, "only one class, 'a'"),
        (empty_class, "the class 'c' has no images.*pictures/c.*.jpg"),
        (class_without_an_extension, r"'c' has no images in it .skipped 1 file .* \(.heic 1\)"),
        (class_of_validation_alone, r"pictures/val' has the class 'c', unknown to train/;.*a, b"),
        (empty_validation, "pictures/val' has no classes"),
        (empty_class_of_the_test, "the class 'b' has no images.*pictures/test/b"),
        (
            no_image,
            "image '.*b/broken.jpg' cannot be read .*not an image of a known.*on_error=skip",
        ),
        (link_to_nowhere, "image '.*b/gone.jpg' cannot be read .No such file or directory.*repair"),
    ],
)
def test_unusable_folders(make, message, tmp_path):
    make(tmp_path / "pictures")
    with pytest.raises(UserError, match=message):
        load(tmp_path / "pictures")


def test_no_path():
    with pytest.raises(
        UserError, match="config.data.image_dir is not given; give --config.data.image_dir=DIR"
    ):
        image_folder_loaders("", DecodeConfig(CROP_POLICY))


def test_folder_that_may_not_be_read(tmp_path, monkeypatch):
    write(tmp_path)

    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="cannot be read .Permission denied"):
        load(tmp_path)


@pytest.mark.parametrize("make", [no_image, link_to_nowhere])
def test_unreadable_header_is_skipped(make, tmp_path):
    make(tmp_path / "pictures")
    photographs, *_ = load(tmp_path / "pictures", on_error="skip")
    check_headers(photographs, "train", ignore)
    assert (len(photographs), photographs.unreadable) == (13, {})


def test_split_without_a_readable_image_is_an_error_before_a_run(tmp_path):
    for file in write(tmp_path, count=1).rglob("*.png"):
        file.write_text("no image")
    photographs, *_ = load(tmp_path, on_error="skip")
    with pytest.raises(
        UserError, match="none of the first 2 validation images can be read, such as .*not an im"
    ):
        check_headers(photographs, "validation", ignore)


def test_headers_report_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder_module, "_CHECKED", 5)
    progress = []
    train, _, _ = load(write(tmp_path))
    check_headers(train, "train", lambda *call: progress.append(call))
    assert [done for _, done, _ in progress] == [1, 2, 3, 4, 5]
    assert progress[0][2] == 5
