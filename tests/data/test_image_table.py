import numpy as np
import pytest
from tiny_folders import CROP_POLICY, ignore, write

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.fingerprint import describe_changes, split_fingerprints
from flax_vision.data.split_record import relative_paths, splits_csv
from flax_vision.data.splits import SPLITS, Source, read_split, read_splits
from flax_vision.errors import UserError

WITHOUT_SPLITS = "path,label\n" + "".join(f"{x}/{i}.png,{x}\n" for i in range(6) for x in "ba")


def source(tmp_path, table="", **settings):
    """Returns the source of the folder `images`, with a table if its text is given."""
    if table:
        (tmp_path / "labels.csv").write_text(table)
        settings["labels"] = str(tmp_path / "labels.csv")
    defaults = {"val_fraction": 0.25, "test_fraction": 0.2, "image_dir": str(tmp_path / "images")}
    decode = {"decode_config": DecodeConfig(CROP_POLICY)}
    return Source("folder", **defaults | decode | settings)


def load(tmp_path, table="", **settings):
    return read_splits(source(tmp_path, table, **settings), ignore)


def assert_same(first, second):
    """Asserts that two datasets have the same images, labels and batches."""
    folder = first.files.paths[0].parents[1]
    assert relative_paths(first, folder) == relative_paths(second, folder)
    assert first.class_names == second.class_names
    np.testing.assert_array_equal(first.labels, second.labels)
    for epoch in (None, (1, 2)):
        batches = [[*x.batches([np.arange(len(x))], epoch)] for x in (first, second)]
        np.testing.assert_array_equal(batches[0][0][0], batches[1][0][0])


@pytest.mark.parametrize(
    "settings", [{}, {"class_order": "sorted"}, {"classes": ("a", "9")}, {"class_names": "ba9"}]
)
def test_table_equals_the_folder_that_it_describes(settings, tmp_path):
    write(tmp_path / "images", ("a", "9", "b"))
    table = "path,label\n" + "".join(f"{x}/{i}.png,{x}\n" for i in range(6) for x in "ba9")
    folder = load(tmp_path, **settings)
    for first, second in zip(folder, load(tmp_path, table, **settings), strict=True):
        assert_same(first, second)


def test_record_of_the_splits_is_a_table(tmp_path):
    write(tmp_path / "images")
    splits = load(tmp_path)
    record = splits_csv(splits, str(tmp_path / "images"))
    again = load(tmp_path, record, val_fraction=0.0)
    assert splits_csv(again, str(tmp_path / "images")) == record
    for first, second in zip(splits, again, strict=True):
        assert_same(first, second)


def test_images_at_any_depth_with_other_names(tmp_path):
    write(tmp_path / "images/x/y", "a", 3)
    (tmp_path / "images/x/y/a/2.png").rename(tmp_path / "images/photograph")
    table = "image;class\nphotograph;10\nx/y/a/1.png;9\nx/y/a/0.png;9\n"
    train = load(tmp_path, table, val_fraction=0.0, test_fraction=1.0).test
    assert train.class_names == ["9", "10"]
    assert train.labels.tolist() == [0, 0, 1]
    assert relative_paths(train, tmp_path / "images") == [
        "x/y/a/0.png",
        "x/y/a/1.png",
        "photograph",
    ]
    assert load(tmp_path, table, test_fraction=1.0, class_order="sorted").test.class_names == [
        *("10", "9")
    ]


def with_splits(**splits):
    """Returns a table with the split of each image of a class and a number, such as `a0`."""
    rows = [
        f"{x[0]}/{x[1]}.png,{x[0]},{split}\n" for split in splits for x in splits[split].split()
    ]
    return "path,label,split\n" + "".join(rows)


def test_splits_of_the_table(tmp_path):
    write(tmp_path / "images")
    splits = load(tmp_path, with_splits(train="b0 a0 b1 a1", dev="b2", testing="a3 b3"))
    found = [relative_paths(x, tmp_path / "images") for x in splits]
    assert found == [
        ["a/0.png", "a/1.png", "b/0.png", "b/1.png"],
        ["b/2.png"],
        ["a/3.png", "b/3.png"],
    ]
    assert [x.labels.tolist() for x in splits] == [[0, 0, 1, 1], [1], [0, 1]]


def test_missing_splits_are_shares(tmp_path):
    write(tmp_path / "images", count=10)
    train = " ".join(f"{x}{i}" for x in "ab" for i in range(8))
    splits = load(tmp_path, with_splits(train=train, test="a8 b9"))
    assert [*map(len, splits)] == [12, 4, 2]
    with pytest.raises(
        UserError, match="test_fraction is 0.0, and '.*labels.csv' has no split test"
    ):
        load(tmp_path, with_splits(train=train), test_fraction=0.0)


def test_other_splits_are_not_needed(tmp_path):
    write(tmp_path / "images", count=2)
    table = with_splits(train="a8 b8", test="a1 b1")
    images = read_split(source(tmp_path, table), "test", ignore)
    assert relative_paths(images, tmp_path / "images") == ["a/1.png", "b/1.png"]
    with pytest.raises(UserError, match="2 paths of 2 in .* are not in"):
        read_split(source(tmp_path, table), "train", ignore)


