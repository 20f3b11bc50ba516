"""Damaged and missing files of a run directory."""

import json
import re

import pytest

from flax_vision.analysis.report.trained_run import open_trained_run
from flax_vision.cli.main import main
from flax_vision.weights import run_checkpoints
from flax_vision.weights.run_checkpoints import Checkpoint, UsableCheckpoints


@pytest.mark.parametrize("what", ["nothing", "export"])
def test_what_is_no_run_is_one_error(what, run, tmp_path, capsys):
    path = run / "export" if what == "export" else tmp_path
    assert main(["report", str(path)]) == 2
    assert re.fullmatch("error: no run in .*has no metrics.jsonl.*\n", capsys.readouterr().err)


def link(run, target, *others):
    for file in run.iterdir():
        if file.name not in others:
            (target / file.name).symlink_to(file)


EPOCH = '{"epoch": 1, "epoch_seconds": 1.0}'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.jsonl", "{", "is damaged (Expecting"),
        ("metrics.jsonl", f"{EPOCH}\n5\n", "is damaged (line 2: Expected `object`, got `int`)"),
        (
            "metrics.jsonl",
            '{"epoch": 1}',
            "is damaged (line 1: Object missing required field `epoch_seconds`)",
        ),
        ("config.json", None, "is missing"),
        ("config.json", "{}", "is damaged (it is empty)"),
        ("config.json", '{"data": 3}', "is damaged (Expected `object`, got `int` - at `$.data`)"),
        ("config.json", '{"format": 2, "seed": 3}', "is damaged (data has no name)"),
    ],
)
def test_damaged_files_are_one_error(name, content, message, run, tmp_path, capsys):
    link(run, tmp_path, name)
    if content is not None:
        (tmp_path / name).write_text(content)
    assert main(["report", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / name} {message}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("launches.json", "{}"),
        ("launches.json", "[3]"),
        ("launches.json", "null"),
        ("dataset.json", "[]"),
        ("dataset.json", '{"train": 3}'),
    ],
)
def test_damaged_optional_files_are_left_out(name, content, run, tmp_path):
    link(run, tmp_path, name)
    (tmp_path / name).write_text(content)
    (warning,) = open_trained_run(tmp_path).warnings
    assert warning.startswith(f"{tmp_path / name} is damaged (")
    assert warning.endswith("; the report leaves it out")


def replace_metrics(run, tmp_path, content, monkeypatch):
    link(run, tmp_path, "metrics.jsonl")
    (tmp_path / "metrics.jsonl").write_text(content)
    newest = Checkpoint(tmp_path, 9, [{"epoch": 9, "epoch_seconds": 1.0, "train/loss": 0.0625}])
    monkeypatch.setattr(
        run_checkpoints, "find_checkpoints", lambda path: UsableCheckpoints(newest, newest, [])
    )
    return newest.history


def test_checkpoint_replaces_damaged_metrics(run, tmp_path, monkeypatch):
    history = replace_metrics(run, tmp_path, "{", monkeypatch)
    opened = open_trained_run(tmp_path)
    assert opened.records == history
    (warning,) = opened.warnings
    assert warning.endswith("; the report shows the records of the newest checkpoint")


def test_metrics_without_the_best_epoch_of_a_finished_run_are_damaged(run, tmp_path, monkeypatch):
    history = replace_metrics(run, tmp_path, f"{EPOCH}\n", monkeypatch)
    assert not open_trained_run(tmp_path).warnings  # it is not finished
    result = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    result |= {"step": 9, "test/loss": 0.5, "input_wait_fraction": 0.0}
    (tmp_path / "result.json").write_text(json.dumps(result))
    opened = open_trained_run(tmp_path)
    assert opened.records == [*history, result]
    (warning,) = opened.warnings
    assert "is damaged (it has 1 epoch, and the best is epoch 2); the report shows" in warning
