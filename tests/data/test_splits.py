import dataclasses

import numpy as np
import pytest
import tiny_tfds
from tiny_folders import CROP_POLICY, ignore, write

from flax_vision.data import tfds_records
from flax_vision.data.batches import evaluation_batches
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.splits import (
    SPLITS,
    Source,
    has_lazy_labels,
    read_split,
    read_splits,
    unreadable_warning,
)
from flax_vision.data.tfds_records import TfdsRecords
from flax_vision.errors import UserError


@pytest.mark.parametrize(("fraction", "sizes"), [(0.0, (4000, 0)), (0.05, (3800, 200))])
def test_validation_is_a_share_of_the_training_set(fraction, sizes):
    splits = read_splits(Source("mnist_5k", val_fraction=fraction), ignore)
    assert (len(splits.train), len(splits.validation)) == sizes
    assert len(splits.test) == 1000
    assert unreadable_warning(splits) == ""


@pytest.mark.parametrize("fraction", [0.0001, 0.9999])
def test_splits_that_would_be_empty(fraction):
    with pytest.raises(UserError, match=f"val_fraction is {fraction}.*into"):
        read_splits(Source("mnist_5k", val_fraction=fraction), ignore)


def load(path, val_fraction=0.25, test_fraction=0.2, on_error="stop"):
    config = DecodeConfig(CROP_POLICY, on_error)
    source = Source("folder", "", str(path), val_fraction, test_fraction, config)
    return read_splits(source, ignore)


def sizes(splits):
    return [np.bincount(dataset.labels).tolist() for dataset in splits]


def test_splits_of_a_folder_are_shares_of_each_class(tmp_path):
    assert sizes(load(write(tmp_path, count=10))) == [[6, 6], [2, 2], [2, 2]]


def test_split_folders_stay_whole(tmp_path):
    write(tmp_path / "train", count=10)
    write(tmp_path / "val", count=3)
    assert sizes(load(tmp_path)) == [[8, 8], [3, 3], [2, 2]]
    write(tmp_path / "test", count=4)
    assert sizes(load(tmp_path, test_fraction=0.0)) == [[10, 10], [3, 3], [4, 4]]


