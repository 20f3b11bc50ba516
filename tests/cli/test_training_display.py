import io
import re
import sys
import time
import types

import pytest
from rich.console import Console

from flax_vision.cli.training_display import (
    NotebookDisplay,
    TrainingDisplay,
    format_duration,
    make_display,
)

RECORD = {
    "epoch": 3,
    "step": 30,
    "train/loss": 0.5,
    "train/top1": 0.875,
    "validation/loss": 0.25,
    "validation/top1": 0.9,
    "images_per_second": 12345.6,
    "input_wait_fraction": 0.012,
}
PROGRESS = {"loss": 0.5, "top1": 0.75, "images_per_second": 0.0, "input_wait_fraction": 0.0}


def run(terminal: bool, use) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=150, highlight=False, markup=False)
    with TrainingDisplay(console) as display:
        display.begin(0)
        use(display)
    return out.getvalue()


def test_live_line_shows_everything_while_it_runs():
    def use(display):
        time.sleep(0.01)
        display.training("3/25", 30, 60, PROGRESS)

    text = run(True, use)
    for part in (
        "epoch 3/25",
        "loss 0.5000",
        "top-1 75.00%",
        "images/s",
        "waiting",
        "left",
    ):
        assert part in text


def test_plain_lines_have_no_control_codes():
    def use(display):
        display.training("3/25", 30, 60, PROGRESS)
        display.epoch(RECORD, 25, 250)

    text = run(False, use)
    assert "\x1b" not in text
    assert "\r" not in text
    assert len(text.splitlines()) == 2
    assert "epoch  3/25  train loss 0.5000 top-1 87.50%  validation loss 0.2500" in text
    assert "12,346 images/s  waiting 1.2%" in text


def test_time_left_is_what_the_speed_so_far_says():
    def use(display):
        display.begin(10)
        time.sleep(0.2)
        display.training("1/1", 11, 61, PROGRESS)

    minutes, seconds = re.search(r"(\d+):(\d+) left", run(False, use)).groups()
    assert 10 <= 60 * int(minutes) + int(seconds) < 20


def test_reading_is_shown_only_now_and_then():
    text = run(False, lambda display: display.reading("mnist train", 1000, 60000))
    assert text == ""


def test_result_table(tmp_path):
    result = {
        "best_epoch": 7,
        "test/top1": 0.973,
        "test/top5": 0.999,
        "test/loss": 0.1,
        "test/images": 1000,
        "train_seconds": 65.0,
        "input_wait_fraction": 0.01,
    }
    text = run(False, lambda display: display.result("lenet5", result, tmp_path, None))
    assert "97.30%  (27 of 1,000 images wrong)" in text
    assert "1:05" in text
    assert "validation" not in text
    assert "stopped early" not in text
    assert re.search(r"test top-5 +│ 99.90%", text)
    few = {**result, "test/images": 1, "test/top1": 1.0, "stopped_early": "no better f1"}
    del few["test/top5"]  # of at most five classes
    text = run(False, lambda display: display.result("lenet5", few, tmp_path, None))
    assert "top-5" not in text
    assert "100.00%  (0 of 1 image wrong)" in text
    assert re.search(r"stopped early +│ no better f1", text)


RARE = {"validation/balanced_accuracy": 0.62, "validation/majority_share": 0.85}


@pytest.mark.parametrize(("ratio", "shown"), [(3.0, False), (3.1, True)])
def test_epoch_of_an_unbalanced_set_has_the_balanced_accuracy(ratio, shown):
    def use(display):
        display.imbalance(ratio)
        display.epoch(RECORD | RARE, 25, 250)

    text = run(False, use)
    assert ("top-1 90.00%, largest class 85.00%  balanced 62.00%  12," in text) == shown
    assert ("balanced" in text) == shown


def test_unbalanced_set_without_validation():
    def use(display):
        display.imbalance(10)
        display.epoch({"epoch": 1, "step": 5, "train/loss": 0.5, "train/top1": 0.875}, 25, 250)

    assert "balanced" not in run(False, use)


@pytest.mark.parametrize(("ratio", "shown"), [(3.0, False), (3.1, True)])
def test_result_of_an_unbalanced_set_has_the_balanced_accuracy(ratio, shown, tmp_path):
    result = {"best_epoch": 7, "test/top1": 0.9, "test/loss": 0.1, "test/images": 10}
    result |= {"train_seconds": 65.0, "input_wait_fraction": 0.01, "train/imbalance": ratio}
    result |= {
        "test/balanced_accuracy": 0.6,
        "test/majority_share": 0.8,
        "validation/top1": 0.9,
    } | RARE
    text = run(False, lambda display: display.result("lenet5", result, tmp_path, None))
    assert ("(1 of 10 images wrong), largest class 80.00%" in text) == shown
    assert ("90.00%, largest class 85.00%" in text) == shown
    assert bool(re.search(r"test balanced +│ 60.00%", text)) == shown
    assert bool(re.search(r"validation balanced +│ 62.00%", text)) == shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.4, "0:07"), (59.9, "1:00"), (750, "12:30"), (11_100, "3:05:00")]
)
def test_duration(seconds, text):
    assert format_duration(seconds) == text


NAME = "[/b]\x1b[2J:cat:"
SHOWN = r"[/b]\x1b[2J:cat:"


@pytest.mark.parametrize("terminal", [False, True])
def test_markup_and_control_codes_in_names_are_escaped(terminal, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(TrainingDisplay, "is_due", True)

    def use(display):
        display.reading(NAME, 1, 2)
        display.line(NAME)
        display.warning(NAME)
        display.result(
            NAME,
            {"best_epoch": 1, "test/top1": 1.0, "test/images": 2, "test/loss": 0.0}
            | {"train_seconds": 1.0, "input_wait_fraction": 0.0},
            tmp_path / NAME,
            None,
        )

    text = run(terminal, use) + capsys.readouterr().err  # or above the live line
    assert f"warning: {SHOWN}\n" in text
    assert text.count(SHOWN) >= 5
    assert "\x1b[2J" not in text


@pytest.fixture
def shown(monkeypatch):
    """The contents that a notebook without widgets shows, in their order."""
    contents = []

    class Handle:
        def update(self, content, raw):
            contents.append(("update", content["text/html"], content["text/plain"]))

    def display(content, raw, display_id):
        contents.append(("display", content["text/html"], content["text/plain"]))
        return Handle()

    module = types.ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return contents


def test_notebook_has_a_line_that_changes_and_lines_that_stay(shown, capsys):
    with NotebookDisplay() as display:
        display.compiling()
        display.training("<3>/25", 30, 60, PROGRESS)
        display.epoch(RECORD, 25, 250)
    kinds, html, texts = zip(*shown, strict=True)
    assert kinds == ("display", "update", "update")
    assert '<progress value="30" max="60">' in html[1]
    assert "epoch &lt;3&gt;/25  loss 0.5000" in html[1]
    assert texts[1].startswith("epoch <3>/25  loss 0.5000")
    assert texts[2] == html[2] == ""
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("epoch  3/25  train loss 0.5000")


def test_notebook_of_another_process_shows_nothing(shown, capsys, monkeypatch):
    monkeypatch.setattr("flax_vision.runtime.multihost.is_primary", lambda: False)
    with NotebookDisplay() as display:
        display.compiling()
        display.line("a")
    assert shown == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("is_notebook", [False, True])
def test_display_is_the_one_of_the_process(is_notebook, monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: is_notebook)
    assert type(make_display()) is (NotebookDisplay if is_notebook else TrainingDisplay)
