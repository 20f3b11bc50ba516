"""Arguments, mistakes and exit statuses of `train.py`, in this process."""

import errno
import os
import re
import sys
from pathlib import Path

import pytest

from flax_vision.cli import train
from flax_vision.cli.train import main
from flax_vision.errors import UserError
from flax_vision.runtime import environment
from flax_vision.training.config_schema import default_config, flatten

ROOT = Path(__file__).parents[2]
LENET5 = str(ROOT / "configs/lenet5.py")
SMALL = ["--config.batch_size=256", "--config.epochs=3", "--config.data.val_fraction=0.8"]
SMALL.append("--config.write_report=False")


@pytest.fixture
def fails(capsys, tmp_path, monkeypatch):
    """Runs the program, and returns its one line of error."""
    monkeypatch.chdir(tmp_path)

    def fails(*arguments: str) -> str:
        assert main(list(arguments)) == 2
        captured = capsys.readouterr()
        message, _, usage = captured.err.partition("usage: ")
        *progress, line = message.splitlines()
        assert all(text.startswith("compiling oneDNN's handlers") for text in progress)
        assert line.startswith("error: ")
        assert bool(usage) == ("unknown argument" in line)
        assert "Traceback" not in captured.out
        return line

    return fails


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no config file; give --config with a path, or with one of alexnet, googlenet"),
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
        (
            [f"--config={LENET5}", "--wrokdir=x"],
            "unknown argument '--wrokdir' of `python train.py`; did you mean '--workdir'?",
        ),
        (
            [f"--config={LENET5}", "--num_processes=2"],
            "did you mean '--num-processes'?",
        ),
        ([f"--config={LENET5}", "--process_id", "1"], "did you mean '--process-id'?"),
        ([f"--config={LENET5}", "surplus"], "unknown argument 'surplus' of `python train.py`."),
        (["lenet5", "vgg16"], "unknown argument 'vgg16'"),
        (["lenet"], "unknown config 'lenet'; did you mean 'lenet5'? Valid: alexnet, googlenet"),
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
        ([f"--config={LENET5}", "--coordinator=a:1"], "--num-processes and --process-id must"),
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
            "uses no folder; give the recipe",
        ),
        ([f"--config={LENET5}", "--config.data.mean=a,b"], "config.data.mean is ('a,b',)"),
        ([f"--config={LENET5}", "--config.model.dtype=float64"], "dtype of lenet5 'float64'"),
        ([f"--config={LENET5}", "--workdir=/dev/null/run"], "cannot be written"),
        ([f"--config={LENET5}", "--config.schedule.lr=-1"], "greater than 0"),
        pytest.param(
            [f"--config={LENET5}", "--config.schedule.lr=1e30"],
            "not finite at step",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, message, fails, tmp_path):
    assert message in fails(*arguments)
    assert not any(tmp_path.iterdir())


def test_unavailable_devices_leave_no_directory_behind(fails, tmp_path, monkeypatch):
    def refuse():
        raise UserError("no devices")

    monkeypatch.setattr(environment, "check_platforms", refuse)
    assert fails(f"--config={LENET5}", "--workdir=run") == "error: no devices"
    assert not list(tmp_path.iterdir())


def test_control_codes_in_mistakes_are_escaped(fails):
    assert fails(f"--config={LENET5}", "\x1b[2J") == (
        r"error: unknown argument '\x1b[2J' of `python train.py`."
    )
    assert r"\u202e" in fails("--config=\u202e.py")


@pytest.mark.parametrize(
    "mistake", ["mesh.data=8", "mesh.column=2", "mesh.column=3", "batch_size=30"]
)
def test_invalid_mesh_leaves_no_directory_behind(mistake, fails, tmp_path):
    fails(f"--config={LENET5}", f"--config.{mistake}", "--workdir=run")
    assert not (tmp_path / "run").exists()


