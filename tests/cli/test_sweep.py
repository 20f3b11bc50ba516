"""The command that trains settings with several seeds."""

import json
import signal

import pytest
from written_runs import EPOCHS, RESULT

from flax_vision.cli import sweep as command
from flax_vision.cli.main import main
from flax_vision.cli.sweep import split_values
from flax_vision.errors import UserError
from flax_vision.training import sweep
from flax_vision.training.signals import Interrupted
from flax_vision.weights import run_files

WRITE_PAGE = command._write_page
SWEEP = ["sweep", "--config", "lenet5", "--config.write_report=False", "--workdir", "s"]


@pytest.fixture(autouse=True)
def trained(monkeypatch, tmp_path):
    """The configurations of the runs; a run takes no time, and that with seed 13 fails."""
    configs = []

    def write_run(config, workdir, observer):
        configs.append(config)
        if config.seed == 13:
            raise UserError("the loss is not finite. " + "It is the rate. " * 9)
        if config.seed == 14:
            raise Interrupted(signal.SIGINT, "stopped by SIGINT")
        result = RESULT | {"test/top1": config.seed / 100}
        workdir.mkdir()
        run_files.write_config(workdir, config.to_dict())
        lines = [json.dumps(record) for record in (*EPOCHS, result)]
        (workdir / "metrics.jsonl").write_text("\n".join(lines))
        (workdir / "result.json").write_text(json.dumps(result))
        return result

    monkeypatch.setattr(sweep, "fit", write_run)
    monkeypatch.setattr(command, "_write_page", lambda path, runs: path)  # it takes a second
    monkeypatch.chdir(tmp_path)
    return configs


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1,0.05", ["0.1", "0.05"]),
        ("(30, 60),(40,)", ["(30, 60)", "(40,)"]),
        ("('a,b','c'),d", ["('a,b','c')", "d"]),
        ("'a,(b','c'", ["'a,(b'", "'c'"]),
        ('{"conv.*": 0.1, "f": 1},{}', ['{"conv.*": 0.1, "f": 1}', "{}"]),
        ("((1,2),[3,4]),5", ["((1,2),[3,4])", "5"]),
        ("a", ["a"]),
    ],
)
def test_commas_in_brackets_and_quotes_separate_nothing(text, values):
    assert split_values(text) == values


def test_grid_of_settings_and_seeds(trained, tmp_path, capsys):
    words = ["--set", "model.name=lenet5,lenet5_modern", "--set", "schedule.lr=0.1"]
    assert main([*SWEEP, *words, "--seeds", "1,2"]) == 0
    found = [(x.model.name, x.schedule.lr, x.seed) for x in trained]
    assert found == [(name, 0.1, seed) for name in ("lenet5", "lenet5_modern") for seed in (1, 2)]
    assert (tmp_path / "s" / "model.name=lenet5,schedule.lr=0.1,seed=1").is_dir()
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split("  ")[0] == "model.name"
    assert "1.50 ± 0.71 %" in rows[1]


def test_tuples_of_a_grid(trained):
    words = ["--set", "schedule.boundaries=(1,2),(2,3)", "--config.schedule.decay_factors=(1,1)"]
    assert main([*SWEEP, *words, "--config.schedule.name=piecewise"]) == 0
    assert [config.schedule.boundaries for config in trained] == [(1, 2), (2, 3)]


def test_failed_setting_is_last(capsys):
    main([*SWEEP, "--set", "epochs=1", "--seeds", "5"])
    capsys.readouterr()
    main([*SWEEP, "--set", "epochs=2,1", "--seeds", "5,13", "--format", "json"])
    first, second = json.loads(capsys.readouterr().out)
    assert (first["settings"], first["finished"]) == ({"epochs": 2}, 1)
    assert second["test/top1"] == {"mean": 0.05, "std": None, "best": 0.05}
    assert second["errors"]["epochs=1,seed=13"].startswith("the loss")


def test_failed_run_is_in_the_table(capsys):
    assert main([*SWEEP, "--seeds", "1,13,2"]) == 1
    printed = capsys.readouterr()
    assert "2 of 3" in printed.out
    assert "seed=13: the loss is not finite." in printed.out
    assert printed.err.count("error: run 2 of 3, seed=13: the loss is not finite.") == 1
    assert "run 3 of 3: seed=2; about 0:00 left" in printed.err


def test_interrupt_shows_the_command_to_resume(capsys):
    words = ["--set", "schedule.boundaries=()", "--seeds", "1,14,2"]
    assert main([*SWEEP, *words]) == 130
    printed = capsys.readouterr().err
    assert "1 of 3 runs finished and kept. To resume: flax-vision sweep --config lenet5 " in printed
    command = printed.partition("To resume: ")[2]
    assert "--set 'schedule.boundaries=()' --seeds 1,14,2 --workdir s" in command


def test_finished_runs_are_named(trained, capsys):
    main([*SWEEP, "--seeds", "1,2"])
    trained.clear()
    capsys.readouterr()
    assert main([*SWEEP, "--seeds", "1,2,3"]) == 0
    assert len(trained) == 1
    assert "2 of 3 runs finished and kept" in capsys.readouterr().err


def test_page_has_all_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_write_page", WRITE_PAGE)
    main([*SWEEP, "--set", "epochs=1,2", "--seeds", "1,13"])
    page = (tmp_path / "s" / "sweep.html").read_text()
    assert page.count("data:image/png") == 4  # two figures, light and dark
    assert "It is the rate. It is the rate." in page  # the whole error
    assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "epochs"], "'epochs' is not KEY=A,B, such as"),
        (["--seeds", "1,x"], "'1,x' is not a list of whole numbers"),
        (["--seeds", "-1"], "config.seed is -1"),
        (["--set", "epoch=1"], "config.epoch is not a key; did you mean 'config.epochs'?"),
        (["--set", "epochs=1,two"], "config.epochs is 'two'; it must be a whole number"),
        (["--set", "epochs=1", "--set", "epochs=2"], "--set has 'epochs' twice"),
        (["--set", "epochs=1", "--config.epochs=2"], "given by --set and by --config.epochs"),
        (["--set", "seed=1,2"], "give --seeds"),
        (["--config.seed=1"], "give --seeds"),
        (["--config.epochs"], "'--config.epochs' has no value"),
        (["--set", "epochs=1,1"], "two runs would have the directory epochs=1,seed=0"),
    ],
)
def test_mistakes_are_one_line_before_any_run(words, message, trained, tmp_path, capsys):
    assert main([*SWEEP, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert trained == []
    assert not (tmp_path / "s").exists()
