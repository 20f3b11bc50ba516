"""The report of a run on small random images, without its training."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tensorboard_events import read_values
from tiny_folders import CROP_POLICY, write_sizes

from flax_vision.analysis.report import sections, trained_run
from flax_vision.analysis.report import writer as run_module
from flax_vision.analysis.report.html import THEMES
from flax_vision.analysis.report.mistake_events import write_mistake_events
from flax_vision.analysis.report.predicted_images import PredictedImages
from flax_vision.analysis.report.writer import write_mistakes, write_report
from flax_vision.cli.main import main
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.image_folder import ALL, image_folder_loaders
from flax_vision.errors import UserError
from flax_vision.evaluation import run_data
from flax_vision.evaluation.evaluator import Predictions
from flax_vision.weights import saved_model


@pytest.fixture(scope="module")
def page(run, images):
    return write_report(run, images)[0].read_text()


class Reader(HTMLParser):
    """Collects the tags and texts of a page, and checks that each tag is closed."""

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
        *("Training", "Confusion", "Classes", "Calibration", "Mistakes", "First layer"),
        *("Feature maps", "Model", "Run"),
    ]


def test_pictures_are_inside_in_both_themes_and_beside(read, run):
    pictures = [attributes for tag, attributes in read.tags if tag in ("img", "source")]
    thumbnails = [x for x in pictures if x.get("alt", "").startswith("an image of class ")]
    pictures = [x for x in pictures if x not in thumbnails]
    assert len(pictures) == 2 * 10
    assert 0 < len(thumbnails) <= 12
    inside = {
        base64.b64decode(picture.get("src", picture.get("srcset")).partition(",")[2])
        for picture in pictures
    }
    beside = {file.read_bytes() for file in (run / "report").glob("*.png")}
    assert inside == beside
    assert all(picture["alt"] for picture in pictures if "alt" in picture or "src" in picture)


def test_no_request_leaves_the_page(page):
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
    photographs = image_folder_loaders(str(tmp_path), DecodeConfig(CROP_POLICY))[ALL]()
    names = PredictedImages(photographs, None).file_names(np.array([1]))
    assert names == [str(tmp_path / "b/0.png")]


def test_configuration_versions_and_table_are_there(read):
    for text in ("seed", "data.val_fraction", "1.2.3", "train.py <x>", "61,196", "0.25", "12"):
        assert any(text in part for part in read.text), text


def test_without_test_images_the_rest_is_there_with_a_warning(run, capsys):
    assert main(["report", str(run)]) == 0  # there is no set `noise`
    captured = capsys.readouterr()
    assert captured.out == f"{run}/report/index.html\n"
    assert captured.err.startswith("warning: figures of test images are left out: ")
    page = (run / "report/index.html").read_text()
    assert "Figures of test images are left out" in page
    assert page.count("<img") == 4


def test_images_of_which_none_can_be_read_are_left_out_with_a_warning(run, images, monkeypatch):
    def fail(*arguments):
        raise UserError("no image can be read")

    monkeypatch.setattr(run_module, "predict_groups", fail)
    page, warning = write_report(run, images)
    assert warning == "figures of test images are left out: no image can be read"
    assert page.read_text().count("<img") == 4


@pytest.mark.slow
def test_images_that_are_not_those_of_the_run_are_said_to_be_others(
    run, images, monkeypatch, capsys
):
    monkeypatch.setattr(run_data, "read_split", lambda *source: images)
    monkeypatch.setattr(run_module, "data_warning", lambda *of: "these are not the test images")
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().err == "warning: these are not the test images\n"
    page = (run / "report/index.html").read_text()
    assert "<p>These are not the test images.</p>" in page
    assert page.count("<picture") == 10


def link(run, target, *others):
    for file in run.iterdir():
        if file.name not in others:
            (target / file.name).symlink_to(file)


def test_run_before_the_end_of_its_first_epoch():
    assert sections.training([], {}, {}).text == "No epoch is finished yet."


@pytest.mark.slow
def test_checkpoint_of_an_unfinished_run_is_named(run, images, monkeypatch):
    def loaded(path):
        return saved_model.load_export(path)._replace(note="epoch 1 of 2; using the checkpoint")

    monkeypatch.setattr(trained_run, "load_model", loaded)
    page, warning = write_report(run, images)
    assert warning == "epoch 1 of 2; using the checkpoint"
    assert "Epoch 1 of 2; using the checkpoint." in page.read_text()


def test_report_that_cannot_be_written_is_one_error(run, tmp_path, capsys):
    link(run, tmp_path, "report")
    (tmp_path / "report").write_text("in the way")
    assert main(["report", str(tmp_path)]) == 2
    assert "the report cannot be written" in capsys.readouterr().err


def test_unknown_facts_are_left_out():
    assert run_module._facts({"test/images": 10}) == {}
    result = {"test/balanced_accuracy": 0.5, "test/f1": 0.25, "test/ece": 0.125}
    facts = {"balanced accuracy": "50.00%", "macro F1": "25.00%", "calibration error": "12.50%"}
    assert run_module._facts(result | {"test/majority_share": 0.75}) == facts | {
        "largest class": "75.00%"
    }
    facts = run_module._facts({"test/images": 10, "test/top1": 0.5})
    assert facts == {"test top-1": "50.00%", "test images wrong": "5 of 10"}


def test_text_about_losses_that_differ_in_training():
    loss = {"name": "focal", "class_weights": "balanced", "label_smoothing": 0.1}
    text = sections._about_losses({"loss": loss}, {})
    assert "The training loss is the mean focal over" in text
    assert "The validation loss is the mean cross-entropy over" in text
    assert "Class weights are not part of it either. Only the training loss has smoothed" in text


@pytest.fixture
def asked(images, monkeypatch):
    """The splits that are read, each with the same images."""
    splits = []

    def read_split(source, split, on_progress):
        splits.append(split)
        return images

    monkeypatch.setattr(run_data, "read_split", read_split)
    monkeypatch.setattr(run_module, "data_warning", lambda *of: "")
    return splits


@pytest.mark.slow
def test_page_of_the_mistakes_of_a_split(run, asked, capsys):
    before = {file.name: file.read_bytes() for file in (run / "report").glob("*")}
    assert main(["report", str(run), "--mistakes=train"]) == 0
    page = run / "report/mistakes-train.html"
    assert capsys.readouterr().out == f"{page}\n"
    assert asked == ["train"]
    reader = Reader()
    reader.feed(page.read_text())
    assert reader.open == []
    headings = [text for text in reader.text if text in page_sections()]
    assert headings[4:] == ["Mistakes", "Classes", "Confusion", "Calibration"]
    assert "train images wrong" in reader.text
    new = {file.name for file in (run / "report").glob("*")} - before.keys()
    names = {f"{x}-train{y}.png" for x in ("mistakes", "confusion", "reliability") for y in THEMES}
    assert new == names | {page.name}
    assert all((run / "report" / name).read_bytes() == content for name, content in before.items())


@pytest.mark.slow
def test_unreadable_images_are_a_warning_on_the_page(run, asked, monkeypatch):
    monkeypatch.setattr(run_module, "unreadable_warning", lambda images: "1 image cannot be read")
    page, warning = write_mistakes(run, "validation")
    assert warning == "1 image cannot be read"
    assert "<p>1 image cannot be read.</p>" in page.read_text()


def test_mistakes_without_the_images_are_one_error(run, capsys):
    assert main(["report", str(run), "--mistakes=test"]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


def test_mistakes_of_a_finished_run_are_images_for_tensorboard(images, tmp_path):
    predicted = np.array(images.labels)
    predicted[:3] = 3
    confidence = np.linspace(0, 1, 12, dtype=np.float32)
    predictions = Predictions(None, predicted, confidence, None, None)
    tested = PredictedImages(images, predictions)
    records = [{"epoch": 1, "step": 5}]
    write_mistake_events(tmp_path, records, tested, images.class_names)
    assert list(tmp_path.iterdir()) == []  # not finished
    records.append({"step": 10, "test/top1": 0.75})
    write_mistake_events(tmp_path, records, tested, images.class_names)
    found = [(step, value.tag) for step, value in read_values(tmp_path)]
    assert found == [
        (10, "mistakes/01_predicted_ant_is_owl"),
        (10, "mistakes/02_predicted_ant_is_dog____co"),
        (10, "mistakes/03_predicted_ant_is__cat_"),
    ]
    (_, first), *_ = read_values(tmp_path)
    shown = np.asarray(Image.open(io.BytesIO(first.image.encoded_image_string)))[..., :1]
    np.testing.assert_array_equal(shown, tested.pixels(np.array([2]))[0])
