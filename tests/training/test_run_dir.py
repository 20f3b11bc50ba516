import errno
import json

import numpy as np
import pytest
from tensorboard_events import read_events

from flax_vision.data import fingerprint
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.splits import Splits
from flax_vision.errors import UserError
from flax_vision.runtime import files, multihost
from flax_vision.training import run_lock
from flax_vision.training.resume_check import Continuation
from flax_vision.training.run_dir import RunDirectory, open_run
from flax_vision.weights.saved_model import ModelMetadata

CONFIG = {"epochs": 2, "model": {"name": "lenet5"}, "mean": (1.0, 2.0)}
RESULT = {"step": 20, "best_epoch": 2, "test/images": 10, "test/top1": 0.9, "test/loss": 0.5}
RESULT |= {"train_seconds": 1.0, "input_wait_fraction": 0.0}
METADATA = ModelMetadata("lenet5", {}, ["a"], [28, 28, 1], Preprocessing([0.0], [255.0]), {})


def test_new_directory_gets_its_files(tmp_path):
    with open_run(tmp_path / "runs/a", CONFIG) as run:
        run.log({"epoch": 1, "step": 10, "train/loss": 0.5})
        run.log({"epoch": 2, "step": 20, "train/loss": 0.25})
    folder = tmp_path / "runs/a"
    assert json.loads((folder / "config.json").read_text())["mean"] == [1.0, 2.0]
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]
    (start,) = json.loads((folder / "launches.json").read_text())
    assert start["libraries"]["jax"]
    assert len(start["devices"]) == 4
    assert {"time", "command", "python", "git_revision"} <= set(start)


def test_same_configuration_may_come_back(tmp_path):
    for _ in range(2):
        with open_run(tmp_path, CONFIG):
            pass
    assert len(json.loads((tmp_path / "launches.json").read_text())) == 2


def test_events_of_a_result_are_of_the_test_alone(tmp_path):
    result = {"step": 20, "validation/top1": 0.75, "seconds": 9.0, "test/top1": 0.25}
    with open_run(tmp_path, CONFIG) as run:
        run.log({"step": 10, "validation/top1": 0.5})
        run.finish({**result, "test/per_class": [{"class": "a"}]})
    assert read_events(tmp_path) == [("validation/top1", 10, 0.5), ("test/top1", 20, 0.25)]


def test_rewind_drops_what_came_after_the_checkpoint(tmp_path):
    with open_run(tmp_path, CONFIG) as run:
        for step in (10, 20, 30):
            run.log({"step": step, "a": 1.0})
        run.rewind([{"step": 10, "a": 1.0}])
        run.log({"step": 20, "a": 2.0})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]
    assert read_events(tmp_path) == [("a", 10, 1.0), ("a", 20, 2.0)]


def test_result_is_there_when_the_run_is_finished(tmp_path):
    with open_run(tmp_path, CONFIG) as run:
        assert run.result() is None
        run.finish(RESULT)
        assert run.result() == RESULT


OTHER_PATHS = [
    {"data": {"image_dir": "b/photos"}},
    {"data": {"image_dir": "photos/"}},
    {"data": {"tfds_dir": "/else/where"}},
]


@pytest.mark.parametrize("other", OTHER_PATHS)
def test_digests_of_the_images_and_no_paths_tell_the_data(other, digits, tmp_path):
    splits = Splits(digits, digits, digits.take(np.arange(10)))
    given = {"init_from": "", "data": {"image_dir": "photos", "tfds_dir": ""}}
    with open_run(tmp_path, given) as run:
        run.check_dataset(splits)
        (tmp_path / "checkpoints/10").mkdir(parents=True)
    with open_run(tmp_path, {**given, **other}) as run:
        run.check_dataset(splits)
        with pytest.raises(UserError, match="belongs to other images"):
            run.check_dataset(Splits(digits, digits, digits))


@pytest.mark.parametrize("again", ["gone", "b/../gone", ""])
def test_begun_run_keeps_the_model_of_its_beginning(again, tmp_path):
    with open_run(tmp_path, {"init_from": "gone"}) as run:
        assert run.init_from == "gone"
        (tmp_path / "checkpoints/10").mkdir(parents=True)
    with open_run(tmp_path, {"init_from": again}) as run:
        assert run.init_from == "gone"
        run.start(METADATA, [])
    assert json.loads((tmp_path / "config.json").read_text())["init_from"] == "gone"


