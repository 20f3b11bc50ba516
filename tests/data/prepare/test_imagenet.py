import io
import json
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from prepared_sets import ignore, tfds_content
from prepared_sets import prepare as prepare_set
from published_imagenet import (
    CLASSES,
    CMYK,
    COUNTS,
    PNG,
    TRAIN_NAMES,
    VALIDATION_LABELS,
    encoded,
)
from tfds_oracle import prepare_by_tfds

from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.label_index import read_labels
from flax_vision.data.prepare import preparation as module
from flax_vision.data.prepare.imagenet import fix_image
from flax_vision.data.tfds import tfds_loaders
from flax_vision.errors import UserError

TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"


def prepare(folder, directory, on_progress=ignore):
    return prepare_set("imagenet2012", folder, directory, on_progress)


def rows(path, split):
    decoders = {"image": tfds.decode.SkipDecoding()}
    builder = tfds.builder_from_directory(str(path))
    return list(builder.as_data_source(split, decoders=decoders))


@pytest.mark.parametrize("with_test", [False, True])
def test_files_are_those_of_tfds(with_test, imagenet_folder, tmp_path, monkeypatch):
    folder = imagenet_folder(with_test=with_test)
    path, counts = prepare(folder, tmp_path / "ours")
    assert "tensorflow" not in sys.modules
    for function in ("jpeg_cmyk_to_rgb", "png_to_jpeg"):  # they need TensorFlow
        fixed = CMYK if "cmyk" in function else PNG
        fix = lambda image, fixed=fixed: fix_image(fixed, image)  # noqa: E731
        monkeypatch.setattr(tfds.core.utils, function, fix)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    expected = prepare_by_tfds(
        "imagenet2012", files, tmp_path / "theirs", tmp_path / "x", monkeypatch
    )
    assert path.relative_to(tmp_path / "ours") == Path(expected).relative_to(tmp_path / "theirs")
    assert tfds_content(path) == tfds_content(expected)
    splits = ["train", "validation", "test"] if with_test else ["train", "validation"]
    assert counts == {split: COUNTS[split] for split in splits}
    assert {entry.name for entry in (tmp_path / "ours").iterdir()} == {"downloads", "imagenet2012"}


def test_labels_names_and_images(imagenet_folder, tmp_path):
    path, _ = prepare(imagenet_folder(), tmp_path)
    train = {row["file_name"].decode(): row for row in rows(path, "train")}
    assert sorted(train) == sorted(name for names in TRAIN_NAMES.values() for name in names)
    for name, row in train.items():
        assert CLASSES[row["label"]] == name.partition("_")[0]
        assert name in (CMYK, PNG) or row["image"] == encoded(name)
    for row in rows(path, "validation"):
        number = int(row["file_name"].decode().removesuffix(".JPEG")[-8:])
        assert CLASSES[row["label"]] == VALIDATION_LABELS[number - 1]


def test_labels_are_written_in_the_order_of_the_records(imagenet_folder, tmp_path):
    path, counts = prepare(imagenet_folder(with_test=True), tmp_path)
    for split, count in counts.items():
        labels = read_labels(path, split, count)
        assert labels.tolist() == [row["label"] for row in rows(path, split)]
    assert labels.tolist() == [-1] * COUNTS["test"]


def test_set_is_read(imagenet_folder, tmp_path):
    prepare(imagenet_folder(with_test=True), tmp_path)
    decode_config = DecodeConfig(CropPolicy(size=4, eval_resize=4, resize_range=(4, 4)))
    loaders = tfds_loaders("imagenet2012", str(tmp_path), ignore, decode_config)
    assert len(loaders["train"]()) == COUNTS["train"]
    assert len(loaders["test"]()) == COUNTS["validation"]


@pytest.mark.parametrize("name", [CMYK, PNG])
def test_images_that_are_no_rgb_jpeg(name):
    before, after = encoded(name), fix_image(name, encoded(name))
    with Image.open(io.BytesIO(after)) as image:
        assert (image.format, image.mode, image.info["dpi"]) == ("JPEG", "RGB", (300, 300))
        assert image.layer[0][1:3] == (2, 2)  # chroma is subsampled, as by TensorFlow's default
        assert not image.info.get("icc_profile")
        pixels = np.asarray(image, np.int16)
    with Image.open(io.BytesIO(before)) as image:
        original = np.asarray(image.convert("RGB"), np.int16)
    assert np.abs(pixels - original).mean() < 3


def test_other_images_stay_as_they_are():
    assert fix_image("n01739381_1310.JPEG", b"JPEG") == b"JPEG"


def test_color_profile_of_a_cmyk_image_is_left_out():
    file = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(file, "jpeg", icc_profile=b"profile of CMYK")
    assert b"profile of CMYK" not in fix_image(CMYK, file.getvalue())


def test_progress(imagenet_folder, tmp_path, monkeypatch):
    from flax_vision.data.prepare import imagenet

    monkeypatch.setattr(imagenet, "_REPORT", 6)
    calls = []
    prepare(imagenet_folder(), tmp_path, lambda *call: calls.append(call))
    assert calls == [
        ("imagenet2012 train index", 6, 14),
        ("imagenet2012 train index", 12, 14),
        ("imagenet2012 validation index", 6, 6),
        ("imagenet2012 train", 14, 14),
        ("imagenet2012 validation", 6, 6),
    ]


def test_test_archive_under_the_name_of_the_publisher(imagenet_folder, tmp_path):
    folder = imagenet_folder(with_test=True)
    archive = folder / "ILSVRC2012_img_test.tar"
    archive.rename(folder / "ILSVRC2012_img_test_v10102019.tar")
    _, counts = prepare(folder, tmp_path)
    assert counts["test"] == COUNTS["test"]


def test_files_that_are_missing(publish_imagenet, tmp_path):
    publish_imagenet("imagenet2012")
    message = (
        f"'{tmp_path}' has no {TRAIN}, {VALIDATION}; download {TRAIN} .0.0 GB. and {VALIDATION} "
        ".0.0 GB. from https://image-net.org/download-images, which needs an account, put them "
        f"into a folder DIR, and run `flax-vision prepare imagenet2012 --source=DIR "
        f"--tfds-dir={tmp_path}`."
    )
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, tmp_path)


def test_without_a_source_the_folder_of_tfds_is_used(imagenet_folder, tmp_path):
    folder = imagenet_folder()
    with pytest.raises(UserError, match="downloads/manual' has no .*--source=DIR"):
        prepare("", tmp_path)
    folder.rename(tmp_path / "downloads/manual")
    path, _ = prepare("", tmp_path)
    assert json.loads((path / "dataset_info.json").read_text())["name"] == "imagenet2012"


def test_addresses_are_no_source(imagenet_folder, tmp_path):
    imagenet_folder()
    with pytest.raises(UserError, match="--source 'http://example.org' is not a folder; download"):
        prepare("http://example.org", tmp_path)


def test_space_on_the_disk(imagenet_folder, tmp_path, monkeypatch):
    folder = imagenet_folder()
    size = sum(file.stat().st_size for file in folder.iterdir())
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(size - 1))
    with pytest.raises(UserError, match="'imagenet2012' needs 0 MB in .* 0 MB are free"):
        prepare(folder, tmp_path)
    unfinished = tmp_path / ".imagenet2012.unfinished/imagenet2012/5.1.0"
    unfinished.mkdir(parents=True)
    (unfinished / "imagenet2012-train.array_record-00000-of-00001").write_bytes(b"x")
    prepare(folder, tmp_path)