MISTAKES = [
    *(["mesh.data=8"], ["mesh.column=2"], ["mesh.column=3"], ["batch_size=30"]),
    *(["batch_size=4000"], ["epochs=100000000"], ["optimizer.grad_accum_steps=9999"]),
    *(["data.name=mnits"], ["data.name=mnist", "data.tfds_dir=."], ["data.resize=64"]),
    *(["data.mean=1,2,3"], ["data.crop=29"], ["data.val_fraction=0.9999"], ["crop.size=32"]),
    *(["init_from=nowhere"], ["freeze=C9"], ["data.val_fraction=0", "schedule.name=plateau"]),
    ["optimizer.name=levenberg_marquardt", "optimizer.weight_decay=0", "model.name=lenet5_modern"],
    ["optimizer.name=adam", "optimizer.nesterov=True"],
    ["optimizer.lr_mult={'C9': 0.1}"],
    ["loss.class_weights=1,2"],
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


@pytest.mark.slow
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
            "run: Permission denied. .* are whole; correct run/config",
        ),
        (
            errno.ENOSPC,
            "run/checkpoints",
            "run: No space left on .* are whole; make room and repeat",
        ),
        (errno.ENOSPC, "standard output", "standard output: No space left on device; make room an"),
        (errno.EACCES, "/data", "/data: Permission denied; correct /data and repeat the command"),
        (errno.EIO, None, "Input/output error; correct that and repeat the command.$"),
    ],
)
def test_system_errors_name_the_failed_file(number, name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/checkpoints/1").mkdir(parents=True)
    error = OSError(number, os.strerror(number), name)
    assert re.match(message, train._explain(error, Path("run")))


def test_system_errors_mention_only_existing_checkpoints(tmp_path):
    error = OSError(errno.EACCES, "Permission denied", str(tmp_path / "run/config.json"))
    assert train._explain(error, tmp_path / "run") == (
        f"{tmp_path}/run: Permission denied; correct {tmp_path}/run/config.json and repeat the "
        "command."
    )


def test_system_errors_before_a_run_are_one_line(fails, monkeypatch):
    def fail():
        raise OSError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(Path, "cwd", fail)
    line = fails(f"--config={LENET5}", "--config.init_from=a")
    assert line == "error: No such file or directory; correct that and repeat the command."


def test_tilde_is_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    options, _ = train._parse(["--config=~/a.py:mnist", "--workdir", "~/run"])
    assert options.config == "/home/me/a.py:mnist"
    assert options.workdir == "/home/me/run"


@pytest.mark.parametrize(
    "arguments",
    [
        ["resnet50:folder", "--config.seed", "1", "--workdir=a"],
        ["--config.seed=1", "--workdir", "a", "resnet50:folder"],
        ["--config", "resnet50:folder", "--workdir=a", "--config.seed=1"],
    ],
)
def test_config_may_be_anywhere_without_a_flag(arguments):
    options, overrides = train._parse(arguments)
    assert (options.config, options.workdir) == ("resnet50:folder", "a")
    assert overrides == ["--config.seed=1"]


def test_help_lists_examples_and_all_keys(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    assert "python train.py lenet5:fashion_mnist" in text
    assert "data.class_order = 'natural'  (natural or sorted)\n" in text
    assert all(f"\n  {key} = {value!r}" in text for key, value in flatten(default_config()).items())


@pytest.mark.slow
def test_each_configuration_has_its_own_directory(fails, tmp_path):
    diverging = ["--config.schedule.lr=1e30", "--config.checkpoint.save_interval_secs=0"]
    fails("--config", LENET5, *diverging)
    fails("--config", LENET5, *diverging, "--config.seed", "1")
    names = {path.name for path in (tmp_path / "runs").iterdir()}
    assert names == {f"lenet5-lr1e+30{end}" for end in ("", "-seed1")}


def test_run_directory_is_printed_first(fails, tmp_path, monkeypatch):
    printed = []
    monkeypatch.setattr(train, "_fit", lambda config, workdir: printed.append(workdir) or 0)
    monkeypatch.setattr("builtins.print", lambda *words, **settings: printed.append(*words))
    assert main(["lenet5", "--config.seed=1"]) == 0
    assert printed == ["run directory: runs/lenet5-seed1", Path("runs/lenet5-seed1")]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["/venv/bin/flax-vision", "train", "lenet5"], "flax-vision train lenet5"),
        (["train.py", "--config", "a b"], "python train.py --config 'a b'"),
    ],
)
def test_lost_process_prints_its_command(words, command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(sys, "orig_argv", ["/venv/bin/python", *words])
    train._print_loss(Path("run"))
    assert capsys.readouterr().err.endswith(f"to resume, this one with: {command}\n")


def test_stopped_program_does_not_wait_for_readers(monkeypatch):
    """Python would wait for threads that read data, and they may be blocked."""
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", LENET5])
    monkeypatch.setattr(train.environment, "configure_process", lambda: None)
    monkeypatch.setattr(train, "_fit_with_others", lambda *_: 143)
    monkeypatch.setattr(os, "_exit", lambda status: sys.exit(status + 1000))
    with pytest.raises(SystemExit, match="1143"):
        main()
    assert main(["--config", LENET5]) == 143  # a Python caller continues


def test_exit_of_rich_is_a_status_and_no_traceback(monkeypatch, capsys):
    """The reader of the output is gone, so rich exits."""

    def fit(config, workdir, observer):
        raise SystemExit(1)

    monkeypatch.setattr("flax_vision.training.fit.fit", fit)
    assert main([f"--config={LENET5}"]) == 1
    assert capsys.readouterr().err == ""
