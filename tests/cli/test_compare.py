import csv
import io
import json

import pytest
from written_runs import write_run

from flax_vision.analysis import comparison
from flax_vision.cli.main import main


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a", "seed=1")
    write_run(tmp_path / "b", "seed=2", "schedule.lr=0.5", finished=False, epochs=2)


def test_table_has_a_column_for_each_run(capsys):
    assert main(["compare", "a", "b"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    rows = [line.rstrip().split("  ") for line in printed.out.splitlines()]
    cells = [[word.strip() for word in row if word.strip()] for row in rows]
    assert cells == [
        ["run", "a", "b"],
        ["model", "lenet5_modern", "lenet5_modern"],
        ["data", "mnist_5k", "mnist_5k"],
        ["best epoch", "1", "1"],
        ["validation top-1", "75.00%", "75.00%"],
        ["test top-1", "87.50%", "n/a"],
        ["test cross-entropy", "0.2500", "n/a"],
        ["parameters", "61,706", "61,706"],
        ["epochs", "3", "2 of 40 (unfinished)"],
        ["training time", "1:15", "0:50"],
        ["images/s", "200", "150"],
        ["config.schedule.lr", "0.1", "0.5"],
        ["config.seed", "1", "2"],
    ]


def test_many_runs_are_rows(capsys, tmp_path):
    for name in "cdef":
        write_run(tmp_path / name)
    assert main(["compare", *"abcdef", "--format=markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["run", "---", *"abcdef"]


def test_json_has_exact_values(capsys):
    assert main(["compare", "a", "b", "--format=json"]) == 0
    one, other = json.loads(capsys.readouterr().out)
    assert (one["run"], one["test_top1"], one["config"]) == (
        *("a", 0.875),
        {"schedule.lr": 0.1, "seed": 1},
    )
    assert (other["finished"], other["epochs"], other["test_cross_entropy"]) == (False, 2, None)


def test_csv_has_a_row_for_each_run(capsys):
    assert main(["compare", "a", "b", "--format=csv"]) == 0
    one, other = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (one["test_cross_entropy"], one["config.seed"]) == ("0.25", "1")
    assert (other["test_cross_entropy"], other["config.seed"]) == ("", "2")


def test_unreadable_run_is_named_and_the_others_are_compared(capsys):
    assert main(["compare", "a", "nowhere", "a/", "--format=json"]) == 1
    printed = capsys.readouterr()
    assert [row["run"] for row in json.loads(printed.out)] == ["a"]
    assert printed.err.startswith("error: 'nowhere' is left out: no run in 'nowhere'")
    assert main(["compare", "nowhere"]) == 2


def test_run_on_other_images_has_a_warning(capsys, tmp_path):
    write_run(tmp_path / "c", test_digest="y")
    assert main(["compare", "a", "c"]) == 0
    assert capsys.readouterr().err == (
        "warning: c has other test images than a; do not compare their metrics\n"
    )


class Result:
    cross_entropy = 0.125
    warnings = ("the images changed",)


def test_run_with_another_loss_is_tested_again(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "evaluate", lambda path, on_progress: Result)
    write_run(tmp_path / "c", "loss.name=lenet5_map")
    assert main(["compare", "a", "c", "--format=json"]) == 0
    printed = capsys.readouterr()
    assert [row["test_cross_entropy"] for row in json.loads(printed.out)] == [0.25, 0.125]
    assert printed.err == "warning: c: the images changed\n"
    assert main(["compare", "a", "c", "--format=json", "--no-evaluate"]) == 0
    row = json.loads(capsys.readouterr().out)[1]
    assert row["test_cross_entropy"] is None


def test_picture(capsys, tmp_path):
    assert main(["compare", "a", "b", "-o", "curves.png"]) == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(["compare", "a", "b", "-o", "curves.png"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: --output 'curves.png' exists; give --overwrite, or")
    assert printed.out == ""
    assert main(["compare", "a", "b", "-o", "curves.png", "--overwrite"]) == 0
    assert main(["compare", "a", "-o", "curves.gif"]) == 2
