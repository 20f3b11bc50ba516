import shutil

import numpy as np
import pytest
from tiny_folders import CROP_POLICY, ignore, write

from flax_vision.data import duplicates
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.duplicates import duplicates_warning
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.data.splits import Source, read_splits


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train", count=6)
    write(tmp_path / "test", count=2)
    return tmp_path


def warnings(folder):
    source = Source("folder", "", str(folder), 0.0, 0.5, DecodeConfig(CROP_POLICY, "skip"))
    return read_splits(source, ignore).warnings()


def test_images_of_one_split_alone(folder):
    shutil.copy(folder / "train/a/0.png", folder / "train/b/again.png")
    assert warnings(folder) == []


def test_images_of_two_splits_are_named(folder):
    shutil.copy(folder / "train/a/1.png", folder / "test/b/7.png")
    assert warnings(folder) == [
        "1 image of one split is in another split too, with the same content: 'train/a/1.png' "
        "(train) and 'test/b/7.png' (test). Results on them are too good; leave each image in one "
        "split"
    ]


def test_three_pairs_are_named(folder):
    for index in range(5):
        for copy in "xy":
            shutil.copy(folder / f"train/b/{index}.png", folder / f"test/a/{copy}{index}.png")
    (warning,) = warnings(folder)
    assert warning.startswith("5 images of one split are in another")
    assert warning.count("(test)") == 3
    assert "'train/b/2.png' (train) and 'test/a/x2.png' (test) and 2 more. " in warning


def test_links_and_files_of_one_size(folder):
    """Only the last file differs in no byte; the others differ at the start or in the middle."""
    content = np.random.default_rng(0).bytes(9001)
    (folder / "train/a/big.png").write_bytes(content)
    for name, position in (("start", 0), ("middle", 4500), ("end", 9000)):
        changed = bytearray(content)
        changed[position] ^= 1
        (folder / f"test/a/{name}.png").write_bytes(changed)
    assert warnings(folder) == []
    (folder / "test/b/link.png").symlink_to(folder / "train/a/big.png")
    assert "'train/a/big.png' (train) and 'test/b/link.png'" in warnings(folder)[0]


def test_files_that_cannot_be_read(folder, monkeypatch):
    (folder / "train/a/gone.png").symlink_to("nowhere")
    for split in ("train", "test"):
        (folder / split / "a/empty.png").touch()
    assert warnings(folder) == []
    shutil.copy(folder / "train/a/1.png", folder / "test/b/7.png")
    splits = read_splits(
        Source("folder", "", str(folder), 0.0, 0.5, DecodeConfig(CROP_POLICY, "skip")), ignore
    )

    def refuse(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert duplicates_warning(splits._asdict(), str(folder), ignore) == ""


def test_progress(folder):
    for name in ("train/a/7.png", "test/b/7.png", "test/b/8.png"):
        shutil.copy(folder / "train/a/1.png", folder / name)
    splits = read_splits(
        Source("folder", "", str(folder), 0.0, 0.5, DecodeConfig(CROP_POLICY, "skip")), ignore
    )
    calls = []
    duplicates_warning(splits._asdict(), str(folder), lambda *call: calls.append(call))
    assert calls[:4] == [("files of equal size", done, 4) for done in (1, 2, 3, 4)]


def test_shares_of_one_folder_are_compared(tmp_path):
    write(tmp_path, count=1)
    for name in "ab":
        for index in range(1, 10):
            shutil.copy(tmp_path / name / "0.png", tmp_path / name / f"{index}.png")
    (warning,) = warnings(tmp_path)
    assert warning.startswith("2 images of one split are in another")


def test_time_limit(folder, monkeypatch):
    shutil.copy(folder / "train/a/1.png", folder / "test/b/7.png")
    monkeypatch.setattr(duplicates, "_MAX_SECONDS", -1)
    assert warnings(folder) == []


def test_only_files_of_sizes_in_two_splits_are_read(folder, monkeypatch):
    read = []
    monkeypatch.setattr(duplicates, "_block_digest", lambda file: read.append(file) or "")
    for name, size in (("train/a/x", 50), ("train/b/x", 50), ("train/a/y", 51), ("test/b/y", 51)):
        (folder / f"{name}.png").write_bytes(b"x" * size)
    warnings(folder)
    assert {file.path.name for file in read if file.size < 60} == {"y.png"}


def test_images_in_memory():
    train, test = load_mnist_5k()
    assert duplicates_warning({"train": train, "test": test}, "", ignore) == ""