def test_splits_are_deterministic(tmp_path):
    first, again = load(write(tmp_path)), load(tmp_path)
    np.testing.assert_array_equal(first.test.indices, again.test.indices)
    assert sorted(np.concatenate([dataset.indices for dataset in first])) == list(range(12))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"test_fraction": 0.0},
            "config.data.test_fraction is 0.0, and .* has no folder test/.*share above 0",
        ),
        (
            {"test_fraction": 0.01},
            "config.data.test_fraction is 0.01, which divides the 12 training images",
        ),
        ({"test_fraction": 0.95}, "config.data.test_fraction is 0.95"),
        ({"val_fraction": 0.01}, "config.data.val_fraction is 0.01"),
    ],
)
def test_shares_that_leave_nothing(settings, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load(write(tmp_path), **settings)


def test_class_without_training_images(tmp_path):
    write(tmp_path, "a", count=10)
    write(tmp_path, "b", count=1)
    with pytest.raises(
        UserError, match="test_fraction is 0.6, which takes all images of the class 'b'"
    ):
        load(tmp_path, test_fraction=0.6)


def test_images_in_memory_have_no_crops():
    with pytest.raises(UserError, match="config.crop.size is 8, and the images of mnist_5k"):
        read_splits(Source("mnist_5k", decode_config=DecodeConfig(CROP_POLICY)), ignore)


def test_folder_without_crops():
    with pytest.raises(UserError, match="is 'folder', and config.crop.size is 0.*crop.size=224"):
        read_splits(Source("folder", image_dir="there"), ignore)


def test_unreadable_warning_names_three_images(tmp_path):
    splits = load(write(tmp_path, count=10), on_error="skip")
    for index in range(10):
        (tmp_path / f"a/{index}.png").write_bytes(b"nothing")
    groups = [np.arange(len(splits.train))]
    list(splits.train.batches(groups, None))
    named = len(splits.train.unreadable)
    assert named == 6
    sentence = unreadable_warning(splits)
    assert sentence.startswith(f"{named} images so far cannot be read and will not count: ")
    assert sentence.count("not an image of a known format") == 3
    assert sentence.endswith(f" and {named - 3} more")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("folders", [(), ("train", "val"), ("train", "val", "test")])
def test_one_split_equals_the_one_of_all_splits(split, folders, tmp_path):
    for folder in folders or (".",):
        write(tmp_path / folder, count=10)
    source = Source("folder", "", str(tmp_path), 0.25, 0.2, DecodeConfig(CROP_POLICY))
    images = read_split(source, split, ignore)
    expected = getattr(read_splits(source, ignore), split)
    np.testing.assert_array_equal(images.indices, expected.indices)
    np.testing.assert_array_equal(images.labels, expected.labels)
    assert images.files == expected.files


def test_other_splits_are_not_read(tmp_path):
    write(tmp_path / "train")
    write(tmp_path / "test", count=2)
    for file in (tmp_path / "train").rglob("*.png"):
        file.write_bytes(b"nothing")
    source = Source("folder", "", str(tmp_path), 0.25, 0.2, DecodeConfig(CROP_POLICY))
    assert len(read_split(source, "test", ignore)) == 4
    with pytest.raises(UserError, match="cannot be read"):
        read_split(source, "validation", ignore)


def test_folder_for_a_test_alone(tmp_path):
    source = Source(
        "folder",
        "",
        str(write(tmp_path)),
        test_fraction=1.0,
        decode_config=DecodeConfig(CROP_POLICY),
    )
    assert sizes(read_splits(source, ignore)) == [[], [], [6, 6]]


def test_training_images_are_not_in_the_test(tmp_path):
    write(tmp_path / "train")
    source = Source(
        "folder", "", str(tmp_path), test_fraction=1.0, decode_config=DecodeConfig(CROP_POLICY)
    )
    assert sizes(read_splits(source, ignore)) == [[6, 6], [], []]
    write(tmp_path / "val", count=2)
    assert sizes(read_splits(source, ignore)) == [[6, 6], [2, 2], []]
    assert len(read_split(source, "train", ignore)) == 12


def test_labels_follow_the_names_of_the_classes(tmp_path):
    write(tmp_path, "cb", 2)
    config = DecodeConfig(CROP_POLICY)
    source = Source("folder", "", str(tmp_path), 0.0, 1.0, config, ["c", "a", "b"])
    images = read_split(source, "test", ignore)
    assert images.class_names == ["c", "a", "b"]
    assert images.labels.tolist() == [2, 2, 0, 0]
    source = Source("folder", "", str(tmp_path), 0.0, 1.0, config, ["a", "b"])
    with pytest.raises(UserError, match=r"the class 'c', unknown to the model;.*\(a, b\)"):
        read_split(source, "test", ignore)


def tfds_source(tmp_path, **settings):
    tiny_tfds.prepare(tmp_path)
    settings = {"val_fraction": 0.25, "decode_config": tiny_tfds.DECODE_CONFIG} | settings
    return Source(tiny_tfds.NAME, str(tmp_path), **settings)


def test_random_splits_without_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(TfdsRecords, "labels", pytest.fail)
    monkeypatch.setattr(TfdsRecords, "enumerate", pytest.fail)
    source = tfds_source(tmp_path, stratify="never")
    splits, again = read_splits(source, ignore), read_splits(source, ignore)
    assert [len(images) for images in splits] == [45, 15, 9]
    for one, other in zip(splits, again, strict=True):
        np.testing.assert_array_equal(one.indices, other.indices)
    both = np.concatenate([splits.train.indices, splits.validation.indices])
    assert sorted(both.tolist()) == list(range(60))
    assert splits.warnings() == [
        "validation: 15 random images; labels of tiny_records are not indexed, so it is not "
        "stratified (config.data.stratify=always reads all labels once)"
    ]
    alone = read_split(source, "validation", ignore)
    np.testing.assert_array_equal(alone.indices, splits.validation.indices)
    assert not alone.warnings


def test_no_note_without_a_split(tmp_path):
    source = tfds_source(tmp_path, stratify="never", val_fraction=0.0)
    assert not read_splits(source, ignore).warnings()


def test_large_set_gets_stratified_splits_on_demand(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_records, "_MAX_SCANNED_RECORDS", 10)
    source = tfds_source(tmp_path, stratify="always")
    splits = read_splits(source, ignore)
    assert splits.train.labels_known
    assert not splits.warnings()
    ours = np.bincount(splits.validation.labels)
    assert ours.tolist() == np.round(0.25 * (np.bincount(splits.train.labels) + ours)).tolist()


def test_classes_of_a_large_set(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_records, "_MAX_SCANNED_RECORDS", 10)
    source = tfds_source(tmp_path, classes=("owl", "cat"))
    (batch,) = evaluation_batches(read_splits(source, ignore).test, 9)
    owls = tiny_tfds.labels_of(batch.images[batch.mask]) == 2
    np.testing.assert_array_equal(batch.labels[batch.mask], np.where(owls, 0, 1))


def test_sources_with_lazy_labels(tmp_path, monkeypatch):
    source = tfds_source(tmp_path)
    assert not has_lazy_labels(source)
    monkeypatch.setattr(tfds_records, "_MAX_SCANNED_RECORDS", 10)
    assert has_lazy_labels(source)
    for other in ("folder", "mnist_5k", "hf:there"):
        assert not has_lazy_labels(dataclasses.replace(source, name=other))
    assert not has_lazy_labels(dataclasses.replace(source, decode_config=None))


def test_random_splits_of_images_in_memory():
    splits = read_splits(Source("mnist_5k", val_fraction=0.1, stratify="never"), ignore)
    assert len(splits.validation) == 400
    assert len(set(np.bincount(splits.validation.labels))) > 1
    assert not splits.warnings()
