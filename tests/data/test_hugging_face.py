"""Tests of datasets from parquet files and of `save_to_disk`."""

import numpy as np
import pyarrow as pa
import pytest
from encoded_images import encoded
from tiny_folders import CROP_POLICY, ignore
from tiny_folders import load as load_folder
from tiny_tables import LABELS, pictures, table, write_dataset, write_parquet

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.fingerprint import dataset_fingerprint
from flax_vision.data.hugging_face import hugging_face_loaders
from flax_vision.data.image_folder import ALL
from flax_vision.data.splits import Source, read_split, read_splits
from flax_vision.errors import UserError

datasets = pytest.importorskip("datasets", reason="it is in the extra `hf`")

CODES = [2, 1, 0, 2, 0, 1]
"""Numbers of `LABELS`."""
ON_DEMAND = DecodeConfig(CROP_POLICY)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """An empty cache of `datasets`."""
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(directory))


def load(path, *settings, **more):
    return hugging_face_loaders(f"hf:{path}", ignore, *settings, **more)


def load_all(path, *settings, **more):
    return load(path, *settings, **more)[ALL]()


def test_images_in_memory(tmp_path):
    dataset = load_all(write_parquet(tmp_path / "birds.parquet", table()))
    np.testing.assert_array_equal(dataset.images, pictures(6))
    assert dataset.images.dtype == np.uint8
    np.testing.assert_array_equal(dataset.labels, CODES)
    assert dataset.labels.dtype == np.int32
    assert dataset.class_names == ["a9", "a10", "b"]


def test_progress(tmp_path):
    calls = []
    name = f"hf:{write_parquet(tmp_path / 'birds.parquet', table())}"
    hugging_face_loaders(name, lambda *call: calls.append(call))[ALL]()
    assert calls == [(f"opening {name}", 0, 0), (name, 6, 6)]


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_of_images_in_memory(channels, tmp_path):
    gray = pictures(5, (6, 5))
    last = gray[0] if channels == 1 else pictures(1)[0]
    path = write_parquet(tmp_path / "birds.parquet", table([*gray, last]))
    assert load_all(path).images.shape == (6, 6, 5, channels)
    np.testing.assert_array_equal(load_all(path).images[:5, ..., 0], gray)


def test_images_on_demand_equal_those_of_a_folder(tmp_path):
    """Crops, order and random numbers are the same for a folder with the same files."""
    images = [encoded(image) for image in pictures(6, (20, 15, 3))]
    for index, image in enumerate(images):
        (tmp_path / "folder" / "ab"[index // 3]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / "ab"[index // 3] / f"{index}.png").write_bytes(image)
    folder, _, _ = load_folder(tmp_path / "folder")
    path = write_parquet(tmp_path / "birds.parquet", table(images, list("aaabbb")))
    dataset = load_all(path, ON_DEMAND)
    np.testing.assert_array_equal(dataset.labels, folder.labels)
    for epoch in (None, (0, 1)):
        groups = [np.array([4, 0, 1]), np.array([2, 5, 3])]
        batches = zip(dataset.batches(groups, epoch), folder.batches(groups, epoch), strict=True)
        for (found, _), (expected, _) in batches:
            np.testing.assert_array_equal(found, expected)


def test_splits_by_the_names_of_files(tmp_path):
    for name in ("train-00000-of-00002", "dev/0", "data_test", "train-00001-of-00002"):
        write_parquet(tmp_path / f"{name}.parquet", table())
    write_parquet(tmp_path / "more.parquet", table())
    loaders = load(tmp_path)
    sizes = {split: len(loader()) for split, loader in loaders.items()}
    assert sizes == {"train": 12, "validation": 6, "test": 6}
    assert loaders["train"]().warnings == [
        f"skipped 1 file of no split, such as '{tmp_path}/more.parquet'"
    ]


def test_files_of_one_split_are_in_natural_order(tmp_path):
    for index in (0, 2, 10):
        write_parquet(tmp_path / f"{index}.parquet", table(pictures(6, seed=index)))
    expected = np.concatenate([pictures(6, seed=index) for index in (0, 2, 10)])
    np.testing.assert_array_equal(load_all(tmp_path).images, expected)


def test_path_with_characters_of_patterns(tmp_path):
    path = tmp_path / "[birds] *"
    write_parquet(path / "0.parquet", table())
    assert len(load_all(path)) == 6


def test_changed_file_is_read_again(tmp_path):
    path = tmp_path / "birds.parquet"
    write_parquet(path, table())
    load_all(path)
    write_parquet(path, table(pictures(7, seed=1), [*LABELS, "b"]))
    np.testing.assert_array_equal(load_all(path).images, pictures(7, seed=1))


def test_features_of_parquet(tmp_path):
    """Names of classes keep their own order."""
    columns = table(labels=CODES, id=range(6), other=LABELS)
    names = ["owl", "cat", "dog", "none"]
    path = write_dataset(tmp_path / "0.parquet", columns, label=datasets.ClassLabel(names=names))
    dataset = load_all(path, ON_DEMAND)
    assert dataset.class_names == names
    np.testing.assert_array_equal(dataset.labels, CODES)
    assert dataset.files.name(3) == f"hf:{path}, row 3, 3.png"


def saved(path, **splits):
    """Saves splits with the classes cat and dog."""
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])}
    )
    tables = {
        name: datasets.Dataset.from_dict(table(labels=labels), features)
        for name, labels in splits.items()
    }
    datasets.DatasetDict(tables).save_to_disk(str(path))
    return path


