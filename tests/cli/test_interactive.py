"""`fv.train`: runs from Python, their callbacks, and their end by an error or a signal."""

import gc
import inspect
import json
import shutil
import signal
import threading
from pathlib import Path

import chex
import numpy as np
import pytest
from ml_collections import ConfigDict
from runs import read_metrics, stop_at
from tensorboard_events import read_values

import flax_vision as fv
from flax_vision.cli import interactive
from flax_vision.errors import UserError
from flax_vision.training import build, signals
from flax_vision.training.config_loader import build_config, load_config

ROOT = Path(__file__).parents[2]
LENET5 = str(ROOT / "configs/lenet5.py")


class Recorder(fv.Callback):
    """Keeps the arguments of its calls."""

    every_steps = 2

    def __init__(self):
        self.config, self.steps, self.epochs, self.results = {}, [], [], []

    def on_start(self, config):
        self.config = config

    def on_step(self, step, record):
        self.steps.append(step)

    def on_epoch_end(self, epoch, record):
        self.epochs.append(record)

    def on_end(self, result):
        self.results.append(result)


@pytest.fixture(scope="module")
def recorder():
    return Recorder()


@pytest.fixture(scope="module")
def trained(small_config, recorder, tmp_path_factory):
    """A run with callbacks and histograms."""
    workdir = tmp_path_factory.mktemp("trained")
    overrides = {"tensorboard": {"histograms": True}}
    return fv.train(small_config, workdir, [recorder], overrides=overrides)


@pytest.mark.slow
def test_history_result_and_model_are_those_of_the_directory(trained):
    *epochs, last = read_metrics(trained.workdir)
    assert trained.history == epochs
    assert trained.result == last == json.loads((trained.workdir / "result.json").read_text())
    model, variables = fv.load(trained.workdir)
    assert trained.model == model
    chex.assert_trees_all_equal(trained.variables, variables)
    assert repr(trained).startswith("TrainedModel(LeNet5Modern, 3 epochs, test top-1 ")


@pytest.mark.slow
def test_callbacks_receive_the_run(trained, recorder):
    assert recorder.config["model"]["name"] == "lenet5_modern"
    assert recorder.steps == [2, 4, 6, 8]
    assert recorder.epochs == list(trained.history)
    assert recorder.results == [trained.result]


@pytest.mark.slow
def test_histograms_are_of_each_epoch(trained):
    found = [(step, x) for step, x in read_values(trained.workdir) if x.HasField("histo")]
    assert {step for step, _ in found} == {3, 6, 9}
    last = {x.tag: x.histo for step, x in found if step == 9}
    assert {f"{kind}/C1/kernel" for kind in ("weights", "gradients")} <= last.keys()
    assert len(last) == 20  # kernel and bias of five layers, and their gradients
    assert last["weights/C1/kernel"].num == 150


@pytest.mark.slow
def test_finished_run_is_returned_without_training(trained, small_config, monkeypatch):
    monkeypatch.setattr(build, "build_experiment", pytest.fail)
    again = fv.train(small_config, str(trained.workdir), [recorder := Recorder()])
    assert (again.result, again.history) == (trained.result, trained.history)
    assert recorder.config == {}


@pytest.mark.slow
def test_temporary_directory_lives_as_long_as_the_model(trained, small_config, monkeypatch):
    def fit(config, path, observer):
        shutil.copytree(trained.workdir, path, dirs_exist_ok=True)
        return trained.result

    monkeypatch.setattr(interactive, "fit", fit)
    monkeypatch.setattr(interactive, "write_report", pytest.fail)
    run = fv.train(small_config, overrides={"write_report": True})
    path = run.workdir
    assert (path / "result.json").exists()
    del run
    gc.collect()
    assert not path.exists()


@pytest.mark.slow
def test_directory_gets_its_report(trained, small_config, monkeypatch):
    reports = []
    monkeypatch.setattr(interactive, "write_report", lambda path, display: reports.append(path))
    fv.train(small_config, trained.workdir, overrides={"write_report": True})
    assert reports == [trained.workdir]


class Failing(fv.Callback):
    """Raises an error at a step."""

    every_steps = 1

    def on_step(self, step, record):
        if step == 5:
            raise ConnectionError("no server")


@pytest.mark.slow
def test_run_with_a_failing_callback_is_saved_and_resumes_to_the_bit(
    trained, small_config, tmp_path
):
    with pytest.raises(ConnectionError, match="no server") as raised:
        fv.train(small_config, tmp_path, [Failing()])
    (note,) = raised.value.__notes__
    assert note == (
        "Failing.on_step raised this error, and the run is saved. To resume: fv.train(config, "
        f"workdir={str(tmp_path)!r})"
    )
    assert (tmp_path / "checkpoints/5").is_dir()
    again = fv.train(small_config, tmp_path, [recorder := Recorder()])
    assert recorder.steps == [6, 8]
    chex.assert_trees_all_equal(again.variables, trained.variables)
    assert again.result["test/loss"] == trained.result["test/loss"]


