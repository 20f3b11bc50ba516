from collections import Counter

import pytest

from flax_vision.errors import UserError
from flax_vision.papers.catalog import PAPERS, find_experiment, find_item, find_paper, runnable
from flax_vision.papers.experiments import EXPERIMENTS
from flax_vision.papers.items.item import NEEDS_IMAGENET, OUT_OF_SCOPE, STATES, normalized

COUNTS = {  # figures and tables of each paper
    "lenet5": (34, 1),
    "alexnet": (4, 2),
    "vgg": (0, 12),
    "googlenet": (3, 5),
    "resnet": (7, 14),
}
SECTIONS = {
    "lenet5": {"section7"},
    "alexnet": {f"section{x}" for x in ("3.1", "3.2", "3.3", "3.4", "4.1", "4.2")},
    "vgg": {"section4.1"},
    "googlenet": {"section5"},
    "resnet": set(),
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_table_and_figure_is_there_once(name):
    figures, tables = COUNTS[name]
    paper = PAPERS[name]
    assert (paper.figures, paper.tables) == (figures, tables)
    expected = {f"fig{n}" for n in range(1, figures + 1)}
    expected |= {f"table{n}" for n in range(1, tables + 1)} | SECTIONS[name]
    assert Counter(item.name for item in paper.items) == Counter(dict.fromkeys(expected, 1))


@pytest.mark.parametrize("name", COUNTS)
def test_states(name):
    for item in PAPERS[name].items:
        assert item.state in STATES
        assert item.title
        assert item.note or item.runnable, f"{item.name} has neither an experiment nor a note"
        if item.state in (NEEDS_IMAGENET, OUT_OF_SCOPE):
            assert not item.runnable


def test_imagenet_items_have_a_command():
    items = [item for paper in PAPERS.values() for item in paper.items]
    for item in items:
        if item.state == NEEDS_IMAGENET:
            assert "--config configs/" in item.note
            assert ":imagenet" in item.note


@pytest.mark.parametrize("name", COUNTS)
def test_items_that_run_have_experiments(name):
    assert {item.name for item in runnable(PAPERS[name].items)} == EXPERIMENTS[name].keys()


@pytest.mark.parametrize("text", ["fig6", "Fig. 6", "figure 6", "FIGURE-6", "fig_6"])
def test_names_of_items(text):
    assert find_item(PAPERS["resnet"], text).name == "fig6"
    assert normalized("Section 3.3") == "section3.3"
    assert normalized("tab. 2") == "table2"


def test_long_names():
    names = {item.name: item.long_name for item in PAPERS["alexnet"].items}
    assert names["fig1"] == "figure 1"
    assert names["table2"] == "table 2"
    assert names["section3.3"] == "section 3.3"


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UserError, match=r"unknown paper 'resnt'; did you mean 'resnet'\?"):
        find_paper("resnt")
    with pytest.raises(UserError, match=r"unknown item of vgg 'tabel3'; did you mean 'table3'\?"):
        find_item(PAPERS["vgg"], "tabel3")


@pytest.mark.parametrize(
    ("paper", "item", "reason"),
    [
        ("resnet", "table4", "it needs ImageNet: python train.py --config configs/resnet50.py"),
        ("vgg", "table8", "it is out of scope: localization of objects"),
        ("resnet", "fig2", "it is reproduced: flax-vision summary resnet20"),
    ],
)
def test_items_without_experiment_say_why(paper, item, reason):
    with pytest.raises(UserError, match=reason):
        find_experiment(PAPERS[paper], item)
