import os

import numpy as np
import pytest
from PIL import Image
from tiny_folders import CROP_POLICY, load, write

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.decode import FORMATS
from flax_vision.data.file_list import SUFFIXES
from flax_vision.data.image_folder import ALL, image_folder_loaders
from flax_vision.errors import UserError


def names(images):
    return [os.path.basename(images.files.name(index)) for index in images.indices]


def test_a_folder_for_each_class(tmp_path):
    train, validation, test = load(write(tmp_path))
    assert (validation, test) == (None, None)
    assert train.class_names == ["a", "b"]
    assert train.labels.tolist() == [0] * 6 + [1] * 6
    assert train.labels.dtype == np.int32
    assert names(train) == [f"{index}.png" for index in range(6)] * 2


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "val", "test"),
        ("Train", "Validation", "Test"),
        ("TRAIN", "VALID", "TEST"),
        ("training", "dev", "Testing"),
    ],
)
def test_split_folders(folders, tmp_path):
    for name, classes, count in zip(folders, ("abc", "ac", "b"), (6, 2, 3), strict=True):
        write(tmp_path / name, classes, count)
    train, validation, test = load(tmp_path)
    assert (len(train), len(validation), len(test)) == (18, 4, 3)
    # Labels are indices into the training split's classes.
    assert validation.labels.tolist() == [0, 0, 2, 2]
    assert test.labels.tolist() == [1, 1, 1]
    assert validation.class_names == test.class_names == ["a", "b", "c"]


def test_entries_that_are_no_images_are_skipped(tmp_path):
    write(tmp_path, count=1)
    for name in ("a/.hidden.png", "a/notes.txt", "a/Thumbs.db", "a/noextension", "README.png"):
        (tmp_path / name).write_bytes(b"no image")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a/inner.png").mkdir()
    train, *_ = load(tmp_path)
    assert len(train) == 2
    assert train.warnings == [
        "skipped 3 files without an image extension (.db 1, none 1, .txt 1), such as "
        f"'{tmp_path}/a/Thumbs.db'",
        f"skipped 1 folder in class folders: '{tmp_path}/a/inner.png'",
        f"skipped 1 image outside class folders, such as '{tmp_path}/README.png'",
    ]


def test_suffixes_in_any_case(tmp_path):
    write(tmp_path, count=1)
    for suffix in (".JPG", ".Jpeg", ".PNG", ".webp", ".TIF", ".bmp", ".gif"):
        Image.new("RGB", (9, 9)).save(tmp_path / f"a/x{suffix}")
    assert len(load(tmp_path)[0]) == 9


def test_natural_order_of_classes_and_files(tmp_path):
    for name in ("class 10", "class 9", "Class 1", "birds"):
        (tmp_path / name).mkdir()
        for index in (10, 9, 1):
            Image.new("RGB", (9, 9)).save(tmp_path / name / f"x{index}y2.png")
    train, _, _ = load(tmp_path)
    assert train.class_names == ["birds", "Class 1", "class 9", "class 10"]
    assert names(train)[:3] == ["x1y2.png", "x9y2.png", "x10y2.png"]


def test_split_folder_without_train_is_an_error(tmp_path):
    write(tmp_path / "val")
    with pytest.raises(UserError, match="has val/ but no train/; add one"):
        load(tmp_path)


def test_two_folders_for_one_split_are_an_error(tmp_path):
    for name in ("train", "val", "Valid"):
        write(tmp_path / name)
    with pytest.raises(UserError, match="has val/ and Valid/ for the validation images; rename"):
        load(tmp_path)


def test_other_folders_beside_the_training_images_are_named(tmp_path):
    for name in ("train", "test", "extra"):
        write(tmp_path / name)
    train, _, test = load(tmp_path)
    warning = f"skipped 1 folder beside train/: '{tmp_path}/extra'"
    assert train.warnings == test.warnings == [warning]
    assert train.take(np.arange(3)).warnings == [warning]


