"""Sweeps over settings and seeds."""

import json
import signal

import chex
import pytest

from flax_vision.errors import UserError
from flax_vision.training import sweep
from flax_vision.training.fit import fit
from flax_vision.training.signals import Interrupted
from flax_vision.training.sweep import SweepObserver, run_sweep
from flax_vision.weights import run_files
from flax_vision.weights.loading import load_model

GRID = {"epochs": [1, 2]}


def result_of(config):
    return {
        **{"step": 1, "best_epoch": 1, "test/images": 8, "test/top1": config.seed / 10},
        **{"test/loss": float(config.epochs), "train_seconds": 1.0, "input_wait_fraction": 0.0},
    }


@pytest.fixture
def trained(monkeypatch):
    """The names of the runs that were trained; no run takes any time."""
    names = []

    def write_run(config, workdir, observer):
        names.append(workdir.name)
        workdir.mkdir()
        run_files.write_config(workdir, config.to_dict())
        (workdir / "result.json").write_text(json.dumps(result_of(config)))
        return result_of(config)

    monkeypatch.setattr(sweep, "fit", write_run)
    return names


def fail_in(monkeypatch, name, error):
    """Lets the run `name` fail."""
    succeed = sweep.fit

    def fit_or_fail(config, workdir, observer):
        if workdir.name == name:
            raise error
        return succeed(config, workdir, observer)

    monkeypatch.setattr(sweep, "fit", fit_or_fail)


def read_sweep(path):
    return json.loads((path / "sweep.json").read_text())


def test_runs_have_their_results(tmp_path, trained):
    runs = run_sweep({}, GRID, [1, 2], tmp_path)
    assert [(run.settings, run.seed, run.error) for run in runs] == [
        *(({"epochs": 1}, 1, ""), ({"epochs": 1}, 2, "")),
        *(({"epochs": 2}, 1, ""), ({"epochs": 2}, 2, "")),
    ]
    assert [run.result["test/top1"] for run in runs] == [0.1, 0.2, 0.1, 0.2]
    assert trained == [run.workdir.name for run in runs]


def test_finished_runs_are_not_trained_again(tmp_path, trained):
    first = run_sweep({}, GRID, [1], tmp_path)
    trained.clear()
    assert run_sweep({}, GRID, [1], tmp_path) == first
    assert trained == []


def test_changed_grid_uses_the_finished_runs(tmp_path, trained):
    run_sweep({}, GRID, [1], tmp_path)
    trained.clear()
    runs = run_sweep({}, {"epochs": [2, 3]}, [0, 1], tmp_path)
    assert trained == ["epochs=2,seed=0", "epochs=3,seed=0", "epochs=3,seed=1"]
    assert [run.result["test/loss"] for run in runs] == [2, 2, 3, 3]


def test_failed_run_does_not_end_the_others(tmp_path, trained, monkeypatch):
    fail_in(monkeypatch, "epochs=1,seed=1", UserError("the loss is nan.\nmore"))
    first, second = run_sweep({}, GRID, [1], tmp_path)
    assert (first.result, first.error) == (None, "the loss is nan.")
    assert second.result is not None
    records = read_sweep(tmp_path)["runs"]
    assert [record["status"] for record in records] == ["failed", "finished"]
    assert records[0]["error"] == "the loss is nan."


def test_failure_may_end_the_sweep(tmp_path, trained, monkeypatch):
    fail_in(monkeypatch, "epochs=1,seed=1", UserError("no"))
    first, second = run_sweep({}, GRID, [1], tmp_path, stop_at_failure=True)
    assert (first.error, second.error, second.result) == ("no", "", None)
    assert trained == []


def test_unexpected_error_is_named_with_its_type(tmp_path, trained, monkeypatch):
    fail_in(monkeypatch, "epochs=1,seed=1", ZeroDivisionError())
    run, _ = run_sweep({}, GRID, [1], tmp_path)
    assert run.error == "ZeroDivisionError: no message"


def test_failed_run_is_tried_again(tmp_path, trained, monkeypatch):
    with monkeypatch.context() as patch:
        fail_in(patch, "epochs=1,seed=1", UserError("no"))
        run_sweep({}, GRID, [1], tmp_path)
    trained.clear()
    assert all(run.result for run in run_sweep({}, GRID, [1], tmp_path))
    assert trained == ["epochs=1,seed=1"]


def test_interrupt_ends_the_sweep_and_keeps_finished_runs(tmp_path, trained, monkeypatch):
    with monkeypatch.context() as patch:
        fail_in(patch, "epochs=2,seed=1", Interrupted(signal.SIGINT, "stopped"))
        with pytest.raises(Interrupted):
            run_sweep({}, GRID, [1], tmp_path)
    statuses = [record["status"] for record in read_sweep(tmp_path)["runs"]]
    assert statuses == ["finished", "unfinished"]
    trained.clear()
    run_sweep({}, GRID, [1], tmp_path)
    assert trained == ["epochs=2,seed=1"]


def test_observer_gets_each_new_run(tmp_path, trained):
    class Observer(SweepObserver):
        def __init__(self):
            self.calls = []

        def start(self, runs):
            self.calls.append([bool(run.result) for run in runs])

        def end(self, number, run, error):
            self.calls.append((number, run.result["test/top1"], error))

    run_sweep({}, GRID, [1], tmp_path)
    run_sweep({}, GRID, [2, 1], tmp_path, observer := Observer())
    assert observer.calls == [[False, True, False, True], (1, 0.2, None), (3, 0.2, None)]


def test_mistake_is_found_before_any_run(tmp_path, trained):
    with pytest.raises(UserError, match=r"config\.epochs is 0"):
        run_sweep({}, {"epochs": [1, 0]}, [0], tmp_path / "new")
    assert trained == []
    assert not (tmp_path / "new").exists()


def test_common_configuration_that_is_valid_only_with_the_settings(tmp_path, trained):
    overrides = {"schedule.boundaries": (1, 2)}
    settings = [{"schedule.decay_factors": (0.1, 0.01)}]
    (run,) = run_sweep({}, settings, [0], tmp_path, overrides=overrides)
    assert run.result
    assert read_sweep(tmp_path)["config"] == {}


@pytest.mark.slow
def test_sweep_equals_single_runs_to_the_bit(tmp_path, config):
    config.epochs = 1
    runs = run_sweep(config, {"schedule.lr": [0.02]}, [0, 1, 2], tmp_path / "sweep")
    for run in runs:
        single = config.copy_and_resolve_references()
        single.update({"seed": run.seed, "schedule": {"lr": 0.02}})
        result = fit(single, tmp_path / f"single{run.seed}")
        assert {k: x for k, x in run.result.items() if k.startswith("test/")} == {
            key: value for key, value in result.items() if key.startswith("test/")
        }
        ours, alone = (load_model(x) for x in (run.workdir, tmp_path / f"single{run.seed}"))
        chex.assert_trees_all_equal(ours.variables, alone.variables)
    assert len({run.result["test/loss"] for run in runs}) == 3
