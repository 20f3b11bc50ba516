import gzip
import sys

import pytest
from published_archives import serve

from flax_vision.cli.main import main
from flax_vision.data.prepare import preparation
from flax_vision.training.config_loader import load_config
from flax_vision.training.fit import fit


@pytest.fixture
def source(publish, tmp_path):
    """A function that publishes a small set, and returns a folder with its files."""

    def write(name):
        folder = tmp_path / "source"
        folder.mkdir()
        for file, content in publish(name).items():
            (folder / file).write_bytes(content)
        return str(folder)

    return write


def test_prepare_prints_the_directory(source, tmp_path, capsys):
    command = ["prepare", "mnist", "--source", source("mnist"), "--tfds-dir", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path}/mnist/3.0.1\n"
    assert printed.err == "prepared mnist: 35 train images, 12 test images\n"


def test_prepared_set_is_left_alone(source, tmp_path, capsys, monkeypatch):
    command = ["prepare", "mnist", "--source", source("mnist"), "--tfds-dir", str(tmp_path)]
    assert main(command) == 0
    capsys.readouterr()
    info = tmp_path / "mnist/3.0.1/dataset_info.json"
    before = info.stat().st_mtime_ns
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path}/mnist/3.0.1\n"
    assert "mnist is prepared already; --overwrite" in printed.err
    assert info.stat().st_mtime_ns == before
    assert main([*command, "--overwrite"]) == 0
    assert info.stat().st_mtime_ns > before


def test_mistakes_are_one_line(capsys):
    assert main(["prepare", "mnits"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: unknown dataset to prepare 'mnits'; did you mean 'mnist'?")
    assert error.count("\n") == 1


def train(name, config, data, workdir):
    """Trains one epoch on a prepared set, without TensorFlow."""
    overrides = [f"data.name={name}", f"data.tfds_dir={data}", "epochs=1", "batch_size=8"]
    overrides += ["write_report=False", "mesh.data=1", "data.val_fraction=0.2"]
    if config.startswith("lenet5"):
        overrides.append("model.name=lenet5_modern")  # for any number of classes
    fit(load_config(config, [f"--config.{x}" for x in overrides]), workdir)
    assert (workdir / "export").exists()
    assert "tensorflow" not in sys.modules


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("mnist", "lenet5:mnist"),
        ("fashion_mnist", "lenet5:fashion_mnist"),
        ("kmnist", "lenet5:mnist"),
        ("emnist", "lenet5:mnist"),
        ("emnist/digits", "lenet5:mnist"),
        ("cifar10", "resnet20:cifar10"),
        ("cifar100", "lenet5:cifar10"),
    ],
)
def test_prepared_set_trains(name, config, publish, tmp_path):
    data = str(tmp_path / "data")
    with serve(publish(name)) as server:
        assert main(["prepare", name, "--source", server.url, "--tfds-dir", data]) == 0
    assert preparation.Preparation(name, data).path.exists()
    train(name, config, data, tmp_path / "run")


@pytest.mark.slow
def test_set_of_decompressed_files_trains(publish, tmp_path):
    for file, content in publish("mnist").items():
        (tmp_path / file.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    data = str(tmp_path / "data")
    with pytest.warns(UserWarning, match="ubyte' has no known checksum"):
        assert main(["prepare", "mnist", "--source", str(tmp_path), "--tfds-dir", data]) == 0
    train("mnist", "lenet5:mnist", data, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config"),
    [("imagenet2012", "resnet20:imagenet"), ("imagenette/160px-v2", "resnet20:folder")],
)
def test_prepared_photographs_train(name, config, publish_imagenet, tmp_path):
    data, folder = tmp_path / "data", tmp_path / "source"
    folder.mkdir()
    for file, content in publish_imagenet(name).items():
        (folder / file).write_bytes(content)
    assert main(["prepare", name, f"--source={folder}", f"--tfds-dir={data}"]) == 0
    overrides = [f"data.name={name}", f"data.tfds_dir={data}", "epochs=1", "batch_size=4"]
    overrides += ["model.name=resnet20", "crop.size=32", "crop.eval_resize=36"]
    overrides += ["write_report=False", "mesh.data=1", "data.val_fraction=0.3"]
    fit(load_config(config, [f"--config.{x}" for x in overrides]), tmp_path / "run")
    assert (tmp_path / "run/export").exists()
    assert "tensorflow" not in sys.modules


def test_imagenet_cannot_be_downloaded(tmp_path, capsys):
    assert main(["prepare", "imagenet2012", f"--tfds-dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"error: '{tmp_path}/downloads/manual' has no ILSVRC2012_img_train.tar, "
        "ILSVRC2012_img_val.tar; download ILSVRC2012_img_train.tar (147.9 GB) and "
        "ILSVRC2012_img_val.tar (6.7 GB) from https://image-net.org/download-images, which needs "
        "an account, put them into a folder DIR, and run `flax-vision prepare imagenet2012 "
        f"--source=DIR --tfds-dir={tmp_path}`.\n"
    )