def test_files_outside_class_folders_are_named(tmp_path):
    for split in ("train", "val"):
        write(tmp_path / split, count=1)
    for name in ("loose.png", "noext", "labels.csv", ".hidden", "train/noext", "train/loose.png"):
        (tmp_path / name).touch()
    train, validation, _ = load(tmp_path)
    beside = [
        "skipped 2 files without an image extension (.csv 1, none 1), such as "
        f"'{tmp_path}/labels.csv'",
        f"skipped 1 image outside class folders, such as '{tmp_path}/loose.png'",
    ]
    assert validation.warnings == beside
    assert train.warnings == [
        *beside,
        f"skipped 1 file without an image extension (none 1), such as '{tmp_path}/train/noext'",
        f"skipped 1 image outside class folders, such as '{tmp_path}/train/loose.png'",
    ]


def test_class_may_be_called_train(tmp_path):
    train, *_ = load(write(tmp_path, ("bus", "train")))
    assert train.class_names == ["bus", "train"]


def test_suffixes_match_the_decoded_formats():
    """Formats with floating-point numbers or moving pictures are left out."""
    known = Image.registered_extensions().items()
    found = {suffix for suffix, format in known if format in (*FORMATS, "MPO")}
    assert set(SUFFIXES) == found - {".pfm", ".avifs"}


def test_classes_sorted_as_torchvisions(tmp_path):
    write(tmp_path, ("10", "9", "b", "A", "a"), 1)
    assert load(tmp_path)[0].class_names == ["9", "10", "A", "a", "b"]
    found = image_folder_loaders(str(tmp_path), DecodeConfig(CROP_POLICY), class_order="sorted")[
        ALL
    ]()
    assert found.class_names == ["10", "9", "A", "a", "b"]
    labels = {path.parent.name: found.labels[i] for i, path in enumerate(found.files.paths)}
    assert labels == {"10": 0, "9": 1, "A": 2, "a": 3, "b": 4}


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def test_class_names_are_compared_in_one_form_of_unicode(tmp_path):
    write(tmp_path / "train", ("caff", DECOMPOSED), 1)
    write(tmp_path / "val", (COMPOSED,), 1)
    train, validation, _ = load(tmp_path)
    assert train.class_names == ["caff", DECOMPOSED]  # as on disk, in the order of the other form
    assert validation.labels.tolist() == [1]
    known = image_folder_loaders(
        str(tmp_path / "train"), DecodeConfig(CROP_POLICY), [COMPOSED, "caff"]
    )[ALL]()
    assert known.labels.tolist() == [1, 0]


def test_one_class_in_two_forms_of_unicode_is_an_error(tmp_path):
    write(tmp_path, ("a", COMPOSED, DECOMPOSED), 1)
    with pytest.raises(UserError, match="has two folders of the class .* in their Unicode form"):
        load(tmp_path)


def test_pipe_is_an_error_or_counted_and_never_opened(tmp_path):
    os.mkfifo(write(tmp_path) / "a/pipe.jpg")
    with pytest.raises(UserError, match="a/pipe.jpg' cannot be read .it is a named pipe, not a"):
        load(tmp_path)
    train, *_ = load(tmp_path, on_error="skip")
    list(train.batches([np.arange(len(train))], None))
    assert [*train.unreadable.values()] == ["it is a named pipe, not a regular file"]


def test_folders_inside_an_empty_class_are_named(tmp_path):
    write(tmp_path)
    write(tmp_path / "c", "d")
    with pytest.raises(UserError, match="'c' has no images in it, but folders, such as 'd'"):
        load(tmp_path)


def test_links_are_followed(tmp_path):
    there = write(tmp_path / "there")
    here = tmp_path / "here"
    here.mkdir()
    (here / "linked").symlink_to(there / "a")
    (here / "own").mkdir()
    (here / "own/linked.png").symlink_to(there / "b/0.png")
    assert len(load(here)[0]) == 7


def test_folder_whose_name_begins_with_a_tilde(tmp_path, monkeypatch):
    write(tmp_path / "~nouser")
    monkeypatch.chdir(tmp_path)
    assert len(load("./~nouser")[0]) == 12
