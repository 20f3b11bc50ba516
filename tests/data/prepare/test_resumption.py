import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prepared_sets import content
from prepared_sets import prepare as prepare_set
from published_imagenet import COUNTS
from tensorflow_datasets.core.utils import shard_utils

from flax_vision.data.prepare.image_index import ImageIndex
from flax_vision.data.prepare.resumption import resumed_directory

UNFINISHED = ".imagenet2012.unfinished/imagenet2012/5.1.0"


class Killed(BaseException):
    """Stands in for the end of the process."""


def prepare(folder, directory):
    path, _ = prepare_set("imagenet2012", folder, directory)
    return content(path)


def shards(directory):
    """Returns the complete shards and their dates."""
    return {path.name: path.stat().st_mtime_ns for path in directory.glob("imagenet2012-*")}


@pytest.fixture
def source(imagenet_folder, monkeypatch):
    """The folder with a small ImageNet, whose sets have four training shards."""
    monkeypatch.setattr(shard_utils.ShardConfig, "min_shard_size", 3000)
    monkeypatch.setattr(shard_utils.ShardConfig, "max_shard_size", 6000)
    return imagenet_folder()


@pytest.fixture
def kill_at(monkeypatch):
    """A function that returns a context, in which the reader of images is killed at the Nth."""

    @contextlib.contextmanager
    def kill_at(count):
        read, left = ImageIndex.read, [count]

        def read_or_die(self, index):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return read(self, index)

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(ImageIndex, "read", read_or_die)
            yield

    return kill_at


@pytest.mark.parametrize("count", [0, 2, 6, 13, 14, 17, 19])
def test_next_run_goes_on_after_the_complete_shards(count, source, kill_at, tmp_path):
    expected = prepare(source, tmp_path / "whole")
    assert len([name for name in expected if "train.array_record" in name]) == 4
    with kill_at(count):
        prepare(source, tmp_path / "data")
        pytest.fail("it was not killed")
    assert not (tmp_path / "data/imagenet2012").exists()
    kept = shards(tmp_path / "data" / UNFINISHED)
    assert len(kept) >= (count - 4) // 4
    assert prepare(source, tmp_path / "data") == expected
    assert kept.items() <= shards(tmp_path / "data/imagenet2012/5.1.0").items()
    assert not (tmp_path / "data/.imagenet2012.unfinished").exists()


def test_half_of_a_shard_is_not_taken_for_the_whole(source, kill_at, tmp_path):
    expected = prepare(source, tmp_path / "whole")
    with kill_at(13):
        prepare(source, tmp_path / "data")
    for path in (tmp_path / "data" / UNFINISHED).glob(".*.unfinished"):
        path.write_bytes(path.read_bytes()[:100] + b"rest of a killed process")
    assert prepare(source, tmp_path / "data") == expected


def test_shards_of_other_archives_are_not_kept(source, kill_at, tmp_path):
    with kill_at(13):
        prepare(source, tmp_path / "data")
    kept = shards(tmp_path / "data" / UNFINISHED)
    os.utime(source / "ILSVRC2012_img_train.tar", (1, 1))
    prepare(source, tmp_path / "data")
    written = shards(tmp_path / "data/imagenet2012/5.1.0")
    assert not kept.items() & written.items()


def test_kill_after_the_last_shard(source, tmp_path, monkeypatch):
    expected = prepare(source, tmp_path / "whole")

    def die(self, target):
        raise Killed

    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(Path, "rename", die)
        prepare(source, tmp_path / "data")
    assert "dataset_info.json" in content(tmp_path / "data" / UNFINISHED)
    assert prepare(source, tmp_path / "data") == expected


def test_directory_of_another_identity_is_emptied(tmp_path):
    def write(identity):
        with contextlib.suppress(Killed), resumed_directory(tmp_path / "set", identity):
            (tmp_path / "set" / identity).touch()
            raise Killed
        return sorted(path.name for path in (tmp_path / "set").iterdir())

    assert write("a") == ["a", "identity.json"]
    assert write("a") == ["a", "identity.json"]
    assert write("b") == ["b", "identity.json"]


PROGRAM = """
import os, sys
from tensorflow_datasets.core.utils import shard_utils
from tensorflow_datasets.datasets.imagenet2012 import imagenet_common
import dataclasses
from flax_vision.cli.main import main
from flax_vision.data.prepare import sets
from flax_vision.data.prepare.image_index import ImageIndex

shard_utils.ShardConfig.min_shard_size, shard_utils.ShardConfig.max_shard_size = 3000, 6000
names, labels, source, directory, kill_at = sys.argv[1:]
imagenet_common.label_names_file = lambda: names
imagenet_common._VALIDATION_LABELS_FNAME = labels
counts = COUNTS
format = sets.SETS["imagenet2012"]
sets.SETS["imagenet2012"] = dataclasses.replace(format, counts=lambda _: counts)
builder_cls = __import__("tensorflow_datasets").builder_cls("imagenet2012")
builder_cls.url_infos = {
    url: dataclasses.replace(info, size=1) for url, info in builder_cls.url_infos.items()
}
read, left = ImageIndex.read, [int(kill_at)]

def read_or_die(self, index):
    left[0] -= 1
    if left[0] == 0:
        print("killed", flush=True)
        os.kill(os.getpid(), 9)
    return read(self, index)

ImageIndex.read = read_or_die
sys.exit(main(["prepare", "imagenet2012", "--source", source, "--tfds-dir", directory]))
"""


@pytest.mark.slow
def test_killed_process(source, tmp_path):
    from tensorflow_datasets.datasets.imagenet2012 import imagenet_common

    expected = prepare(source, tmp_path / "whole")
    files = [imagenet_common.label_names_file(), imagenet_common._VALIDATION_LABELS_FNAME]
    program = PROGRAM.replace("COUNTS", repr(COUNTS))
    command = [sys.executable, "-c", program, *files, str(source), str(tmp_path / "data")]
    for kill_at in ("6", "8"):
        killed = subprocess.run([*command, kill_at], capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    kept = shards(tmp_path / "data" / UNFINISHED)
    assert kept
    subprocess.run([*command, "0"], check=True, capture_output=True)
    path = tmp_path / "data/imagenet2012/5.1.0"
    assert content(path) == expected
    assert kept.items() <= shards(path).items()
