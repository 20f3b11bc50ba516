import numpy as np
import pytest
from tiny_folders import VIEW, ignore, write

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.splits import PARTS, Source, load_part, load_parts
from flax_vision.errors import UserError


@pytest.mark.parametrize(("fraction", "sizes"), [(0.0, (4000, 0)), (0.05, (3800, 200))])
def test_validation_comes_out_of_the_training_set(fraction, sizes):
    parts = load_parts(Source("mnist_5k", val_fraction=fraction), ignore)
    assert (len(parts.train), len(parts.validation)) == sizes
    assert len(parts.test) == 1000
    assert parts.left_out() == ""


@pytest.mark.parametrize("fraction", [0.0001, 0.9999])
def test_parts_that_would_be_empty(fraction):
    with pytest.raises(UserError, match=f"validation is {fraction}.*into"):
        load_parts(Source("mnist_5k", val_fraction=fraction), ignore)


def load(path, val_fraction=0.25, test_fraction=0.2, on_error="stop"):
    reading = DecodeConfig(VIEW, on_error)
    source = Source("folder", "", str(path), val_fraction, test_fraction, reading)
    return load_parts(source, ignore)


def sizes(parts):
    return [np.bincount(p.labels).tolist() for p in (parts.train, parts.validation, parts.test)]


def test_parts_of_a_folder_are_shares_of_each_class(tmp_path):
    assert sizes(load(write(tmp_path, count=10))) == [[6, 6], [2, 2], [2, 2]]


def test_parts_that_a_folder_has_stay_whole(tmp_path):
    write(tmp_path / "train", count=10)
    write(tmp_path / "val", count=3)
    assert sizes(load(tmp_path)) == [[8, 8], [3, 3], [2, 2]]
    write(tmp_path / "test", count=4)
    assert sizes(load(tmp_path, test=0.0)) == [[10, 10], [3, 3], [4, 4]]


def test_division_is_always_the_same(tmp_path):
    first, again = load(write(tmp_path)), load(tmp_path)
    np.testing.assert_array_equal(first.test.indices, again.test.indices)
    parts = (first.train, first.validation, first.test)
    assert sorted(np.concatenate([part.indices for part in parts])) == list(range(12))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"test": 0.0},
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


def test_class_of_which_nothing_is_left_to_learn_from(tmp_path):
    write(tmp_path, "a", count=10)
    write(tmp_path, "b", count=1)
    with pytest.raises(
        UserError, match="test_fraction is 0.6, which takes all images of the class 'b'"
    ):
        load(tmp_path, test_fraction=0.6)


def test_images_in_memory_have_no_views():
    with pytest.raises(UserError, match="config.crop.size is 8, and the images of mnist_5k"):
        load_parts(Source("mnist_5k", reading=DecodeConfig(VIEW)), ignore)


def test_folder_without_views():
    with pytest.raises(UserError, match="is 'folder', and config.crop.size is 0.*crop.size=224"):
        load_parts(Source("folder", image_dir="there"), ignore)


def test_sentence_about_what_was_left_out(tmp_path):
    parts = load(write(tmp_path, count=10), on_error="skip")
    for index in range(10):
        (tmp_path / f"a/{index}.png").write_bytes(b"nothing")
    groups = [np.arange(len(parts.train))]
    list(parts.train.views(groups, None))
    named = len(parts.train.unreadable)
    assert named == 6
    sentence = parts.left_out()
    assert sentence.startswith(f"{named} images so far cannot be read and will not count: ")
    assert sentence.count("no image of a known format") == 3
    assert sentence.endswith(f" and {named - 3} more")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("folders", [(), ("train", "val"), ("train", "val", "test")])
def test_one_part_is_what_it_is_among_all(part, folders, tmp_path):
    for folder in folders or (".",):
        write(tmp_path / folder, count=10)
    source = Source("folder", "", str(tmp_path), 0.25, 0.2, DecodeConfig(VIEW))
    images, expected = load_part(source, part, ignore), getattr(load_parts(source, ignore), part)
    np.testing.assert_array_equal(images.indices, expected.indices)
    np.testing.assert_array_equal(images.labels, expected.labels)
    assert images.files == expected.files


def test_other_parts_are_not_looked_at(tmp_path):
    write(tmp_path / "train")
    write(tmp_path / "test", count=2)
    for file in (tmp_path / "train").rglob("*.png"):
        file.write_bytes(b"nothing")
    source = Source("folder", "", str(tmp_path), 0.25, 0.2, DecodeConfig(VIEW))
    assert len(load_part(source, "test", ignore)) == 4
    with pytest.raises(UserError, match="cannot be read"):
        load_part(source, "validation", ignore)


def test_folder_that_is_there_for_a_test_alone(tmp_path):
    source = Source(
        "folder", "", str(write(tmp_path)), test_fraction=1.0, reading=DecodeConfig(VIEW)
    )
    assert sizes(load_parts(source, ignore)) == [[], [], [6, 6]]


def test_images_to_learn_from_are_not_taken_for_a_test(tmp_path):
    write(tmp_path / "train")
    source = Source("folder", "", str(tmp_path), test_fraction=1.0, reading=DecodeConfig(VIEW))
    assert sizes(load_parts(source, ignore)) == [[6, 6], [], []]
    write(tmp_path / "val", count=2)
    assert sizes(load_parts(source, ignore)) == [[6, 6], [2, 2], []]
    assert len(load_part(source, "train", ignore)) == 12


def test_classes_are_known_by_their_names(tmp_path):
    write(tmp_path, "cb", 2)
    reading = DecodeConfig(VIEW)
    source = Source("folder", "", str(tmp_path), 0.0, 1.0, reading, ["c", "a", "b"])
    images = load_part(source, "test", ignore)
    assert images.class_names == ["c", "a", "b"]
    assert images.labels.tolist() == [2, 2, 0, 0]
    source = Source("folder", "", str(tmp_path), 0.0, 1.0, reading, ["a", "b"])
    with pytest.raises(UserError, match=r"the class 'c', which the network has not.*\(a, b\)"):
        load_part(source, "test", ignore)
