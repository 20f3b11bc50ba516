import io
import re
import time

import pytest
from rich.console import Console

from flax_vision.cli.training_display import TrainingDisplay, format_duration

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
