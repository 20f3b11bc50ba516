import io
import json

import pytest
from rich.console import Console

from flax_vision.cli import console
from flax_vision.cli.console import print_table

ROWS = [
    {"layer": "conv", "kernels": ["3x3", "1x1"], "output": (4, 4, 2), "parameters": 1234},
    {"layer": "total", "kernels": [], "output": (), "parameters": 1234},
]


def test_table(capsys):
    print_table(ROWS, "table", totals=1)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "layer  kernels  output  parameters",
        "conv   3x3      4x4x2        1,234",
        "       1x1",
        "",
        "total                        1,234",
    ]


def test_markdown(capsys):
    print_table(ROWS, "markdown")
    assert capsys.readouterr().out.splitlines() == [
        "| layer | kernels | output | parameters |",
        "| --- | --- | --- | --: |",
        "| conv | 3x3<br>1x1 | 4x4x2 | 1,234 |",
        "| total |  |  | 1,234 |",
    ]


def test_json(capsys):
    print_table(ROWS, "json")
    first, _ = json.loads(capsys.readouterr().out)
    expected = {"layer": "conv", "kernels": ["3x3", "1x1"], "output": [4, 4, 2], "parameters": 1234}
    assert first == expected


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_long_texts_are_not_cut_in_a_pipe(form, capsys):
    print_table([{"paper": "x" * 120, "parameters": 1}], form)
    assert "x" * 120 in capsys.readouterr().out


NAMES = [
    {"[b]file": "[unknown] [/b] :cat:", "names": ["\x1b[2J", "a\r\n|b", "\udce9", "<unk> *c*"]}
]


def test_markup_and_control_codes_are_escaped_in_a_table(capsys):
    print_table(NAMES, "table")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        r"[b]file               names",
        r"[unknown] [/b] :cat:  \x1b[2J",
        r"                      a\r\n|b",
        r"                      \udce9",
        r"                      <unk> *c*",
    ]


def test_markup_and_control_codes_are_escaped_in_markdown(capsys):
    print_table(NAMES, "markdown")
    last = capsys.readouterr().out.splitlines()[-1]
    names = [r"\x1b[2J", r"a\r\n\|b", r"\udce9", r"\<unk> \*c\*"]
    assert last == f"| [unknown] [/b] :cat: | {'<br>'.join(names)} |"


def test_backslash_before_a_bar_in_markdown(capsys):
    print_table([{"name|": "a\\|b"}], "markdown")
    assert capsys.readouterr().out.splitlines() == [r"| name\| |", "| --- |", r"| a\\\|b |"]


def test_names_are_exact_in_json(capsys):
    print_table(NAMES, "json")
    assert json.loads(capsys.readouterr().out) == NAMES


@pytest.fixture
def terminal(monkeypatch):
    """The output of a terminal on which `progress` shows its line."""
    out = io.StringIO()
    shown_on = Console(file=out, force_terminal=True, width=120)
    monkeypatch.setattr(console, "Console", lambda **settings: shown_on)
    return out


def test_markup_and_control_codes_are_escaped_in_progress(terminal):
    with console.progress() as on_progress:
        on_progress("reading [/b]\x1b[2J", 1, 2)
        on_progress("reading [/b]\x1b[2J", 2, 2)
    assert r"reading [/b]\x1b[2J" in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()


def test_progress_shows_finished_images_and_time_left(terminal):
    with console.progress() as on_progress:
        on_progress("compiling", 0, 0)
        for done in (0, 10, 20):
            on_progress("testing lenet5", done, 1000)
    text = terminal.getvalue()
    assert "testing lenet5" in text
    assert "20/1000" in text
    assert "left" in text
    # Ctrl-C ends the process before the cursor could be shown again.
    assert text.index("\x1b[?25h") < text.index("testing")
