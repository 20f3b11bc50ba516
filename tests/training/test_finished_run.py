"""Damaged files of a finished run; the same command writes them again."""

import json

import pytest

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.runtime.checksums import write_checksums
from flax_vision.training.run_dir import open_run
from flax_vision.weights import run_checkpoints, saved_model
from flax_vision.weights.run_checkpoints import Checkpoint, UsableCheckpoints

CONFIG = {"epochs": 1}
RESULT = {"step": 10, "best_epoch": 1, "test/images": 10, "test/top1": 0.9, "test/loss": 0.5}
RESULT |= {"train_seconds": 1.0, "input_wait_fraction": 0.0}
RECORD = {"epoch": 1, "step": 10, "train/loss": 0.5, "epoch_seconds": 1.0}
DAMAGES = ["null", "[]", "3", '"x"', "", "{", "{}", '{"step": "x"}']


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A finished run with an export's metadata and a checkpoint's history."""
    with open_run(tmp_path, CONFIG) as run:
        run.log(RECORD)
        run.finish(RESULT)
    preprocessing = Preprocessing([0.0], [255.0])
    metadata = saved_model.ModelMetadata("lenet5", {}, ["a"], [28, 28, 1], preprocessing, RESULT)
    (tmp_path / "export").mkdir()
    (tmp_path / "export/model.json").write_text(metadata.to_json())
    write_checksums(tmp_path / "export")
    newest = Checkpoint(tmp_path, 10, [RECORD])
    monkeypatch.setattr(
        run_checkpoints, "find_checkpoints", lambda path: UsableCheckpoints(newest, newest, [])
    )
    return tmp_path


def result_of(path):
    with open_run(path, CONFIG) as run:
        return run.result()


@pytest.mark.parametrize("content", DAMAGES)
def test_result_is_written_again_from_the_export(content, finished, capsys):
    (finished / "result.json").write_text(content)
    assert result_of(finished) == RESULT == json.loads((finished / "result.json").read_text())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {finished}/result.json is damaged (")
    assert line.endswith("; it is written again from the export.")


@pytest.mark.parametrize("damage", ["[]", "{", None, '{"format": 1}'])
def test_without_an_export_the_result_is_one_error(damage, finished):
    (finished / "result.json").write_text("[]")
    (finished / "export/model.json").unlink()
    if damage is not None:
        (finished / "export/model.json").write_text(damage)
    with pytest.raises(UserError, match="result.json is damaged, .*; delete it to test") as caught:
        result_of(finished)
    assert "\n" not in str(caught.value)


def test_export_without_checkpoints_is_not_made_again(finished):
    (finished / "export/model.json").write_text("{")
    assert result_of(finished) == RESULT


@pytest.mark.parametrize("content", [None, "", "{", "[]\n", '{"epoch": "x"}\n'])
def test_metrics_are_written_again_from_the_checkpoint(content, finished, capsys):
    metrics = finished / "metrics.jsonl"
    before = metrics.read_text()
    metrics.unlink()
    if content is not None:
        metrics.write_text(content)
    assert result_of(finished) == RESULT
    assert metrics.read_text() == before
    assert capsys.readouterr().err.startswith(f"warning: {metrics} ")


@pytest.mark.parametrize("content", ["null", "{}", "[3]", "{", '[{"host": 1}]'])
def test_damaged_launches_are_replaced(content, finished, capsys):
    (finished / "launches.json").write_text(content)
    assert result_of(finished) == RESULT
    assert len(json.loads((finished / "launches.json").read_text())) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {finished}/launches.json is damaged (")
    assert line.endswith("; a new file replaces it.")


@pytest.mark.parametrize("content", ["null", "[]", "3", '{"data": 3}', "{}", '{"epochs": "x"}'])
def test_configuration_is_one_error(content, finished):
    (finished / "config.json").write_text(content)
    with pytest.raises(UserError, match="config.json is damaged .*give another --workdir.$"):
        result_of(finished)