@pytest.mark.slow
def test_callback_ends_the_run_as_a_finished_one(trained, small_config, tmp_path):
    class Enough(fv.Callback):
        def on_epoch_end(self, epoch, record):
            raise fv.StopTraining

    run = fv.train(small_config, tmp_path, [Enough()])
    assert [record["epoch"] for record in run.history] == [run.result["best_epoch"]] == [1]
    assert run.history[0]["train/loss"] == trained.history[0]["train/loss"]
    assert fv.train(small_config, tmp_path).result == run.result


@pytest.mark.slow
def test_interrupt_saves_the_run_and_names_the_call(small_config, tmp_path, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    stop_at(monkeypatch, 2, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as raised:
        fv.train(small_config, tmp_path)
    assert str(raised.value) == (
        f"stopped by SIGINT after step 2 of 9; all of it is saved in {tmp_path}. "
        f"To resume: fv.train(config, workdir={str(tmp_path)!r})"
    )
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert (tmp_path / "checkpoints/2").is_dir()


def test_sigterm_saves_the_run_and_exits(small_config, tmp_path, monkeypatch, capsys):
    stop_at(monkeypatch, 2)
    with pytest.raises(SystemExit) as raised:
        fv.train(small_config, tmp_path)
    assert raised.value.code == 128 + signal.SIGTERM
    assert "To resume: fv.train(" in capsys.readouterr().out
    assert (tmp_path / "checkpoints/2").is_dir()


def test_temporary_directory_of_a_stopped_run_stays(small_config, monkeypatch, tmp_path):
    def stopped(config, path, observer):
        if saves:
            (path / "checkpoints/7").mkdir(parents=True)
        raise signals.Interrupted(signal.SIGINT, "stopped by SIGINT")

    monkeypatch.setattr(interactive, "fit", stopped)
    monkeypatch.setattr(interactive.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    saves = True
    with pytest.raises(KeyboardInterrupt) as raised:
        fv.train(small_config)
    assert raised.value.__notes__ == [f"The temporary run directory {tmp_path} stays."]
    shutil.rmtree(tmp_path / "checkpoints")
    saves = False
    with pytest.raises(KeyboardInterrupt, match="^stopped by SIGINT$"):
        fv.train(small_config)
    assert not tmp_path.exists()


def test_thread_gets_no_handlers():
    def enter():
        with signals.Interruption():
            handlers.append(signal.getsignal(signal.SIGTERM))

    handlers = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        ({"model": {"name": "lenet5_modern"}, "schedule": {"lr": 0.5}}, {}),
        ({"model.name": "lenet5_modern", "schedule.lr": 0.5}, {}),
        (ConfigDict({"model": {"name": "lenet5_modern"}}), {"schedule.lr": 0.5}),
        ({"model": {"name": "lenet5"}}, {"model": {"name": "lenet5_modern"}, "schedule.lr": 0.5}),
    ],
)
def test_keys_are_nested_or_dotted(config, overrides):
    loaded = build_config(config, overrides)
    assert (loaded.model.name, loaded.schedule.lr, loaded.batch_size) == ("lenet5_modern", 0.5, 128)
    assert "background" in loaded.model


RATES = {"C.*": 0.1, "S2/.*": 1}


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        ({"optimizer.lr_mult": RATES}, {}),
        ({"optimizer": {"lr_mult": RATES}}, {"epochs": 2}),
        ({"optimizer": {"lr_mult": {"F6": 2.0}}}, {"optimizer": {"lr_mult": RATES}}),
        (LENET5, {"optimizer.lr_mult": RATES}),
    ],
)
def test_rates_by_pattern_are_a_mapping(config, overrides):
    loaded = build_config(config, overrides)
    assert loaded.optimizer.lr_mult == tuple(RATES.items())


def test_config_file_is_the_one_of_the_program():
    overrides = {"batch_size": 32, "data.mean": (1.0,), "model": {"name": "lenet5_modern"}}
    arguments = ["batch_size=32", "data.mean=(1.0,)", "model.name=lenet5_modern"]
    for spec in (LENET5, f"{LENET5}:mnist"):
        expected = load_config(spec, [f"--config.{argument}" for argument in arguments])
        assert build_config(spec, overrides) == expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (7, "config is 7; give a config file such as"),
        ("configs/no_such.py", "no config file 'configs/no_such.py'"),
        ({"epoch": 1}, "did you mean 'config.epochs'"),
        ({"model": "lenet5"}, "config.model"),
        ({"epochs": 0}, "config.epochs is 0"),
        ({"tensorboard.histograms": 1}, "config.tensorboard.histograms is 1; it must be True or"),
    ],
)
def test_invalid_arguments_are_errors_before_anything_is_written(config, message, tmp_path):
    with pytest.raises(UserError, match=message):
        fv.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_processes_need_a_shared_directory(small_config, monkeypatch):
    monkeypatch.setattr(interactive.multihost, "process_count", lambda: 2)
    with pytest.raises(UserError, match="workdir is None; give a run of several processes"):
        fv.train(small_config)


@pytest.mark.slow
def test_example_of_the_docstring_runs(trained, monkeypatch, capsys):
    monkeypatch.setattr(interactive, "_train", lambda *arguments: trained)
    example = inspect.getdoc(fv.train).split("```")[1].removeprefix("python")
    exec(example, {"images": np.zeros((2, 28, 28, 1), np.float32)})
    assert capsys.readouterr().out.endswith("(2, 84)\n")
    assert trained.workdir.exists()
