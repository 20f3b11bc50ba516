from tiny_folders import CROP_POLICY, ignore, load, write

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.data.split_record import relative_paths, splits_csv
from flax_vision.data.splits import Source, Splits, read_splits


def test_split_folders_are_part_of_the_paths(tmp_path):
    for split in ("train", "val", "test"):
        write(tmp_path / split, count=1)
    splits = Splits(*load(tmp_path))
    assert splits_csv(splits, str(tmp_path)) == (
        "path,label,split\n"
        "train/a/0.png,a,train\ntrain/b/0.png,b,train\n"
        "val/a/0.png,a,validation\nval/b/0.png,b,validation\n"
        "test/a/0.png,a,test\ntest/b/0.png,b,test\n"
    )


def test_relative_folder(tmp_path, monkeypatch):
    write(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    for folder in ("pictures", "./pictures/", "pictures/../pictures"):
        source = Source("folder", "", folder, 0.25, 0.2, DecodeConfig(CROP_POLICY))
        splits = read_splits(source, ignore)
        paths = [path for images in splits for path in relative_paths(images, folder)]
        assert sorted(paths) == [f"{name}/{index}.png" for name in "ab" for index in range(6)]


def test_names_with_commas_and_invalid_unicode(tmp_path):
    write(tmp_path, ["a,1", "b\udcff"], count=1)
    splits = Splits(*[load(tmp_path)[0]] * 3)
    lines = splits_csv(splits, str(tmp_path)).splitlines()
    assert lines[1:3] == ['"a,1/0.png","a,1",train', r"b\udcff/0.png,b\udcff,train"]


def test_images_in_memory_have_no_paths():
    train, test = load_mnist_5k()
    assert splits_csv(Splits(train, train, test), "") == ""
