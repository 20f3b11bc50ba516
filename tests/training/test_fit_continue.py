"""Finished runs that continue with more epochs or another rate."""

import json
import shutil

import chex
import pytest
from runs import LineRecorder, read_metrics, stop_at

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.training.fit import fit
from flax_vision.training.rollback import Rollback
from flax_vision.training.signals import Interrupted
from flax_vision.training.trainer import Trainer


def rates(workdir):
    return [x["learning_rate"] for x in read_metrics(workdir) if "learning_rate" in x]


def read_json(path):
    return json.loads(path.read_text())


@pytest.fixture
def continued(config, finished, tmp_path):
    """A copy of the finished run of three epochs, and settings to continue it."""
    shutil.copytree(finished[0], tmp_path / "run")
    config.update_from_flattened_dict({"epochs": 5, "schedule.lr": 0.02})
    return tmp_path / "run", config


@pytest.mark.slow
def test_finished_run_continues_with_more_epochs_and_another_rate(continued, finished):
    workdir, config = continued
    observer = LineRecorder()
    result = fit(config, workdir, observer)
    assert (
        "continues at epoch 4 of 5: config.epochs 3 -> 5, config.schedule.lr 0.1 -> 0.02; the past "
        "epochs stay as they are\n" in observer.text
    )
    assert result["step"] == 15
    assert rates(workdir)[:3] == rates(finished[0])
    assert 0 < max(rates(workdir)[3:]) < 0.02
    saved = read_json(workdir / "config.json")
    assert (saved["epochs"], saved["schedule"]["lr"]) == (5, 0.02)
    continues = read_json(workdir / "launches.json")[-1]["continues"]
    assert continues == {
        "step": 9,
        "epoch": 4,
        "changes": {"epochs": [3, 5], "schedule.lr": [0.1, 0.02]},
        "result": finished[1],
    }
    assert fit(config, workdir) == result


@pytest.mark.slow
def test_continued_run_resumes_to_the_same_bits(continued, tmp_path, monkeypatch):
    workdir, config = continued
    shutil.copytree(workdir, tmp_path / "stopped")
    fit(config, workdir)
    with monkeypatch.context() as patch:
        stop_at(patch, 11)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    observer = LineRecorder()
    fit(config, tmp_path / "stopped", observer)
    assert "continues" not in observer.text
    chex.assert_trees_all_equal(*(fv.load(path)[1] for path in (workdir, tmp_path / "stopped")))
    assert rates(workdir) == rates(tmp_path / "stopped")


def contents(workdir):
    return {
        path.relative_to(workdir): path.read_bytes()
        for path in workdir.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 2}, "has already started 3 epochs; give at least 3"),
        ({"epochs": 3}, "all 3 epochs are finished; give more"),
        ({"epochs": 1_000_000_000}, "give at most"),  # found after the configuration
        ({"schedule.lr": 1e38}, "not finite at step 11 .*The checkpoint of step 9 is kept"),
    ],
)
def test_failed_continuation_leaves_the_finished_run(changes, message, continued):
    workdir, config = continued
    before = contents(workdir)
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        fit(config, workdir)
    assert contents(workdir) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({"epochs": 4}, 1e-11),  # reduced again, as if the run had been longer
        ({"epochs": 4, "schedule.lr": 1e-8}, 1e-8),
        ({"epochs": 4, "schedule.name": "constant"}, 1e-9),
    ],
)
def test_another_schedule_begins_without_the_reductions_of_a_plateau(
    changes, rate, plateau, config, tmp_path, monkeypatch
):
    shutil.copytree(plateau, tmp_path / "run")
    config.update_from_flattened_dict(PLATEAU | changes)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", kill)
        patch.setattr(Rollback, "_undo", lambda self: None)  # as after kill -9
        with pytest.raises(KeyboardInterrupt):
            fit(config, tmp_path / "run")
    assert not (tmp_path / "run/result.json").exists()
    fit(config, tmp_path / "run")
    assert rates(tmp_path / "run")[:3] == rates(plateau)
    assert rates(tmp_path / "run")[3] == pytest.approx(rate)


PLATEAU = {"schedule.name": "plateau", "schedule.patience": 1, "schedule.lr": 1e-9}


@pytest.fixture(scope="module")
def plateau(small_config, tmp_path_factory):
    """A finished run whose rate was reduced in its second epoch."""
    config = small_config.copy_and_resolve_references()
    config.update_from_flattened_dict(PLATEAU)
    workdir = tmp_path_factory.mktemp("plateau")
    fit(config, workdir)
    assert rates(workdir) == pytest.approx([1e-9, 1e-9, 1e-10])
    return workdir


def kill(trainer):
    raise KeyboardInterrupt
