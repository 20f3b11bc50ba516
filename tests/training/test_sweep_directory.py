"""Directories that a sweep must not use."""

import json

import filelock
import pytest

from flax_vision.errors import UserError
from flax_vision.training.config_loader import build_config
from flax_vision.training.sweep_directory import open_sweep
from flax_vision.training.sweep_plan import plan_sweep
from flax_vision.weights import run_files


def open_with(path, config=None, grid=None):
    """Opens a sweep, and leaves its `sweep.json`."""
    planned = plan_sweep(config or {}, grid or {"batch_size": [8]}, [0], path)
    with open_sweep(path, planned, build_config(config or {}).to_dict()) as directory:
        directory.write([run for run, _ in planned])


def write_finished(path, config):
    path.mkdir(parents=True)
    run_files.write_config(path, build_config(config).to_dict())
    (path / "result.json").write_text("{}")


def test_the_same_sweep_opens_again(tmp_path):
    open_with(tmp_path / "a")
    open_with(tmp_path / "a")


def test_other_values_and_other_settings_are_the_same_sweep(tmp_path):
    open_with(tmp_path)
    open_with(tmp_path, grid={"batch_size": [16]})
    open_with(tmp_path, grid={"epochs": [3]})


def test_settings_of_no_effect_may_change(tmp_path):
    open_with(tmp_path)
    open_with(tmp_path, {"checkpoint.max_to_keep": 5})


def test_swept_key_may_have_had_another_common_value(tmp_path):
    open_with(tmp_path, {"epochs": 3})
    open_with(tmp_path, grid={"epochs": [3]})


def test_other_common_configuration_is_an_error(tmp_path):
    open_with(tmp_path, {"epochs": 3})
    with pytest.raises(UserError, match="another sweep: epochs is 3 there and 4 now. Give ano"):
        open_with(tmp_path, {"epochs": 4})


def test_directory_of_something_else_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match="is not empty and has no sweep.json"):
        open_with(tmp_path)


def test_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        open_with(tmp_path / "file")


def test_wildcard_in_the_path_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"has \* in its path"):
        open_with(tmp_path / "a*")


def test_sweep_in_use_is_an_error(tmp_path):
    with (
        filelock.FileLock(tmp_path / "sweep.lock"),
        pytest.raises(UserError, match="is in use by another sweep"),
    ):
        open_with(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is damaged"), ('{"config": {}}', "is damaged"), ("[]", "is damaged")],
)
def test_damaged_file_is_an_error(tmp_path, content, message):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(UserError, match=message):
        open_with(tmp_path)


def test_newer_format_is_an_error(tmp_path):
    (tmp_path / "sweep.json").write_text(json.dumps({"format": 9, "config": {}}))
    with pytest.raises(UserError, match="a newer version"):
        open_with(tmp_path)


def test_run_with_another_configuration_is_an_error(tmp_path):
    open_with(tmp_path)
    write_finished(tmp_path / "batch_size=8,seed=0", {"batch_size": 8, "schedule.lr": 3})
    with pytest.raises(UserError, match=r"belongs to another configuration: schedule.lr is 3"):
        open_with(tmp_path)


def test_run_with_fewer_epochs_is_not_continued(tmp_path):
    open_with(tmp_path)
    write_finished(tmp_path / "batch_size=8,seed=0", {"batch_size": 8, "epochs": 3})
    with pytest.raises(UserError, match="epochs is 3 there and 10 now"):
        open_with(tmp_path)