@pytest.mark.parametrize(("path", "moved"), [("{}/photos/", False), ("b/photos", True)])
def test_data_have_moved_where_the_path_means_another_place(path, moved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dataset.json").write_text("{}")
    with open_run(tmp_path, {"data": {"image_dir": "photos"}}) as run:
        assert not run.data_moved
        (tmp_path / "checkpoints/10").mkdir(parents=True)
    with open_run(tmp_path, {"data": {"image_dir": path.format(tmp_path)}}) as run:
        assert run.data_moved == moved


def test_directory_that_was_removed_is_an_error(tmp_path, digits):
    with open_run(tmp_path / "run", CONFIG) as run:
        run.check_exists()
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        (tmp_path / "run/checkpoints").mkdir(parents=True)  # as Orbax does
        message = "run' was removed or moved during the run; give the same command to start over"
        with pytest.raises(UserError, match=message):
            run.log({"step": 1})
        with pytest.raises(UserError, match=message):
            run.check_dataset(Splits(digits, digits, digits))
        assert not (tmp_path / "run/metrics.jsonl").exists()


@pytest.mark.parametrize("then", [RunDirectory.restore_config, lambda run: run.finish(RESULT)])
def test_configuration_that_was_removed_is_written_again(then, tmp_path, capsys):
    with open_run(tmp_path, CONFIG) as run:
        before = (tmp_path / "config.json").read_text()
        (tmp_path / "config.json").unlink()
        then(run)
        then(run)
    assert (tmp_path / "config.json").read_text() == before
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("config.json was removed during the run; it is written again")


@pytest.mark.parametrize("text", ["[]", "{}", '{"preprocessing": 1}', "{"])
def test_damaged_metadata_are_named_where_they_are_needed(text, tmp_path):
    run = RunDirectory(tmp_path, CONFIG)
    initialized = RunDirectory(tmp_path, {**CONFIG, "init_from": "other"})
    (tmp_path / "model_metadata.json").write_text(text)
    assert initialized.metadata() is None  # nothing is begun
    (tmp_path / "checkpoints/10").mkdir(parents=True)
    assert run.metadata() is None
    with pytest.raises(UserError, match="model_metadata.json is damaged"):
        initialized.metadata()


def test_errors_of_the_system_name_the_file(tmp_path, monkeypatch):
    def fail(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_run(tmp_path, CONFIG) as run:
        monkeypatch.setattr(files.os, "fsync", fail)
        with pytest.raises(OSError, match=r"No space left on device: '.*/metrics.jsonl'"):
            run.rewind([])
    assert not [file for file in tmp_path.iterdir() if "unfinished" in file.name]


@pytest.mark.parametrize("name", ["config.json", "result.json"])
def test_damaged_file_is_named(name, tmp_path):
    with open_run(tmp_path, CONFIG) as run:
        run.finish({"step": 1})
    (tmp_path / name).write_text("{")
    with (
        pytest.raises(UserError, match=f"{name} is damaged.*another --workdir"),
        open_run(tmp_path, CONFIG) as run,
    ):
        run.result()


@pytest.mark.parametrize("content", ["null", "[]", "{}", '{"train": 3}', '{"train": {"a": [1]}}'])
def test_damaged_identities_of_images(content, digits, tmp_path):
    with open_run(tmp_path, CONFIG) as run:
        (tmp_path / "checkpoints/10").mkdir(parents=True)
        (tmp_path / "dataset.json").write_text(content)
        message = "dataset.json is damaged .*delete it to continue without comparing the images.$"
        with pytest.raises(UserError, match=message):
            run.check_dataset(Splits(digits, digits, digits))


def test_more_epochs_remove_the_result_of_fewer(tmp_path, monkeypatch):
    continuation = Continuation(20, 3, {"epochs": (2, 3)})
    monkeypatch.setattr(run_lock, "check_same_run", lambda *arguments: continuation)
    with open_run(tmp_path, CONFIG) as run:
        run.finish(RESULT)
        (tmp_path / "report").mkdir()
        (tmp_path / "report/index.html").write_text("of 2 epochs")
    with open_run(tmp_path, {**CONFIG, "epochs": 3}) as run:
        assert run.result() is None
        assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 2
        run.start(METADATA, [])
        assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 3
    assert not (tmp_path / "result.json").exists()
    assert not (tmp_path / "report/index.html").exists()
    assert (tmp_path / "model_metadata.json").read_text() == METADATA.to_json()


def test_processes_with_other_images(digits, tmp_path, monkeypatch):
    splits = Splits(digits, digits, digits.take(np.arange(10)))
    with open_run(tmp_path, CONFIG) as run:
        run.check_dataset(splits)
        other = json.dumps(
            {**fingerprint.summaries(fingerprint.split_fingerprints(splits)), "test": "9 images, 0"}
        )
        monkeypatch.setattr(multihost, "all_gather_text", lambda text: [text, text, other])
        message = "the same images: test is '10 images, .{8}' in process 0 and '9 images, 0'"
        with pytest.raises(UserError, match=f"{message} in process 2. Bring those of process 0"):
            run.check_dataset(splits)


def test_result_is_that_of_the_first(tmp_path, monkeypatch):
    replies = iter(["", '{"step": 20}'])  # no error, then the result
    monkeypatch.setattr(multihost, "is_primary", lambda: False)
    monkeypatch.setattr(multihost, "all_gather_text", lambda text: [next(replies), text])
    assert RunDirectory(tmp_path, CONFIG).result() == {"step": 20}