def test_saved_dataset_with_splits(tmp_path, capfd):
    path = saved(tmp_path, train=[0, 1, 1], valid=[1], test=[0, 0], extra=[1])
    loaders = load(path)
    assert {x: loaders[x]().labels.tolist() for x in loaders} == {
        "train": [0, 1, 1],
        "validation": [1],
        "test": [0, 0],
    }
    assert loaders["test"]().warnings == [f"hf:{path}: skipped 1 split (extra)"]
    assert capfd.readouterr().err.count("Loading") == 0


def test_saved_dataset_without_splits(tmp_path):
    datasets.Dataset.from_dict(table()).save_to_disk(str(tmp_path))
    np.testing.assert_array_equal(load_all(tmp_path).images, pictures(6))


def test_missing_splits_are_divided_off(tmp_path):
    labels = [0, 1] * 10
    path = saved(tmp_path, train=labels)
    splits = read_splits(Source(f"hf:{path}", val_fraction=0.25, test_fraction=0.2), ignore)
    assert [len(split) for split in splits] == [12, 4, 4]
    path = write_parquet(tmp_path / "birds.parquet", table(labels=labels))
    assert len(read_split(Source(f"hf:{path}", test_fraction=1), "test", ignore)) == 20


def test_split_without_labels_is_left_out(tmp_path):
    loaders = load(saved(tmp_path, train=[0, 1], validation=[1], test=[-1, -1]))
    assert list(loaders) == ["train", "validation"]
    assert loaders["train"]().warnings == [
        f"hf:{tmp_path}, test: skipped this split, which has no labels"
    ]


def test_dataset_of_one_split(tmp_path):
    write_parquet(tmp_path / "test.parquet", table())
    assert len(load(tmp_path)["test"]()) == 6
    with pytest.raises(UserError, match="no split train, only test"):
        read_splits(Source(f"hf:{tmp_path}"), ignore)


def test_labels_of_the_model(tmp_path):
    path = write_parquet(tmp_path / "birds.parquet", table())
    dataset = load_all(path, class_names=["b", "other", "a10", "a9"])
    np.testing.assert_array_equal(dataset.labels, [0, 2, 3, 0, 3, 2])
    with pytest.raises(UserError, match="row 1 has the label 'a10', unknown to the model .b, a9"):
        load_all(path, class_names=["b", "a9"])
    numbered = saved(tmp_path / "saved", train=[0, 1])
    assert load(numbered, class_names=["cat", "dog"])["train"]().labels.tolist() == [1, 0]
    assert load(numbered, class_names=["x", "y"])["train"]().class_names == ["dog", "cat"]


