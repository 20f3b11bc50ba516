"""The report that `train.py` writes after a run."""

import pytest
from ml_collections import ConfigDict

from flax_vision.cli import train
from flax_vision.cli.training_display import TrainingDisplay

IMAGES = object()


@pytest.fixture
def reported(monkeypatch):
    """The test images of each written report."""
    images = []

    def write_report(workdir, test_images, on_progress):
        images.append(test_images)
        return workdir / "report/index.html", "a figure is left out"

    monkeypatch.setattr("flax_vision.analysis.report.writer.write_report", write_report)
    return images


def write_page(workdir):
    (workdir / "report").mkdir()
    (workdir / "report/index.html").touch()


def test_report_uses_the_test_images_of_the_run(reported, tmp_path, capsys):
    write_page(tmp_path)  # an older one
    display = TrainingDisplay()
    display.test_images = IMAGES
    train.write_report(tmp_path, display)
    assert reported == [IMAGES]
    printed = capsys.readouterr()
    assert printed.out == f"report: {tmp_path}/report/index.html\n"
    assert printed.err == "warning: a figure is left out\n"


def test_same_command_writes_a_report_that_a_kill_prevented(reported, tmp_path):
    train.write_report(tmp_path, TrainingDisplay())
    assert reported == [None]
    write_page(tmp_path)
    train.write_report(tmp_path, TrainingDisplay())
    assert len(reported) == 1


@pytest.mark.parametrize("write_report", [False, True])
def test_report_follows_the_run_if_the_configuration_has_it(
    write_report, reported, tmp_path, monkeypatch
):
    monkeypatch.setattr("flax_vision.training.fit.fit", lambda *arguments: reported.append("fit"))
    assert train._fit(ConfigDict({"write_report": write_report}), tmp_path) == 0
    assert reported == ["fit", None][: 1 + write_report]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ValueError("no\nink"), "no"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (OSError(28, "full"), "[Errno 28] full"),
    ],
)
def test_run_survives_a_failed_report(failure, reason, tmp_path, monkeypatch, capsys):
    def fail(*arguments, **settings):
        raise failure

    monkeypatch.setattr("flax_vision.analysis.report.writer.write_report", fail)
    train.write_report(tmp_path, TrainingDisplay())
    assert capsys.readouterr().err == (
        f"warning: no report ({reason}); to try again: flax-vision report {tmp_path}\n"
    )
