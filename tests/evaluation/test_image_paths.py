import os
from pathlib import Path

import pytest

from flax_vision.errors import UserError
from flax_vision.evaluation.image_paths import find_images, folder_class


@pytest.fixture
def folder(tmp_path):
    for name in ("10.jpg", "9.JPG", "b/c/d.png", ".hidden.png", ".no/x.png", "notes.txt", "raw"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def test_folder_at_any_depth_in_natural_order(folder):
    found = find_images([folder]).paths
    assert found == [folder / name for name in ("9.JPG", "10.jpg", "b/c/d.png")]


def test_broken_link_is_returned(folder):
    (folder / "11.jpg").symlink_to(folder / "gone.jpg")
    found = find_images(folder).paths
    assert [path.name for path in found] == ["9.JPG", "10.jpg", "11.jpg", "d.png"]
    assert find_images(found).paths == found


def test_pipes_and_devices_are_named_and_never_opened(folder):
    os.mkfifo(folder / "12.jpg")
    (folder / "13.jpg").symlink_to("/dev/zero")
    pipe, device = str(folder / "12.jpg"), str(folder / "13.jpg")
    found = find_images(folder)
    assert [path.name for path in found.paths] == ["9.JPG", "10.jpg", "d.png"]
    assert found.unreadable == {
        pipe: "it is a named pipe, not a regular file",
        device: "it is a device, not a regular file",
    }
    with pytest.raises(UserError, match=r"12.jpg': it is a named pipe.*; '/dev/zero': it is a dev"):
        find_images([pipe, "/dev/zero"])


def test_files_of_any_name_in_the_order_given_each_once(folder):
    named = [str(folder / "raw"), folder / "10.jpg", folder, folder / "raw"]
    found = find_images(named).paths
    assert found == [folder / name for name in ("raw", "10.jpg", "9.JPG", "b/c/d.png")]


def test_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert find_images(["~/9.JPG"]).paths == [folder / "9.JPG"]


def test_files_without_an_image_extension_are_skipped_in_folders_only(folder):
    notes, raw = folder / "notes.txt", folder / "raw"
    assert find_images([folder, folder]).skipped == [notes, raw]
    assert find_images([folder, raw]).skipped == [notes]
    assert find_images([raw]).skipped == []


def test_empty_name_is_not_the_current_directory(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match="no images to read: '': it does not exist; give"):
        find_images([""])
    found = find_images(["9.JPG", ""])
    assert found.paths == [Path("9.JPG")]
    assert list(found.unreadable) == [""]


def test_nothing_named():
    with pytest.raises(UserError, match="no images are named; give files, or folders"):
        find_images([])


def test_missing_file(folder):
    gone = folder / "gone.jpg"
    with pytest.raises(UserError, match="gone.jpg': it does not exist; give files, or folders"):
        find_images([gone])
    assert list(find_images([folder, gone]).unreadable) == [str(gone)]


def test_folder_without_images(folder):
    with pytest.raises(UserError, match=r"folder.png': .* has no images in it \(\.jpg, \.jpeg"):
        find_images([folder / "folder.png"])
    found = find_images([folder / "folder.png", folder / "raw"])
    assert found.paths == [folder / "raw"]
    assert list(found.unreadable) == [str(folder / "folder.png")]


def test_folder_that_cannot_be_read_is_named(folder, monkeypatch):
    def walk(top, onerror):
        onerror(PermissionError(13, "Permission denied", f"{top}/closed"))
        yield str(top), [], ["9.JPG"]

    monkeypatch.setattr(os, "walk", walk)
    found = find_images([folder])
    assert found.paths == [folder / "9.JPG"]
    assert found.unreadable == {f"{folder}/closed": "Permission denied"}


def test_class_of_a_folder(tmp_path, monkeypatch):
    assert folder_class(Path("set/cat/1.jpg"), ["cat", "dog"]) == "cat"
    assert folder_class(Path("cat/more/1.jpg"), ["cat", "dog"]) is None
    (tmp_path / "dog").mkdir()
    monkeypatch.chdir(tmp_path / "dog")
    assert folder_class(Path("1.jpg"), ["cat", "dog"]) == "dog"


def test_class_of_a_folder_has_the_spelling_of_the_model():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert folder_class(Path(f"{decomposed}/1.jpg"), ["cat", composed]) == composed
    assert folder_class(Path(f"{composed}/1.jpg"), ["cat", decomposed]) == decomposed


def test_name_that_begins_with_a_tilde(folder, monkeypatch):
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.chdir(folder)
    (folder / "~/a").mkdir(parents=True)
    for name in ("~x.png", "~/a/1.png"):
        (folder / name).touch()
    found = find_images(["./~x.png", "./~"]).paths
    assert found == [Path("~x.png"), Path("~/a/1.png")]
    assert find_images(found).paths == found


def test_unknown_user_is_a_missing_file():
    with pytest.raises(UserError, match=r"'~nouser/x\.png': it does not exist"):
        find_images(["~nouser/x.png"])
