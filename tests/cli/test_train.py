"""The program as a person types it: in this process for mistakes, as real processes for kills."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import pytest

import flax_vision as fv
from flax_vision.cli import train
from flax_vision.cli.train import main
from flax_vision.errors import UserError
from flax_vision.runtime import environment

ROOT = Path(__file__).parents[2]
LENET5 = str(ROOT / "configs/lenet5.py")
SMALL = ["--config.batch_size=256", "--config.epochs=3", "--config.data.val_fraction=0.8"]
SMALL.append("--config.write_report=False")


@pytest.fixture
def fails(capsys, tmp_path, monkeypatch):
    """Runs the program, and returns the one line with which it fails."""
    monkeypatch.chdir(tmp_path)

    def fails(*arguments: str) -> str:
        assert main(list(arguments)) == 2
        captured = capsys.readouterr()
        *progress, line = captured.err.splitlines()
        assert all(text.startswith("compiling oneDNN's handlers") for text in progress)
        assert line.startswith("error: ")
        assert "Traceback" not in captured.out
        return line

    return fails


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config"),
        (["--config"], "--config"),
        ([f"--config={'x' * 300}.py"], "xxx.py' cannot be read (File name too long); give ano"),
        ([f"--config={LENET5}", f"--workdir={'x' * 300}"], "cannot be written (File name too lon"),
        (["--config=configs/lenet.py"], "no config file 'configs/lenet.py'"),
        ([f"--config={LENET5}:mnits"], "did you mean 'mnist'"),
        ([f"--config={LENET5}", "--config.epoch=1"], "did you mean 'config.epochs'"),
        (
            [f"--config={LENET5}", "--config.epochs", "few"],
            "config.epochs is 'few'; it must be a whole",
        ),
        ([f"--config={LENET5}", "--config.mesh.data=four"], "it must be a whole number, such as 0"),
        ([f"--config={LENET5}", "--config.mesh.fsdp=4"], "it must be True or False, such as False"),
        ([f"--config={LENET5}", "--wrokdir=x"], "unknown argument '--wrokdir=x'"),
        ([f"--config={LENET5}", "surplus"], "unknown argument 'surplus'"),
        ([f"--config={LENET5}", "--config.data.name=mnits"], "did you mean 'mnist'"),
        ([f"--config={LENET5}:fashion_mnist", "--config.data.tfds_dir=."], "not prepared"),
        ([f"--config={LENET5}", "--config.batch_size=3604"], "only 3,600 images"),
        ([f"--config={LENET5}", "--config.batch_size=30"], "give --config.mesh.data=2 or --config"),
        ([f"--config={LENET5}", "--config.mesh.data=8"], "force_host_platform_device_count=8 in"),
        ([f"--config={LENET5}", "--config.mesh.data=-1"], "config.mesh.data is -1"),
        (
            [f"--config={LENET5}", "--config.mesh.column=3"],
            "config.mesh.column is 3; it must be 1,",
        ),
        ([f"--config={LENET5}", "--coordinator=a:1"], "--num_processes and --process_id must"),
        ([f"--config={LENET5}", "--config.mesh.column=2"], "lenet5 has no columns"),
        ([f"--config={LENET5}", "--config.model.name=vgg61"], "unknown model 'vgg61'"),
        ([f"--config={LENET5}", "--config.model.codes=ascii"], "codes of lenet5 'ascii'"),
        ([f"--config={LENET5}", "--config.epochs=100000000"], "give at most 19,173,961 epochs"),
        (
            [f"--config={LENET5}", "--config.optimizer.grad_accum_steps=9999"],
            "the run has 4,480 batches",
        ),
        (
            [f"--config={LENET5}", "--config.data.image_dir=cats"],
            "takes no folder; give the recipe",
        ),
        ([f"--config={LENET5}", "--config.data.mean=a,b"], "config.data.mean is ('a,b',)"),
        ([f"--config={LENET5}", "--config.model.dtype=float64"], "dtype of lenet5 'float64'"),
        ([f"--config={LENET5}", "--workdir=/dev/null/run"], "cannot be written"),
        ([f"--config={LENET5}", "--config.schedule.lr=-1"], "greater than 0"),
        ([f"--config={LENET5}", "--config.schedule.lr=1e30"], "not finite at step"),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, message, fails, tmp_path):
    assert message in fails(*arguments)
    assert not any(tmp_path.iterdir())


def test_devices_that_jax_does_not_find_leave_no_directory_behind(fails, tmp_path, monkeypatch):
    def refuse():
        raise UserError("no devices")

    monkeypatch.setattr(environment, "check_platforms", refuse)
    assert fails(f"--config={LENET5}", "--workdir=run") == "error: no devices"
    assert not list(tmp_path.iterdir())


def test_control_codes_in_mistakes_are_escaped(fails):
    assert fails(f"--config={LENET5}", "\x1b[2J") == (
        r"error: unknown argument '\x1b[2J'; see `python train.py --help`."
    )
    assert r"\u202e" in fails("--config=\u202e.py")


@pytest.mark.parametrize(
    "mistake", ["mesh.data=8", "mesh.column=2", "mesh.column=3", "batch_size=30"]
)
def test_mesh_that_cannot_be_leaves_no_directory_behind(mistake, fails, tmp_path):
    fails(f"--config={LENET5}", f"--config.{mistake}", "--workdir=run")
    assert not (tmp_path / "run").exists()


MISTAKES = [
    *(["mesh.data=8"], ["mesh.column=2"], ["mesh.column=3"], ["batch_size=30"]),
    *(["batch_size=4000"], ["epochs=100000000"], ["optimizer.grad_accum_steps=9999"]),
    *(["data.name=mnits"], ["data.name=mnist", "data.tfds_dir=."], ["data.resize=64"]),
    *(["data.mean=1,2,3"], ["data.crop=29"], ["data.val_fraction=0.9999"], ["crop.size=32"]),
    *(["init_from=nowhere"], ["freeze=C9"], ["data.val_fraction=0", "schedule.name=plateau"]),
    ["optimizer.name=levenberg_marquardt", "model.name=lenet5_modern"],
    *(["data.name=folder", "data.image_dir=nowhere"], ["data.name=folder", "crop.size=32"]),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=" ".join)
def test_mistake_leaves_nothing_behind(mistake, fails, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/config.json").write_text("{}")
    for workdir in ("new/run", "old"):
        fails(f"--config={LENET5}", *(f"--config.{x}" for x in mistake), f"--workdir={workdir}")
    assert list(tmp_path.rglob("*")) == [tmp_path / "old", tmp_path / "old/config.json"]
    assert (tmp_path / "old/config.json").read_text() == "{}"


def test_directory_of_another_configuration(fails, tmp_path):
    settings = ["--config.schedule.lr=1e30", "--config.checkpoint.save_interval_secs=0"]
    fails("--config", LENET5, "--workdir=run", *settings)
    before = (tmp_path / "run/config.json").read_text()
    line = fails("--config", LENET5, "--workdir=run", *settings, "--config.seed=1")
    assert "seed is 0 there and 1 now" in line
    assert (tmp_path / "run/config.json").read_text() == before


@pytest.mark.parametrize(
    ("number", "name", "message"),
    [
        (
            errno.EACCES,
            "run/config.json",
            "run: Permission denied. .* are whole; mend run/config",
        ),
        (errno.ENOSPC, "run/checkpoints", "run: No space left on .* are whole; make room and give"),
        (errno.ENOSPC, "standard output", "standard output: No space left on device; make room an"),
        (errno.EACCES, "/data", "/data: Permission denied; mend /data and give the same command"),
        (errno.EIO, None, "Input/output error; mend that and give the same command again.$"),
    ],
)
def test_errors_of_the_system_are_about_what_failed(number, name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/checkpoints/1").mkdir(parents=True)
    error = OSError(number, os.strerror(number), name)
    assert re.match(message, train._explain(error, Path("run")))


def test_errors_without_checkpoints_promise_none(tmp_path):
    error = OSError(errno.EACCES, "Permission denied", str(tmp_path / "run/config.json"))
    assert train._explain(error, tmp_path / "run") == (
        f"{tmp_path}/run: Permission denied; mend {tmp_path}/run/config.json and give the same "
        "command again."
    )


def test_errors_of_the_system_before_a_run_are_one_line(fails, monkeypatch):
    def fail():
        raise OSError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(Path, "cwd", fail)
    line = fails(f"--config={LENET5}", "--config.init_from=a")
    assert line == "error: No such file or directory; mend that and give the same command again."


def test_tilde_is_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    options, _ = train._parse(["--config=~/a.py:mnist", "--workdir", "~/run"])
    assert options.config == "/home/me/a.py:mnist"
    assert options.workdir == "/home/me/run"


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    for part in (
        "python train.py --config configs/lenet5.py",
        "schedule.lr = 0.01\n",
        "data.class_order = 'natural'  or sorted\n",
    ):
        assert part in text


def test_each_configuration_has_a_directory_of_its_own(fails, tmp_path):
    diverging = ["--config.schedule.lr=1e30", "--config.checkpoint.save_interval_secs=0"]
    fails("--config", LENET5, *diverging)
    fails("--config", LENET5, *diverging, "--config.seed", "1")
    names = {path.name for path in (tmp_path / "runs").iterdir()}
    assert names == {f"lenet5-schedule.lr=1e30{end}" for end in ("", "-seed=1")}


def start(workdir: Path, *more: str) -> subprocess.Popen:
    arguments = [sys.executable, "train.py", "--config=configs/lenet5.py", *SMALL, *more]
    return subprocess.Popen(
        [*arguments, f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )


def finish(process: subprocess.Popen, status: int = 0) -> str:
    output, _ = environment.communicate(timeout=120)
    assert environment.returncode == status, output
    return output


def wait_for_step(workdir: Path, step: int, process: subprocess.Popen) -> None:
    """Returns when a checkpoint of that step or a later one is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and environment.poll() is None:
        names = [path.name for path in (workdir / "checkpoints").glob("*")]
        if any(name.isdigit() and int(name) >= step for name in names):
            return
        time.sleep(0.005)
    pytest.fail(f"no checkpoint of step {step}: {environment.communicate()[0]}")


