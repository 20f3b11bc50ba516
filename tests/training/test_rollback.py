import json
import shutil

import pytest

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.training import run_lock
from flax_vision.training.run_dir import open_run
from flax_vision.weights.run_files import SPLITS
from flax_vision.weights.saved_model import ModelMetadata

METADATA = ModelMetadata("lenet5", {}, ["a"], [28, 28, 1], Preprocessing([0.0], [255.0]), {})
CONFIG = {"epochs": 2, "model": {"name": "lenet5"}}


def fail_in(path, config=CONFIG, work=lambda path: None):
    def run():
        with open_run(path, config) as run:
            run.log({"step": 1, "a": 1.0})
            work(path)
            raise UserError("no good")

    with pytest.raises(UserError, match="no good"):
        run()


def contents(path):
    return {p.name: p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_new_directory_and_its_parents_are_removed(tmp_path):
    fail_in(
        tmp_path / "a/b/run", work=lambda path: (path / "checkpoints/1.tmp").mkdir(parents=True)
    )
    assert not any(tmp_path.iterdir())


def test_directory_that_was_there_is_left_as_it_was(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "config.json").write_text("{}")
    before = contents(tmp_path)
    fail_in(tmp_path)
    assert contents(tmp_path) == before


def test_record_of_the_splits_is_removed(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    fail_in(tmp_path, work=lambda path: (path / SPLITS).write_text("path,label,split"))
    assert contents(tmp_path).keys() == {"mine.txt"}


def test_begun_run_keeps_its_configuration(tmp_path):
    with open_run(tmp_path, CONFIG):
        (tmp_path / "checkpoints/1").mkdir(parents=True)
    before = contents(tmp_path)
    fail_in(tmp_path, {**CONFIG, "write_report": False})
    assert contents(tmp_path) == before
    assert (tmp_path / "checkpoints/1").is_dir()


def test_extension_that_fails_leaves_the_finished_run(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "check_same_run", lambda *arguments: None)
    with open_run(tmp_path, CONFIG) as run:
        (tmp_path / "checkpoints/1").mkdir(parents=True)
        run.finish({"step": 1})
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.html").write_text("of 2 epochs")
    (tmp_path / "events.out.tfevents.1.events").write_text("of 2 epochs")
    before = contents(tmp_path)

    def extend():
        with open_run(tmp_path, {**CONFIG, "epochs": 3}) as run:
            run.start(METADATA, [{"step": 1, "a": 1.0}])
            assert not (tmp_path / "result.json").exists()
            raise UserError("no good")

    with pytest.raises(UserError, match="no good"):
        extend()
    assert contents(tmp_path) == before


def test_new_result_is_kept(tmp_path):
    with open_run(tmp_path, CONFIG):
        (tmp_path / "checkpoints/1").mkdir(parents=True)
    fail_in(tmp_path, work=lambda path: (path / "result.json").write_text("{}"))
    assert (tmp_path / "result.json").exists()


@pytest.mark.parametrize("name", ["run", "mine/run"])
def test_checkpoints_in_a_removed_directory_are_removed(name, tmp_path):
    (tmp_path / "mine").mkdir()
    with open_run(tmp_path / name, CONFIG):
        (tmp_path / name / "checkpoints/1").mkdir(parents=True)

    def remove(path):
        shutil.rmtree(path)
        (path / "checkpoints/2/state").mkdir(parents=True)  # as Orbax does

    fail_in(tmp_path / name, work=remove)
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_refused_directory_gets_no_lock(tmp_path):
    (tmp_path / "checkpoints/10").mkdir(parents=True)
    with pytest.raises(UserError, match="no config.json"), open_run(tmp_path, CONFIG):
        pass
    assert not contents(tmp_path)


def test_new_checkpoint_is_kept(tmp_path):
    fail_in(tmp_path / "run", work=lambda path: (path / "checkpoints/1").mkdir(parents=True))
    assert json.loads((tmp_path / "run/config.json").read_text()) == {"format": 2, **CONFIG}
    assert len(json.loads((tmp_path / "run/launches.json").read_text())) == 1


def test_file_that_appeared_meanwhile_is_kept(tmp_path):
    fail_in(tmp_path / "run", work=lambda path: (path / "log.txt").write_text("mine"))
    assert contents(tmp_path) == {"log.txt": b"mine"}