def test_model_with_more_classes_than_the_table(tmp_path):
    write(tmp_path / "images", count=2)
    known = source(tmp_path, with_splits(test="b0 a1"), class_names=["c", "b", "a"])
    images = read_split(known, "test", ignore)
    assert (images.class_names, images.labels.tolist()) == (["c", "b", "a"], [2, 1])
    with pytest.raises(
        UserError, match="val_fraction is 0.25, which divides the 0 training images"
    ):
        read_split(known, "validation", ignore)
    with pytest.raises(UserError, match="the label 'b' of the split test, unknown to the model"):
        read_split(source(tmp_path, with_splits(test="b0"), class_names=["c", "a"]), "test", ignore)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("a0 b0 a1 b1", "b1 a1 b0 a0", ""),
        ("a0 b0 a1 b1", "a0 b0 a2 b1", "the 2 images of 'a' are others"),
        ("a0 b0 b1", "a0 b0 a1 b1", "'a' had 1 image and has 2"),
    ],
)
def test_changed_table_changes_the_fingerprint(before, after, changes, tmp_path):
    write(tmp_path / "images")
    found = []
    for train in (before, after):
        splits = load(tmp_path, with_splits(train=train, val="a4", test="a5"))
        found.append(split_fingerprints(splits)["train"])
    assert describe_changes(*found) == changes


def test_fingerprint_has_the_folders_of_the_images(tmp_path):
    write(tmp_path / "images", "abcd", 1)
    digests = []
    for a, c in (("a/0.png", "c/0.png"), ("c/0.png", "a/0.png")):
        table = f"path,label\n{a},x\nb/0.png,x\n{c},y\nd/0.png,y\n"
        digests.append(split_fingerprints(load(tmp_path, table, test_fraction=1.0)))
    assert describe_changes(digests[0]["test"], digests[1]["test"]).startswith(
        "the 2 images of 'x'"
    )


def test_repeated_lines_count_once(tmp_path):
    write(tmp_path / "images")
    splits = load(tmp_path, f"{WITHOUT_SPLITS}a/0.png,a\n./a/../a/0.png,a\n")
    assert sum(map(len, splits)) == 12
    (warning,) = splits.warnings()
    assert warning == f"skipped 2 lines of '{tmp_path}/labels.csv' that repeat another line"


def test_one_path_in_two_splits_is_warned_of(tmp_path):
    write(tmp_path / "images")
    (warning,) = load(tmp_path, with_splits(train="a0 b0 a1 b1", val="a2", test="a1")).warnings()
    assert "1 image of one split is in another split too" in warning
    assert "'a/1.png' (test)" in warning


TWELVE = "path,label\n" + "".join(f"no/{i}.png,{'ab'[i % 2]}\n" for i in range(12))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,label\na/0.png,a\na/1.png,a\n", "only one label for training images, 'a'; it must"),
        (
            f"{WITHOUT_SPLITS}./a/0.png,b\n",
            "line 14 gives 'a/0.png' the label 'b', and line 3 the la",
        ),
        (TWELVE, r"12 paths of 12 in .*: 'no/0.png' \(line 2\), .*\(line 11\) and 2 more; correct"),
        (
            "path,label\na/0.png,a\nb/0,b\n",
            r"1 path of 2 .*'b/0' \(line 3\); 'b/0.png' exists, so a",
        ),
        ("path,label\na/0.png,a\nb\\0.png,b\n", "1 path of 2 .*write / between folders"),
        (with_splits(val="a0 b0"), "has no training images; give rows the split train"),
        (
            "path,label,split\na/0.png,a,train\nb/0.png,b,train\na/1.png,d,val\na/2.png,c,val\n",
            r"line 4 has the label 'd' of the split validation, unknown to the training images "
            r"\(2 such lines\); use labels of the training images: a, b",
        ),
    ],
)
def test_tables_that_do_not_fit_the_folder(table, message, tmp_path):
    write(tmp_path / "images")
    with pytest.raises(UserError, match=message):
        load(tmp_path, table)


def test_no_folder(tmp_path):
    with pytest.raises(
        UserError, match="image_dir is '.*images', which does not.* has the images of"
    ):
        load(tmp_path, WITHOUT_SPLITS)


def test_unreadable_images_are_as_in_folders(tmp_path):
    write(tmp_path / "images")
    (tmp_path / "images/a/0.png").write_text("no image")
    (tmp_path / "images/b/0.png").unlink()
    (tmp_path / "images/b/0.png").symlink_to("nowhere")
    with pytest.raises(
        UserError, match="/0.png' cannot be read .* give --config.data.on_error=skip"
    ):
        load(tmp_path, WITHOUT_SPLITS)
    skip = DecodeConfig(CROP_POLICY, "skip")
    assert sum(map(len, load(tmp_path, WITHOUT_SPLITS, decode_config=skip))) == 12


@pytest.mark.parametrize("split", SPLITS)
def test_one_split_equals_the_one_of_all_splits(split, tmp_path):
    write(tmp_path / "images")
    assert_same(
        read_split(source(tmp_path, WITHOUT_SPLITS), split, ignore),
        getattr(load(tmp_path, WITHOUT_SPLITS), split),
    )
