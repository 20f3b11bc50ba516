import json

import pytest

from flax_vision.papers.catalog import PAPERS, find_item
from flax_vision.papers.experiments import EXPERIMENTS
from flax_vision.papers.gallery import write_gallery, write_markdown
from flax_vision.papers.outcome import command, directory, read_outcome, run_experiment, table_rows
from flax_vision.papers.runs import ExperimentOptions

VGG = PAPERS["vgg"]
TABLE2 = find_item(VGG, "table2")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return ExperimentOptions(workdir=tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def outcome(options):
    """An outcome without training."""
    return run_experiment(VGG, TABLE2, EXPERIMENTS["vgg"]["table2"], options)[0]


def test_cells_of_seeds():
    rows = [{"setting": "a", "error": [1.0, 2.0], "time": None, "paper": 133_000_000.0}]
    assert table_rows(rows) == [
        {"setting": "a", "error": "1.50 ± 0.71", "time": "-", "paper": 133_000_000}
    ]
    assert table_rows([{"parameters": [60_000, 60_000], "one": [2.5], "none": [None]}]) == [
        {"parameters": 60_000, "one": 2.5, "none": "-"}
    ]


def test_commands_repeat_the_options():
    assert command(VGG, TABLE2, ExperimentOptions()) == "flax-vision paper vgg table2"
    full = ExperimentOptions("full", "cifar10", (0, 3))
    expected = "flax-vision paper vgg table2 --full --data cifar10 --seeds 0,3"
    assert command(VGG, TABLE2, full) == expected


def test_outcome_is_written(outcome, options):
    folder = directory(VGG, TABLE2, options)
    assert {path.name for path in folder.iterdir()} == {
        "outcome.json",
        "figure.png",
        "figure-dark.png",
    }
    assert json.loads((folder / "outcome.json").read_text())["rows"] == outcome.rows
    assert outcome.rows[0] == {
        "model": "vgg_a",
        "parameters": 132_863_336,
        "parameters, paper": 133_000_000,
        "multiply-adds": 7_609_090_048,
    }


def test_earlier_outcome_is_read(outcome, options):
    assert read_outcome(VGG, TABLE2, options) == outcome
    assert read_outcome(VGG, TABLE2, ExperimentOptions("full", workdir=options.workdir)) is None
    figure = directory(VGG, TABLE2, options) / "figure.png"
    figure.rename(figure.with_suffix(".other"))
    assert read_outcome(VGG, TABLE2, options) is None
    figure.with_suffix(".other").rename(figure)


def test_outcome_of_other_seeds_is_not_read(outcome, options):
    del outcome
    assert read_outcome(VGG, TABLE2, ExperimentOptions(seeds=(7,), workdir=options.workdir)) is None


def test_gallery_has_command_numbers_and_figure(outcome, options):
    page = write_gallery([(VGG, TABLE2, outcome)], options)
    text = page.read_text()
    assert page == options.workdir / "gallery.html"
    assert write_gallery([], options, "vgg") == options.workdir / "gallery-vgg.html"
    assert "flax-vision paper vgg table2" in text
    assert "132,863,336" in text
    assert text.count("data:image/png;base64,") == 2


def test_markdown_has_command_numbers_and_figure(outcome, options):
    page = options.workdir / "papers.md"
    write_markdown([(VGG, TABLE2, outcome)], options, page)
    text = page.read_text()
    picture = options.workdir / "papers" / "vgg-table2.png"
    assert f"![{outcome.alternative}](papers/{picture.name})" in text
    assert picture.read_bytes() == (directory(VGG, TABLE2, options) / "figure.png").read_bytes()
    assert "- Command: `flax-vision paper vgg table2`" in text
    assert "| vgg_a | 132,863,336 | 133,000,000 | 7,609,090,048 |" in text
