import csv
import dataclasses
import io
import json
import re

import jax
import numpy as np
import pytest
from PIL import Image

import flax_vision as fv
from flax_vision.cli.main import main
from flax_vision.data.background import Background
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.weights import saved_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two images of cats in a class folder, and one image beside it."""
    path = tmp_path_factory.mktemp("photographs")
    (path / "cat").mkdir()
    random = np.random.default_rng(0)
    for name in ("cat/1.png", "cat/[b]2.png", "3.png"):
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(path / name)
    return path


def predict(capsys, *arguments):
    """Returns the exit status, the output and the errors of the command."""
    status = main(["predict", *map(str, arguments)])
    streams = capsys.readouterr()
    return status, streams.out, streams.err


def test_json(export, folder, capsys):
    status, output, errors = predict(capsys, export, folder, "--format", "json", "--top", "2")
    found = json.loads(output)
    assert status == 0
    files = [(str(folder / "3.png"), None)]
    files += [(str(folder / f"cat/{name}"), "cat") for name in ("1.png", "[b]2.png")]
    assert [(row["file"], row["truth"]) for row in found] == files
    for row in found:
        first, second = (each["probability"] for each in row["top"])
        assert 1 > first >= second > 0
        assert {each["class"] for each in row["top"]} < {"cat", "dog", "owl"}
    # The first prediction of a process may compile oneDNN's handlers, with a message.
    assert re.search(r"^3 images in .* s, \d+% of it in the model\n\Z", errors, re.MULTILINE)


def test_csv(export, folder, capsys):
    _, output, _ = predict(capsys, export, folder / "cat/1.png", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(output)))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert {row["file"] for row in rows} == {str(folder / "cat/1.png")}
    assert {row["truth"] for row in rows} == {"cat"}
    assert sum(float(row["probability"]) for row in rows) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("is_inverted", [False, True])
def test_hint_for_inverted_digits(is_inverted, export, tmp_path, capsys):
    metadata = dataclasses.replace(
        saved_model.load_metadata(export), background=Background(0.1, 0.5)
    )
    saved_model.save(tmp_path / "net", metadata, fv.load(export)[1])
    for number, image in enumerate(load_mnist_5k()[1].images[:5, :, :, 0]):
        digit = np.pad(255 - image if is_inverted else image, 2, mode="edge")
        Image.fromarray(digit).save(tmp_path / f"{number}.png")
    status, output, errors = predict(capsys, tmp_path / "net", tmp_path, "--format", "json")
    assert status == 0
    assert len(json.loads(output)) == 5
    hints = [line for line in errors.splitlines() if line.startswith("hint: ")]
    assert len(hints) == is_inverted
    assert all("invert the images, for example with PIL.ImageOps.invert" in line for line in hints)


def test_ensemble(export, folder, tmp_path, capsys):
    """The mean over a model and the same one with weights of 0, whose outputs are equal."""
    variables = jax.tree.map(np.zeros_like, fv.load(export)[1])
    saved_model.save(tmp_path / "zero", saved_model.load_metadata(export), variables)
    rows = [
        json.loads(predict(capsys, export, folder, "--format=json", *more)[1])
        for more in ((), ("--ensemble", tmp_path / "zero"))
    ]
    for alone, mean in zip(*rows, strict=True):
        for one, both in zip(alone["top"], mean["top"], strict=True):
            assert both["class"] == one["class"]
            assert both["probability"] == pytest.approx((one["probability"] + 1 / 3) / 2, abs=1e-6)


def test_missing_model_of_an_ensemble(export, folder, capsys):
    status, output, errors = predict(capsys, export, folder, "--ensemble", "nowhere")
    assert (status, output) == (2, "")
    assert errors.startswith("error: no model in 'nowhere'")
    assert errors.count("\n") == 1


def test_table_shows_markup_unchanged(export, folder, capsys):
    _, output, _ = predict(capsys, export, folder / "cat", "--top", "1")
    assert "[b]2.png" in output
    assert re.search(r"cat +(cat|dog|owl) +\d+\.\d\d%", output)


def test_unreadable_image_is_named_and_the_status_is_1(export, folder, tmp_path, capsys):
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8\xff damaged")
    files = tmp_path / "damaged.jpg", folder / "3.png"
    status, output, errors = predict(capsys, export, *files, "--format", "json")
    assert status == 1
    assert [row["file"] for row in json.loads(output)] == [str(folder / "3.png")]
    first, last = errors.splitlines()
    assert first.startswith(f"error: '{tmp_path}/damaged.jpg' cannot be read: ")
    assert last.startswith("1 image in ")


def test_skipped_files_are_counted(export, folder, tmp_path, capsys):
    (tmp_path / "1.png").symlink_to(folder / "3.png")
    for name in ("a.txt", "b.heic", ".hidden"):
        (tmp_path / name).touch()
    status, _, errors = predict(capsys, export, tmp_path, "--format", "json")
    assert status == 0
    line = "skipped 2 files without an image extension (.txt 1, .heic 1), such as "
    assert errors.splitlines()[0] == f"{line}'{tmp_path}/a.txt'"  # before the predictions


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_no_readable_image(form, export, tmp_path, capsys):
    (tmp_path / "a.png").touch()
    status, output, errors = predict(capsys, export, tmp_path, "--format", form)
    assert status == 1
    assert (
        output == {"table": "", "json": "[]\n", "csv": "file,truth,rank,class,probability\n"}[form]
    )
    assert "a.png' cannot be read" in errors


def test_picture(export, folder, tmp_path, capsys):
    path = tmp_path / "picture.png"
    status, _, _ = predict(capsys, export, folder, "--picture", path)
    assert status == 0
    width, height = Image.open(path).size
    assert width == 3 * 390  # pixels of a column
    assert height > 390
    status, _, errors = predict(capsys, export, folder, "--picture", path)
    assert status == 2
    assert "exists; give --overwrite, or another name" in errors
    path.write_bytes(b"")
    assert predict(capsys, export, folder, "--picture", path, "--overwrite")[0] == 0
    assert path.stat().st_size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{export}", "{folder}", "--top", "0"], "top is 0; give at least 1"),
        (["{export}", "nowhere.jpg"], "'nowhere.jpg': it does not exist; give files, or folders"),
        (["{export}", "{export}"], "has no images in it"),
        (["nowhere", "{folder}"], "no model in 'nowhere'"),
        (["{export}", "{folder}", "--picture", ".", "--overwrite"], "'.' is a directory; give the"),
        (["{export}", "{folder}", "--picture", "x.jpg"], "'x.jpg' has no valid extension; give a"),
        (["{export}", "{folder}", "--picture", "x/x.png"], "'x/x.png' is in a folder that does n"),
    ],
)
def test_mistakes_are_one_line(arguments, message, export, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    filled = [part.format(export=export, folder=folder) for part in arguments]
    status, output, errors = predict(capsys, *filled)
    assert (status, output) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1


def test_picture_of_too_many_images(export, tmp_path, capsys):
    for number in range(65):
        (tmp_path / f"{number}.png").touch()
    status, _, errors = predict(capsys, export, tmp_path, "--picture", tmp_path / "p.pdf")
    assert status == 2
    assert "shows at most 64 images; give fewer" in errors


def test_names_are_escaped_in_csv_and_exact_in_json(export, folder, tmp_path, capsys):
    path = tmp_path / "\x1b[2J\n.png"
    path.write_bytes((folder / "3.png").read_bytes())
    output = predict(capsys, export, path, "--format", "csv", "--top", "1")[1]
    assert output.splitlines()[1].startswith(rf"{tmp_path}/\x1b[2J\n.png,,1,")
    output = predict(capsys, export, path, "--format", "json")[1]
    assert json.loads(output)[0]["file"] == str(path)
