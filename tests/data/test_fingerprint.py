"""Changes of the images of a split."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from tiny_folders import CROP_POLICY, ignore, load, write

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.fingerprint import (
    ALL_CLASSES,
    dataset_fingerprint,
    describe_changes,
    is_stratified,
    split_fingerprints,
    summaries,
)
from flax_vision.data.lazy_labels import LazyLabels
from flax_vision.data.splits import Source, read_splits


def test_folder_may_be_moved(tmp_path):
    write(tmp_path / "here/train")
    before = dataset_fingerprint(load(tmp_path / "here")[0])
    shutil.move(tmp_path / "here", tmp_path / "there")
    after = dataset_fingerprint(load(tmp_path / "there")[0])
    assert before == after
    assert not describe_changes(json.loads(json.dumps(before)), after)
    assert {name: count for name, (count, _) in before.items()} == {"a": 6, "b": 6}


def test_unicode_forms_are_equal(tmp_path):
    """macOS writes é as two characters."""
    found = []
    for here, name in (("here", "caf\u00e9"), ("there", "cafe\u0301")):
        write(tmp_path / here, ("a", name), 2)
        (tmp_path / here / name / "1.png").rename(tmp_path / here / name / f"{name}.png")
        (tmp_path / here / name / "0.png").rename(tmp_path / here / name / "caff.png")
        found.append(dataset_fingerprint(load(tmp_path / here)[0]))
    assert found[0] == found[1]


def test_damaged_file_may_be_repaired(tmp_path):
    before = dataset_fingerprint(load(write(tmp_path))[0])
    (tmp_path / "a/1.png").write_bytes((tmp_path / "a/2.png").read_bytes())
    assert not describe_changes(before, dataset_fingerprint(load(tmp_path)[0]))


def test_changes_are_described_by_class(tmp_path):
    before = dataset_fingerprint(load(write(tmp_path, "abcd"))[0])
    shutil.copy(tmp_path / "a/1.png", tmp_path / "a/more.png")
    (tmp_path / "b/1.png").rename(tmp_path / "b/other.png")
    after = dataset_fingerprint(load(tmp_path)[0])
    assert (
        describe_changes(before, after)
        == "'a' had 6 images and has 7, the 6 images of 'b' are others"
    )
    assert describe_changes(after, before).startswith("'a' had 7 images and has 6, ")
    for name in "cd":
        (tmp_path / name / "1.png").unlink()
    told = describe_changes(before, dataset_fingerprint(load(tmp_path)[0]))
    assert told.endswith("'c' had 6 images and has 5, and 1 more class")


def test_class_by_another_name(tmp_path):
    before = dataset_fingerprint(load(write(tmp_path, "ab", 1))[0])
    (tmp_path / "b").rename(tmp_path / "c")
    after = dataset_fingerprint(load(tmp_path)[0])
    assert (
        describe_changes(before, after) == "'b' had 1 image and has 0, 'c' had 0 images and has 1"
    )


def test_one_more_file_changes_the_splits_of_a_folder(tmp_path):
    """The split draws indices, so old files move to other splits."""
    source = Source(
        "folder", "", str(write(tmp_path, "ab", 20)), 0.2, 0.2, DecodeConfig(CROP_POLICY)
    )
    before = split_fingerprints(read_splits(source, ignore))
    shutil.copy(tmp_path / "a/1.png", tmp_path / "a/00.png")
    after = split_fingerprints(read_splits(source, ignore))
    assert describe_changes(before["test"], after["test"]).startswith(
        "the 4 images of 'a' are others"
    )


def test_fingerprint_of_images_in_memory_is_of_their_pixels(digits):
    before = dataset_fingerprint(digits)
    digits.images[5, 0, 0] ^= 1  # of the class b
    assert (
        describe_changes(before, dataset_fingerprint(digits)) == "the 10 images of 'b' are others"
    )
    fewer = dataset_fingerprint(digits.take(np.arange(39)))
    assert "'d' had 10 images and has 9" in describe_changes(before, fewer)


def lazy(digits):
    """Returns the images with labels that are never read."""
    return dataclasses.replace(digits, labels=LazyLabels(pytest.fail, np.arange(len(digits))))


def test_fingerprint_without_labels(digits):
    before = dataset_fingerprint(lazy(digits))
    assert list(before) == [ALL_CLASSES]
    assert before[ALL_CLASSES][0] == 40
    assert before == dataset_fingerprint(lazy(digits))
    fewer = dataset_fingerprint(lazy(digits).take(np.arange(39)))
    assert describe_changes(before, fewer) == "40 images are now 39"
    digits.images[5, 0, 0] ^= 1
    after = dataset_fingerprint(lazy(digits))
    assert describe_changes(before, after) == "40 images are others"


def test_fingerprints_with_and_without_labels_differ(digits):
    pair = dataset_fingerprint(digits), dataset_fingerprint(lazy(digits))
    assert describe_changes(*pair) == "it was recorded with labels, and is read without them"
    assert describe_changes(*pair[::-1]) == "it was recorded without labels, and is read with them"
    known, unknown = ({"train": each} for each in pair)
    assert (is_stratified(known), is_stratified(unknown)) == (True, False)


def test_summaries_differ_for_one_other_file(tmp_path):
    before = summaries({"train": dataset_fingerprint(load(write(tmp_path))[0])})
    assert before["train"].startswith("12 images, ")
    assert before == summaries({"train": dataset_fingerprint(load(tmp_path)[0])})
    (tmp_path / "b/1.png").rename(tmp_path / "b/other.png")
    after = summaries({"train": dataset_fingerprint(load(tmp_path)[0])})
    assert after["train"].startswith("12 images, ")
    assert after != before
