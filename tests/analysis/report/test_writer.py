"""The report of a run on small random images, without its training."""

import base64
import json
import re
from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_folders import VIEW, write_sizes

from flax_vision.analysis.report import sections, trained_run
from flax_vision.analysis.report import writer as run_module
from flax_vision.analysis.report.trained_run import open_trained_run
from flax_vision.analysis.report.writer import write_report
from flax_vision.cli.main import main
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import ArrayDataset
from flax_vision.data.image_folder import ALL, find_folder
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.evaluation import run_data
from flax_vision.training import fit as fit_module
from flax_vision.training.display import Display
from flax_vision.weights import run_records, saved_model
from flax_vision.weights.loading import LoadedModel
from flax_vision.weights.run_checkpoints import Checkpoint, UsableCheckpoints

CLASSES = ["<cat>", "dog & $co", "owl", "ant"]
RESULT = {
    "best_epoch": 2,
    "test/top1": 0.25,
    "test/top5": 1.0,
    "test/images": 12,
    "train_seconds": 3.0,
}


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28, 1), np.uint8)
    return ArrayDataset(pixels, np.arange(12, dtype=np.int32) % 4, CLASSES)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    metadata = saved_model.ModelMetadata(
        name="lenet5_modern",
        options={},
        class_names=CLASSES,
        image_shape=[28, 28, 1],
        preprocessing=Preprocessing([120.0], [70.0]),
        metrics=RESULT,
    )
    init = jax.jit(metadata.create_model().init)
    saved_model.save(path / "export", metadata, init(jax.random.key(0), jnp.zeros((1, 28, 28, 1))))
    epochs = [
        {"epoch": i, "train/loss": 1 / i, "train/top1": 1 - 1 / i, "learning_rate": 0.1}
        | {"epoch_seconds": 1.5, "images_per_second": 1e3, "input_wait_fraction": 0.25}
        for i in (1, 2)
    ]
    (path / "metrics.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in [*epochs, RESULT]))
    data = {"name": "noise", "tfds_dir": "", "val_fraction": 0.25}
    config = {"seed": 7, "data": data, "batch_size": 4, "loss": {"name": "cross_entropy"}}
    (path / "config.json").write_text(json.dumps(config))
    parts = {"train": {"a": [6, "f"], "b": [5, "f"]}, "validation": {"a": [5, "f"]}, "test": {}}
    (path / "dataset.json").write_text(json.dumps(parts))
    start = {"time": "2025", "host": "here", "devices": ["cpu:0"], "command": ["train.py", "<x>"]}
    start |= {"python": "3", "platform": "p", "git_revision": None, "libraries": {"jax": "1.2.3"}}
    (path / "launches.json").write_text(json.dumps([start]))
    return path


@pytest.fixture(scope="module")
def page(run, images):
    return write_report(run, images)[0].read_text()


class Reader(HTMLParser):
    """Collects what a page has, and whether what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "source", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_page_has_its_sections_in_order(read):
    headings = [text for text in read.text if text in page_sections()]
    assert headings[len(headings) // 2 :] == page_sections()  # after the links to them
    assert "lenet5_modern on noise" in read.text


def page_sections():
    return [
        *("Training", "Confusion", "Most confident mistakes", "First layer", "Feature maps"),
        *("Network", "Run"),
    ]


def test_pictures_are_inside_in_both_themes_and_beside(read, run):
    pictures = [attributes for tag, attributes in read.tags if tag in ("img", "source")]
    assert len(pictures) == 2 * 9
    inside = {
        base64.b64decode(picture.get("src", picture.get("srcset")).partition(",")[2])
        for picture in pictures
    }
    beside = {file.read_bytes() for file in (run / "report").glob("*.png")}
    assert inside == beside
    assert all(picture["alt"] for picture in pictures if "alt" in picture or "src" in picture)


def test_nothing_is_asked_of_a_network(page):
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[\w+/=]+", "", page))


def test_names_are_escaped(page, read):
    assert "<cat>" not in page
    assert "<x>" not in page
    assert any("class <cat>" in text for text in read.text)


def test_losses_and_left_out_images_are_explained(read):
    (text,) = (text for text in read.text if text.startswith("The training loss is"))
    assert "mean cross-entropy over 8 images of an epoch, while the parameters change" in text
    assert "Neither weight decay nor auxiliary heads are part of it." in text
    assert (
        "Each epoch leaves out 3 images of 11, because a last batch would have fewer than 4."
        in text
    )
    assert "over 5 validation images at the end of an epoch, without augmentation" in text


def test_mistakes_say_what_was_predicted(read):
    alternatives = [attributes.get("alt", "") for _, attributes in read.tags]
    (text,) = (text for text in alternatives if text.startswith("Test images: predicted"))
    assert re.search(r"predicted \S.*, is \S.* \(\d\d\.\d\d% sure\)", text)


def test_photographs_are_named(tmp_path):
    write_sizes(tmp_path, "ab", [(20, 20)])
    photographs = find_folder(str(tmp_path), DecodeConfig(VIEW))[ALL]()
    names = sections.Tested(photographs, None).file_names(np.array([1]))
    assert names == [str(tmp_path / "b/0.png")]


def test_configuration_versions_and_table_are_there(read):
    for text in ("seed", "data.val_fraction", "1.2.3", "train.py <x>", "61,196", "0.25", "12"):
        assert any(text in part for part in read.text), text


def test_without_test_images_the_rest_is_there_with_a_warning(run, capsys):
    assert main(["report", str(run)]) == 0  # there is no set `noise`
    captured = capsys.readouterr()
    assert captured.out == f"{run}/report/index.html\n"
    assert captured.err.startswith("warning: pictures of test images are left out: ")
    page = (run / "report/index.html").read_text()
    assert "Pictures of test images are left out" in page
    assert page.count("<img") == 4


def test_images_of_which_none_can_be_read_are_left_out_with_a_warning(run, images, monkeypatch):
    def fail(*arguments):
        raise UserError("no image can be read")

    monkeypatch.setattr(run_module, "predict_groups", fail)
    page, warning = write_report(run, images)
    assert warning == "pictures of test images are left out: no image can be read"
    assert page.read_text().count("<img") == 4


def test_images_that_are_not_those_of_the_run_are_said_to_be_others(
    run, images, monkeypatch, capsys
):
    monkeypatch.setattr(run_data, "load_part", lambda *source: images)
    monkeypatch.setattr(run_module, "data_warning", lambda *of: "these are not the test images")
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().err == "warning: these are not the test images\n"
    page = (run / "report/index.html").read_text()
    assert "<p>These are not the test images.</p>" in page
    assert page.count("<img") == 9


@pytest.mark.parametrize("what", ["nothing", "export"])
def test_what_is_no_run_is_one_error(what, run, tmp_path, capsys):
    path = run / "export" if what == "export" else tmp_path
    assert main(["report", str(path)]) == 2
    assert re.fullmatch("error: no run in .*has no metrics.jsonl.*\n", capsys.readouterr().err)


def link(run, target, *others):
    for file in run.iterdir():
        if file.name not in others:
            (target / file.name).symlink_to(file)


EPOCH = '{"epoch": 1, "epoch_seconds": 1.0}'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.jsonl", "{", "is damaged (Expecting"),
        ("metrics.jsonl", f"{EPOCH}\n5\n", "is damaged (line 2: Expected `object`, got `int`)"),
        (
            "metrics.jsonl",
            '{"epoch": 1}',
            "is damaged (line 1: Object missing required field `epoch_seconds`)",
        ),
        ("config.json", None, "is missing"),
        ("config.json", "{}", "is damaged (it is empty)"),
        ("config.json", '{"data": 3}', "is damaged (Expected `object`, got `int` - at `$.data`)"),
        ("config.json", '{"seed": 3}', "is damaged (data has no name)"),
    ],
)
def test_damaged_files_are_one_error(name, content, message, run, tmp_path, capsys):
    link(run, tmp_path, name)
    if content is not None:
        (tmp_path / name).write_text(content)
    assert main(["report", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / name} {message}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("launches.json", "{}"),
        ("launches.json", "[3]"),
        ("launches.json", "null"),
        ("dataset.json", "[]"),
        ("dataset.json", '{"train": 3}'),
    ],
)
def test_damaged_optional_files_are_left_out(name, content, run, tmp_path):
    link(run, tmp_path, name)
    (tmp_path / name).write_text(content)
    (warning,) = open_trained_run(tmp_path).warnings
    assert warning.startswith(f"{tmp_path / name} is damaged (")
    assert warning.endswith("; the report leaves it out")


def replace_metrics(run, tmp_path, content, monkeypatch):
    link(run, tmp_path, "metrics.jsonl")
    (tmp_path / "metrics.jsonl").write_text(content)
    newest = Checkpoint(tmp_path, 9, [{"epoch": 9, "epoch_seconds": 1.0, "train/loss": 0.0625}])
    monkeypatch.setattr(
        run_records, "find_checkpoints", lambda path: UsableCheckpoints(newest, newest, [])
    )
    return newest.history


def test_checkpoint_replaces_damaged_metrics(run, tmp_path, monkeypatch):
    history = replace_metrics(run, tmp_path, "{", monkeypatch)
    opened = open_trained_run(tmp_path)
    assert opened.records == history
    (warning,) = opened.warnings
    assert warning.endswith("; the report shows the records of the newest checkpoint")


def test_metrics_without_the_best_epoch_of_a_finished_run_are_damaged(run, tmp_path, monkeypatch):
    history = replace_metrics(run, tmp_path, f"{EPOCH}\n", monkeypatch)
    assert not open_trained_run(tmp_path).warnings  # it is not finished
    result = RESULT | {"step": 9, "test/loss": 0.5, "input_wait_fraction": 0.0}
    (tmp_path / "result.json").write_text(json.dumps(result))
    opened = open_trained_run(tmp_path)
    assert opened.records == [*history, result]
    (warning,) = opened.warnings
    assert "is damaged (it has 1 epoch, and the best is epoch 2); the report shows" in warning


def test_run_before_the_end_of_its_first_epoch():
    assert sections.training([], {}, {}).text == "No epoch is finished yet."


def test_checkpoint_of_an_unfinished_run_is_named(run, images, monkeypatch):
    def loaded(path):
        return LoadedModel(*saved_model.load_export(path), "epoch 1 of 2; using the checkpoint")

    monkeypatch.setattr(trained_run, "load_model", loaded)
    page, warning = write_report(run, images)
    assert warning == "epoch 1 of 2; using the checkpoint"
    assert "Epoch 1 of 2; using the checkpoint." in page.read_text()


def test_report_that_cannot_be_written_is_one_error(run, tmp_path, capsys):
    link(run, tmp_path, "report")
    (tmp_path / "report").write_text("in the way")
    assert main(["report", str(tmp_path)]) == 2
    assert "the report cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "failure", [ValueError("no\nink"), KeyboardInterrupt(), OSError(28, "full")]
)
def test_a_run_survives_a_report_that_fails(failure, tmp_path, images, monkeypatch, capsys):
    def fail(*arguments):
        raise failure

    monkeypatch.setattr("flax_vision.analysis.report.writer.write_report", fail)
    fit_module._report(tmp_path, images, Display())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: no report (")
    assert line.endswith(f"to try again: flax-vision report {tmp_path}")


def test_unknown_facts_are_left_out():
    assert run_module._facts({"test/images": 10}) == {}
    facts = run_module._facts({"test/images": 10, "test/top1": 0.5})
    assert facts == {"test top-1": "50.00%", "test images wrong": "5 of 10"}
