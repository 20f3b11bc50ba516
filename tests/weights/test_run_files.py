"""Wrong JSON types and values in the files of a run: one line each, never a traceback."""

import json
import os
from pathlib import Path

import pytest

from flax_vision.errors import UserError
from flax_vision.weights.run_files import (
    read_config,
    read_dataset,
    read_launches,
    read_records,
    read_result,
    write_file,
)

DATA = {"name": "mnist_5k", "tfds_dir": "", "val_fraction": 0.1}
START = {"time": "t", "host": "h", "python": "3", "platform": "p", "git_revision": None}
START |= {"devices": ["cpu"], "command": ["train.py"], "libraries": {}}
PARTS = {"train": {"a": [2, "ff"]}, "validation": {}, "test": {}}
RESULT = {"step": 1, "best_epoch": 1, "test/images": 5, "test/top1": 1, "test/loss": 0.5}
RESULT |= {"train_seconds": 1.0, "input_wait_fraction": 0.0, "stopped_early": "no better f1"}
CLASS = {"class": "a", "precision": 1.0, "recall": 0.5, "f1": 0.7, "support": 2}
RESULT |= {"test/per_class": [CLASS]}
RECORD = {"epoch": 1, "epoch_seconds": 1.5}

READERS = {
    "config.json": lambda path: read_config(path, "do this"),
    "launches.json": lambda path: read_launches(path, "do this"),
    "dataset.json": lambda path: read_dataset(path, "do this"),
    "result.json": lambda path: read_result(path, "do this"),
    "metrics.jsonl": lambda path: read_records(path, "do this"),
}


@pytest.mark.parametrize(
    ("name", "content", "nothing"),
    [
        ("config.json", {"format": 2, "data": DATA, "epochs": 3}, {}),
        ("launches.json", [START], []),
        ("dataset.json", PARTS, None),
        ("result.json", RESULT, None),
    ],
)
def test_files_as_they_are_written(name, content, nothing, tmp_path):
    assert READERS[name](tmp_path) == nothing
    (tmp_path / name).write_text(json.dumps(content))
    expected = (
        {key: x for key, x in content.items() if key != "format"} if nothing == {} else content
    )
    assert READERS[name](tmp_path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"view": {"scale": [256, 256]}},
            "older version of flax_vision .format 1; .* format 2.; t",
        ),
        ({"format": 3}, "newer version of flax_vision .format 3; .* train again in another dir"),
    ],
)
def test_run_of_another_format(content, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize("loss", [1e20, float("inf")])
def test_high_loss_is_valid(loss, tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(RESULT | {"test/loss": loss}))
    assert read_result(tmp_path, "do this")["test/loss"] == loss


def test_records_of_epochs_and_the_result(tmp_path):
    with pytest.raises(UserError, match="metrics.jsonl cannot be read .No such file"):
        read_records(tmp_path)
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(RECORD)}\n{json.dumps(RESULT)}\n")
    assert read_records(tmp_path) == [RECORD, RESULT]