def test_named_columns(tmp_path):
    columns = {"image": table()["image"], "picture": table(pictures(6, seed=1))["image"]}
    path = write_parquet(tmp_path / "0.parquet", columns | {"coarse": LABELS, "fine": range(6)})
    dataset = load_all(path, image_column="picture", label_column="fine")
    np.testing.assert_array_equal(dataset.images, pictures(6, seed=1))
    assert dataset.class_names == list("012345")


def test_fingerprint_is_of_the_content(tmp_path):
    def fingerprint(name, images):
        path = write_parquet(tmp_path / name, table(images))
        return dataset_fingerprint(load_all(path, ON_DEMAND))

    first = fingerprint("a.parquet", pictures(6))
    assert fingerprint("b/c.parquet", pictures(6)) == first
    changed = fingerprint("d.parquet", [*pictures(5), pictures(1, (7, 9, 3))[0]])
    assert [name for name in first if first[name] != changed[name]] == ["a10"]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": [0, 1], "val": [0], "dev": [1]}, "splits val and dev for the validation images"),
        ({"one": [0], "two": [1]}, r"has 2 splits .one, two. with rows; one must be named train"),
        ({"train": [0, -1, -1]}, "train: 2 rows without a label, first row 1; remove them"),
    ],
)
def test_wrong_splits(splits, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load(saved(tmp_path, **splits))["train"]()


def test_splits_without_rows(tmp_path):
    write_parquet(tmp_path / "train.parquet", table())
    empty = {"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())}
    path = write_parquet(tmp_path / "test.parquet", empty)
    assert list(load(tmp_path)) == ["train"]
    with pytest.raises(UserError, match="has no rows; give one with images"):
        load(path)


def test_label_that_training_lacks(tmp_path):
    write_parquet(tmp_path / "train.parquet", table())
    write_parquet(tmp_path / "test.parquet", table(labels=["b", "c"]))
    message = "test: row 1 has the label 'c', unknown to hf:.*, train .a9, a10, b.; correct"
    with pytest.raises(UserError, match=message):
        load(tmp_path)["test"]()


def test_images_of_several_sizes_are_not_for_memory(tmp_path):
    images = [*pictures(5), pictures(1, (8, 8, 3))[0]]
    path = write_parquet(tmp_path / "birds.parquet", table(images))
    with pytest.raises(UserError, match="images of several sizes, and config.crop.size is 0; give"):
        load_all(path)
    assert len(load_all(path, ON_DEMAND)) == 6


@pytest.mark.parametrize(
    ("content", "reason"), [(b"no image", "not an image of a known format"), (None, "no image")]
)
def test_unreadable_image(content, reason, tmp_path):
    path = write_parquet(tmp_path / "0.parquet", table([*pictures(5), content]))
    message = f"image 'hf:{path}, row 5' cannot be read .*{reason}"
    for config in (None, ON_DEMAND):
        with pytest.raises(UserError, match=message):
            read_split(Source(f"hf:{path}", test_fraction=1, decode_config=config), "test", ignore)
    dataset = load_all(path, DecodeConfig(CROP_POLICY, "skip"))
    ((_, is_readable),) = dataset.batches([np.arange(6)], None)
    assert is_readable.tolist() == [True] * 5 + [False]
    assert list(dataset.unreadable) == [f"hf:{path}, row 5"]


def test_unreadable_gray_image(tmp_path):
    path = write_parquet(tmp_path / "0.parquet", table([*pictures(5, (6, 5)), b"no image"]))
    with pytest.raises(UserError, match="row 5' cannot be read .it is not an image of a known for"):
        load_all(path)


def test_images_that_a_table_names(tmp_path):
    """A folder of images that `datasets` has saved without their bytes."""
    file = tmp_path / "0.png"
    file.write_bytes(encoded(pictures(1)[0]))
    fields = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    image = pa.array([{"bytes": None, "path": str(file)}] * 2, fields)
    path = write_parquet(tmp_path / "0.parquet", {"image": image, "label": ["a", "b"]})
    np.testing.assert_array_equal(load_all(path).images, [pictures(1)[0]] * 2)
