import json

import pytest

from flax_vision.cli import paper as paper_command
from flax_vision.cli.main import main
from flax_vision.errors import UserError
from flax_vision.papers import outcome as outcome_module
from flax_vision.papers.catalog import PAPERS
from flax_vision.papers.experiment import Experiment
from flax_vision.papers.experiments import lenet5

SECONDS = "time: 0:"


def error_of(capsys, *arguments):
    """Returns the last line of a command that the user must correct."""
    assert main(["paper", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


def test_list_of_all_papers(capsys):
    assert main(["paper", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == sum(len(paper.items) for paper in PAPERS.values())
    assert rows[0].keys() == {"paper", "item", "state", "runs", "title"}


def test_list_of_one_paper(capsys):
    assert main(["paper", "vgg"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Very Deep Convolutional Networks")
    row = next(line for line in lines if line.startswith("table3"))
    assert row.split()[1:3] == ["reduced", "yes"]


def test_experiment_without_training(capsys, tmp_path):
    figure = tmp_path / "table2.png"
    arguments = ["--workdir", str(tmp_path / "runs"), "-o", str(figure)]
    assert main(["paper", "vgg", "Table 2", *arguments]) == 0
    out = capsys.readouterr().out
    assert out.startswith("vgg, table 2: Parameters of configurations A to E\n")
    assert "133,000,000" in out
    assert "command: flax-vision paper vgg table2\n" in out
    assert SECONDS in out
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_json_of_an_experiment(capsys, tmp_path):
    arguments = ["--workdir", str(tmp_path), "--format", "json"]
    assert main(["paper", "lenet5", "table1", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"][15] == {"map of C3": 15, "maps of S2": "0 1 2 3 4 5"}
    assert found["figure"] == str(tmp_path / "items" / "lenet5-table1" / "figure.png")


@pytest.fixture
def two_items(monkeypatch):
    """Two experiments without training in place of all, and the names of those that ran."""
    started = []

    original = outcome_module.run_experiment

    def run_experiment(paper, item, *arguments):
        started.append(item.name)
        return original(paper, item, *arguments)

    monkeypatch.setattr(outcome_module, "run_experiment", run_experiment)
    monkeypatch.setattr(
        paper_command, "runnable", lambda items: [x for x in items if x.name in ("table1", "fig12")]
    )
    return started


def test_all_continues_where_it_was_stopped(capsys, tmp_path, two_items):
    arguments = ["paper", "lenet5", "--all", "--workdir", str(tmp_path)]
    assert main([*arguments, "-o", str(tmp_path / "papers.md")]) == 0
    assert (tmp_path / "papers.md").read_text().count("\n## lenet5, ") == 2
    page = tmp_path / "gallery-lenet5.html"
    assert capsys.readouterr().out == f"{page}\n"
    (tmp_path / "items" / "lenet5-fig12" / "outcome.json").unlink()
    assert main(arguments) == 0
    assert two_items == ["table1", "fig12", "fig12"]
    assert page.read_text().count("<section") == 2


def test_all_leaves_out_what_cannot_run(capsys, tmp_path, two_items, monkeypatch):
    broken = Experiment(lambda *_: raise_user_error())
    monkeypatch.setitem(lenet5.EXPERIMENTS, "table1", broken)
    assert main(["paper", "lenet5", "--all", "--workdir", str(tmp_path)]) == 1
    assert two_items == ["table1", "fig12"]
    assert "warning: lenet5 table1 is left out: no data" in capsys.readouterr().err
    assert (tmp_path / "gallery-lenet5.html").read_text().count("<section") == 1


def raise_user_error():
    raise UserError("no data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnt"], "unknown paper 'resnt'; did you mean 'resnet'?"),
        (["vgg", "tabel3"], "did you mean 'table3'?"),
        (["vgg", "table8"], "table 8 of vgg has no experiment (it is out of scope:"),
        (["resnet", "table4"], "it needs ImageNet: python train.py --config configs/resnet50.py"),
        (["resnet", "fig6", "--seeds", "1,1"], "'1,1' has a seed twice"),
        (["resnet", "fig6", "--seeds", "one"], "'one' has no seeds; give numbers such as 0,1,2"),
        (["resnet", "fig6", "--data", "cifar"], "did you mean 'cifar10'?"),
        (["resnet", "fig6", "--smoke", "--full"], "not allowed with argument"),
        (["resnet", "fig6", "-o", "a.txt"], "has no valid extension"),
        (["resnet", "--full"], "there is no ITEM to run"),
        (["resnet", "--all", "-o", "a.png"], "'a.png' is a page with all figures; give a .md file"),
        (["resnet", "fig6", "--all"], "leave out 'fig6', or --all"),
    ],
)
def test_mistakes(capsys, arguments, message):
    assert message in error_of(capsys, *arguments)


@pytest.mark.slow
def test_missing_dataset_names_the_command_that_prepares_it(capsys, tmp_path):
    data = ["--data", "cifar10", "--tfds-dir", str(tmp_path / "tfds")]
    line = error_of(capsys, "resnet", "fig1", *data, "--workdir", str(tmp_path / "runs"))
    assert "flax-vision prepare cifar10" in line