@pytest.mark.slow
def test_killed_run_ends_with_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    every_step = "--config.checkpoint.save_interval_secs=0"
    finish(start(whole, every_step))

    environment = start(killed, every_step)
    wait_for_step(killed, 2, environment)
    environment.kill()
    finish(environment, -signal.SIGKILL)

    environment = start(killed, every_step)
    wait_for_step(killed, 5, environment)
    environment.terminate()
    output = finish(environment, 128 + signal.SIGTERM)
    assert "stopped by SIGTERM after step" in output
    assert "Give the same command again to go on." in output

    output = finish(start(killed, every_step))
    assert "going on from step" in output
    chex.assert_trees_all_equal(fv.load(killed)[1], fv.load(whole)[1])
    results = [json.loads((run / "result.json").read_text()) for run in (whole, killed)]
    assert results[0]["test/loss"] == results[1]["test/loss"]
    assert len(json.loads((killed / "launches.json").read_text())) == 3


def can_mount() -> bool:
    train = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        bool(shutil.which("unshare")) and not subprocess.run(train, capture_output=True).returncode
    )


@pytest.mark.skipif(not can_mount(), reason="a small file system needs user namespaces")
def test_full_disk_is_an_error_and_earlier_checkpoints_stay_whole(tmp_path):
    script = (
        f"mount -t tmpfs -o size=1300k tmpfs {tmp_path} || exit 9; "
        f"{sys.executable} train.py --config=configs/lenet5.py {' '.join(SMALL)} "
        f"--config.checkpoint.save_interval_secs=0 --workdir={tmp_path}/run; "
        f"status=$?; ls {tmp_path}/run/checkpoints; exit $status"
    )
    train = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    done = subprocess.run(train, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    # The first in a process may say before that oneDNN's handlers are compiled.
    assert re.search("^error: .*No space left on device", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["1", "2"]


def test_stopped_program_does_not_wait_for_readers(monkeypatch):
    """Python would wait for reader threads, which may be blocked."""
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", LENET5])
    monkeypatch.setattr(train.environment, "prepare", lambda: None)
    monkeypatch.setattr(train, "_fit_with_others", lambda *_: 143)
    monkeypatch.setattr(os, "_exit", lambda status: sys.exit(status + 1000))
    with pytest.raises(SystemExit, match="1143"):
        main()
    assert main(["--config", LENET5]) == 143  # a Python caller continues


def test_end_of_what_reads_its_output_is_a_status_and_no_traceback(monkeypatch, capsys):
    def fit(config, workdir):
        raise SystemExit(1)

    monkeypatch.setattr("flax_vision.training.fit.fit", fit)
    assert main([f"--config={LENET5}"]) == 1
    assert capsys.readouterr().err == ""