@pytest.mark.parametrize("content", [b"", b"null", b'"text"', b"3", b"{", b"\x80\xff", b"[" * 9999])
@pytest.mark.parametrize("name", READERS)
def test_another_type_is_one_line(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    if (name, content) == ("metrics.jsonl", b""):  # of a run before its first epoch
        assert read_records(tmp_path) == []
        return
    with pytest.raises(UserError) as caught:
        READERS[name](tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / name} is damaged (")
    assert text.endswith("); do this.")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", [], "Expected `object`, got `array`"),
        ("config.json", {}, "it is empty"),
        ("config.json", {"data": [1]}, "Expected `object`, got `array` - at `$.data`"),
        (
            "config.json",
            {"data": DATA | {"name": 3}},
            "Expected `str`, got `int` - at `$.data.name`",
        ),
        ("config.json", {"data": DATA | {"name": {}}}, "Expected `str`, got `object`"),
        ("config.json", {"data": DATA | {"val_fraction": "x"}}, "Expected `float`, got `str`"),
        ("config.json", {"data": DATA | {"val_fraction": float("nan")}}, "Expected `float` >= 0.0"),
        (
            "config.json",
            {"data": DATA | {"num_threads": -1}},
            "Expected `int` >= 0 - at `$.data.num_threads`",
        ),
        ("config.json", {"epochs": "3"}, "Expected `int`, got `str` - at `$.epochs`"),
        ("config.json", {"augmentation": 3}, "Expected `object`, got `int`"),
        ("launches.json", {}, "Expected `array`, got `object`"),
        ("launches.json", [3], "Expected `object`, got `int` - at `$[0]`"),
        ("launches.json", [START, {}], "Object missing required field `time` - at `$[1]`"),
        (
            "launches.json",
            [START | {"devices": [1]}],
            "Expected `str`, got `int` - at `$[0].devices[0]`",
        ),
        ("dataset.json", [], "Expected `object`, got `array`"),
        ("dataset.json", {}, "Object missing required field `train`"),
        ("dataset.json", PARTS | {"test": 3}, "Expected `object`, got `int` - at `$.test`"),
        ("dataset.json", PARTS | {"test": {"a": [1]}}, "Expected `array` of length 2"),
        ("dataset.json", PARTS | {"test": {"a": ["1", "ff"]}}, "Expected `int`, got `str`"),
        ("result.json", [], "Expected `object`, got `array`"),
        ("result.json", {"step": 1}, "Object missing required field `best_epoch`"),
        ("result.json", RESULT | {"test/top1": "x"}, "Expected `float`, got `str`"),
        (
            "result.json",
            RESULT | {"test/images": 1.5},
            "Expected `int`, got `float` - at `$.test/images`",
        ),
        ("result.json", RESULT | {"test/top1": 10**400}, "Number out of range"),
        ("result.json", RESULT | {"test/top1": float("nan")}, "Expected `float` >= 0.0"),
        ("result.json", RESULT | {"train_seconds": 1e20}, "Expected `float` < "),
        ("result.json", RESULT | {"input_wait_fraction": float("nan")}, "Expected `float` > "),
        ("config.json", {"init_from": 3}, "Expected `str`, got `int` - at `$.init_from`"),
        ("result.json", RESULT | {"other": None}, "Expected `float`, got `null`"),
        ("result.json", RESULT | {"stopped_early": 3}, "Expected `str`, got `int`"),
        (
            "result.json",
            RESULT | {"test/per_class": [CLASS | {"recall": 2.0}]},
            "Expected `float` <= 1.0 - at `$[0].recall`",
        ),
        ("metrics.jsonl", [], "line 1: Expected `object`, got `array`"),
        ("metrics.jsonl", RECORD | {"epoch": "1"}, "line 1: Expected `float`, got `str`"),
        ("metrics.jsonl", {"epoch": 1}, "line 1: Object missing required field `epoch_seconds`"),
        ("metrics.jsonl", RECORD | {"train/loss": [1]}, "line 1: Expected `float`, got `array`"),
    ],
)
def test_other_contents_are_one_line(name, content, reason, tmp_path):
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        READERS[name](tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / name} is damaged ({reason}")


def test_errors_of_writing_name_the_target(tmp_path):
    (tmp_path / "config.json").mkdir()
    for file in (tmp_path / "config.json", tmp_path / "nowhere/config.json"):
        with pytest.raises(OSError, match=f"'{file}'$"):
            write_file(file, "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(("make", "kind"), [(Path.mkdir, "directory"), (os.mkfifo, "named pipe")])
def test_other_things_than_regular_files(name, make, kind, tmp_path):
    make(tmp_path / name)
    reason = f"it is a {kind}, not a regular file"
    with pytest.raises(UserError, match=rf"{name} cannot be read \({reason}\); do this"):
        READERS[name](tmp_path)
