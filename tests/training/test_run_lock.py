import errno
import hashlib
import json
import os
import subprocess
import sys

import pytest

from flax_vision.errors import UserError
from flax_vision.runtime import multihost
from flax_vision.training import run_lock
from flax_vision.training.config_schema import default_config
from flax_vision.training.run_dir import open_run
from flax_vision.weights import run_files

CONFIG = {"epochs": 2, "model": {"name": "lenet5"}, "mean": (1.0, 2.0)}
RESULT = {"step": 20, "best_epoch": 2, "test/images": 10, "test/top1": 0.9, "test/loss": 0.5}
RESULT |= {"train_seconds": 1.0, "input_wait_fraction": 0.0}


def test_another_configuration_is_refused_with_the_difference(tmp_path):
    with open_run(tmp_path, CONFIG):
        (tmp_path / "checkpoints/10").mkdir(parents=True)
    other = {"epochs": 2, "model": {"name": "lenet5_modern", "codes": 1}, "mean": (1.0, 2.0)}
    with (
        pytest.raises(UserError, match="another configuration") as caught,
        open_run(tmp_path, other),
    ):
        pass
    assert "model.name is 'lenet5' there and 'lenet5_modern' now" in str(caught.value)
    assert "model.codes is '(none)' there and 1 now" in str(caught.value)
    assert "epochs" not in str(caught.value)


def test_run_begun_without_a_key_has_its_default(tmp_path):
    whole = default_config().to_dict()
    began = {key: value for key, value in whole.items() if key not in ("seed", "crop")}
    with open_run(tmp_path, began):
        (tmp_path / "checkpoints/10").mkdir(parents=True)
    with pytest.raises(UserError, match="seed is 0 there and 1 now"):
        open_run(tmp_path, {**whole, "seed": 1}).__enter__()
    with open_run(tmp_path, whole):
        pass


def test_what_changes_nothing_learned_may_be_another(tmp_path):
    with open_run(tmp_path, {"data": {"on_error": "stop", "name": "folder"}}):
        (tmp_path / "checkpoints/10").mkdir(parents=True)
    other = {"data": {"on_error": "skip", "name": "folder"}, "write_report": False}
    with open_run(tmp_path, other):
        assert json.loads((tmp_path / "config.json").read_text()) == {"format": 2, **other}


def test_paths_are_compared_where_there_are_no_digests(tmp_path):
    with open_run(tmp_path, {"data": {"image_dir": "photos"}}):
        (tmp_path / "checkpoints/10").mkdir(parents=True)
    with pytest.raises(UserError, match="data.image_dir is 'photos' there and 'others' now"):
        open_run(tmp_path, {"data": {"image_dir": "others"}}).__enter__()


def test_start_that_failed_claims_nothing(tmp_path):
    with open_run(tmp_path, CONFIG):
        pass
    with open_run(tmp_path, {**CONFIG, "epochs": 3}):
        pass
    assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 3


def test_checkpoints_of_nobody_are_refused(tmp_path):
    (tmp_path / "checkpoints/10").mkdir(parents=True)
    with pytest.raises(UserError, match="no config.json"), open_run(tmp_path, CONFIG):
        pass


def test_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(UserError, match="cannot be written.*another --workdir"),
        open_run(tmp_path / "file/run", CONFIG),
    ):
        pass


def test_checkpoints_that_cannot_be_read_are_not_none(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with open_run(tmp_path, CONFIG):
        pass
    monkeypatch.setattr(os, "scandir", refuse)
    with (
        pytest.raises(UserError, match="cannot be written .Permission denied.; give another --w"),
        open_run(tmp_path, {**CONFIG, "seed": 1}),
    ):
        pass
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {"format": 2, **json.loads(json.dumps(CONFIG))}


@pytest.mark.parametrize("name", ["config.json", "launches.json", "run.lock"])
def test_directory_in_the_place_of_a_file(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / "checkpoints/10").mkdir(parents=True)
    with pytest.raises(UserError, match="another --workdir"), open_run(tmp_path, CONFIG):
        pass


@pytest.mark.slow
def test_directory_in_use_by_another_process(tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from flax_vision.training.run_dir import open_run\n"
        f"with open_run(Path({str(tmp_path)!r}), {CONFIG!r}):\n"
        "    print('open', flush=True); sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as other:
        assert other.stdout.readline() == b"open\n"
        with (
            pytest.raises(UserError, match=f"in use by another run, process {other.pid} on"),
            open_run(tmp_path, CONFIG),
        ):
            pass
        other.kill()  # even kill -9 leaves no lock behind
        other.wait()
    with open_run(tmp_path, CONFIG):
        pass


def test_process_that_does_not_see_the_directory_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(multihost, "all_gather_text", lambda text: [text, ""])
    message = "process 1 does not see run directory .*run' of process 0; it must be on a disk that"
    with pytest.raises(UserError, match=message), open_run(tmp_path / "run", CONFIG):
        pass


def test_process_waits_until_it_sees_the_directory(tmp_path, monkeypatch):
    written = hashlib.sha256(b"[]").hexdigest()

    def wait(seconds):
        (tmp_path / "launches.json").write_bytes(b"[]")

    monkeypatch.setattr(multihost, "all_gather_text", lambda text: [written, text])
    monkeypatch.setattr(run_lock.time, "sleep", wait)
    run_lock.check_shared(tmp_path)
    monkeypatch.setattr(run_lock, "_VISIBLE_SECONDS", 0.0)
    with pytest.raises(UserError, match="process 1 does not see"):
        run_lock.check_shared(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["one[1]/run", "what?", "all*", "back\\slash"])
def test_new_directory_whose_checkpoints_would_not_be_found(name, tmp_path):
    message = "in its path, which prevents Orbax.*give another --workdir"
    with pytest.raises(UserError, match=message), open_run(tmp_path / name, CONFIG):
        pass
    assert not any(tmp_path.iterdir())
    finished = tmp_path / name
    finished.mkdir(parents=True)
    (finished / "result.json").write_text(json.dumps(RESULT))
    run_files.write_config(finished, CONFIG)
    with open_run(finished, CONFIG) as run:
        assert run.result() == RESULT
