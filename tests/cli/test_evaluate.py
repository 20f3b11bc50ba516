"""The command `flax-vision evaluate`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import pytest

from flax_vision.cli import evaluate as evaluate_command
from flax_vision.cli.main import main
from flax_vision.evaluation.protocols import NAMES
from flax_vision.weights import saved_model


def evaluate(run, *arguments):
    assert main(["evaluate", str(run), *arguments]) == 0


@pytest.mark.usefixtures("load_calls")
def test_table(run, capsys):
    evaluate(run, "--protocol=ten_crop")
    rows = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    rows = {name: text.strip() for name, text in rows.items()}
    assert rows.pop("model") == "lenet5_modern"
    assert rows["crops per image"] == "10, 8 of them different"
    assert rows["scales"] == "9"
    assert "of 20 images wrong)" in rows["top-1"]
    assert list(rows) == [
        *("dataset", "split", "protocol", "scales", "crops per image", "images", "top-1", "top-5"),
        *("balanced accuracy", "macro F1", "largest class", "calibration error"),
        *("cross-entropy", "seconds", "images/s"),
    ]
    assert rows["largest class"] == "20.00% of the images"


@pytest.mark.usefixtures("load_calls")
def test_json(run, capsys):
    evaluate(run, "--format=json", "--confusion", "--split=validation", "--batch-size=2")
    result = json.loads(capsys.readouterr().out)
    assert result["class_names"] == list("abcdef")
    matrix = result["confusion"]
    assert [sum(row) for row in matrix] == [1, 1, 1, 1, 1, 0]
    assert sum(matrix[i][i] for i in range(6)) == round(result["top1"] * 5)
    assert (result["model"], result["data"], result["split"]) == (
        *("lenet5_modern", "noise", "validation"),
    )
    assert (result["crops"], result["images"], result["warnings"]) == (1, 5, [])


@pytest.mark.usefixtures("load_calls")
def test_confusion_as_a_table(run, capsys):
    evaluate(run, "--confusion")
    lines = capsys.readouterr().out.splitlines()
    heading = lines.index(next(line for line in lines if line.startswith("class")))
    assert lines[heading].split() == ["class", *(f"{w}" for i in range(6) for w in ("as", i))]
    rows = [line.split() for line in lines[heading + 1 :]]
    assert [row[:2] for row in rows] == [[str(i), name] for i, name in enumerate("abcdef")]
    assert sum(int(count) for row in rows for count in row[2:]) == 20


@pytest.mark.usefixtures("load_calls")
def test_classes_as_a_table(run, capsys):
    evaluate(run, "--per-class")
    lines = capsys.readouterr().out.splitlines()
    heading = lines.index(next(line for line in lines if line.startswith("class")))
    headings = ("class", "precision, %", "recall, %", "F1, %", "images")
    assert lines[heading].split() == " ".join(headings).split()
    rows = [line.split() for line in lines[heading + 1 :]]
    assert [row[0] for row in rows] == list("abcdef")
    assert [int(row[-1]) for row in rows] == [4, 4, 3, 3, 3, 3]


@pytest.mark.usefixtures("load_calls")
def test_metrics_of_classes_in_json(run, capsys):
    evaluate(run, "--per-class", "--format=json")
    result = json.loads(capsys.readouterr().out)
    recalls = [row["recall"] for row in result["per_class"]]
    assert result["balanced_accuracy"] == pytest.approx(sum(recalls) / 6)
    assert result["f1"] == pytest.approx(sum(row["f1"] for row in result["per_class"]) / 6)
    assert result["majority_share"] == 0.2
    assert 0 < result["ece"] < 1


@pytest.mark.slow
@pytest.mark.usefixtures("load_calls")
def test_predictions_are_written_once(run, tmp_path, capsys):
    file = tmp_path / "predictions.csv"
    evaluate(run, f"--predictions={file}", "--top=2")
    heading, *rows = file.read_text().splitlines()
    columns = "index,label,prediction,correct,confidence,error"
    assert heading == f"{columns},class_1,probability_1,class_2,probability_2"
    assert len(rows) == 20
    assert f"predictions: {file}\n" in capsys.readouterr().err
    assert main(["evaluate", str(run), f"--predictions={file}"]) == 2
    error = f"error: --predictions {str(file)!r} exists; give --overwrite, or another name.\n"
    assert capsys.readouterr().err == error
    evaluate(run, f"--predictions={file}", "--overwrite")
    assert file.read_text().splitlines()[0].endswith(",class_5,probability_5")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--predictions=x.txt"], "'x.txt' has no valid extension; give a .csv, .jsonl or .parq"),
        (["--predictions=nowhere/x.csv"], "is in a folder that does not exist; create it"),
        (["--predictions=."], "'.' is a directory; give the name of a file"),
        (["--top=3"], "--top is for --predictions FILE; give that too, or leave out --top"),
        (["--predictions=x.csv", "--top=0"], "'0' is not a whole number of at least 1"),
    ],
)
def test_errors_about_predictions_are_found_first(arguments, message, run, capsys):
    assert main(["evaluate", str(run), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.usefixtures("load_calls")
def test_predictions_that_cannot_be_written(run, tmp_path, capsys, monkeypatch):
    def fail(path, result):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flax_vision.evaluation.prediction_file.write_predictions", fail)
    assert main(["evaluate", str(run), f"--predictions={tmp_path / 'x.csv'}"]) == 2
    assert "x.csv' cannot be written (No space left on device); correct" in capsys.readouterr().err


@pytest.fixture(scope="module")
def second(run, metadata, variables, tmp_path_factory):
    """Another run on the same data, with other weights."""
    directory = tmp_path_factory.mktemp("second")
    shutil.copy(run / "config.json", directory)
    tripled = jax.tree.map(lambda x: x * 3, variables)
    saved_model.save(directory / "export", metadata, tripled)
    return directory


@pytest.mark.slow
@pytest.mark.usefixtures("load_calls")
def test_ensemble_as_a_table(run, second, tmp_path, capsys):
    file = tmp_path / "predictions.csv"
    evaluate(run, str(second), "--protocol=center,ten_crop", f"--predictions={file}", "--top=1")
    members, result = (part.splitlines() for part in capsys.readouterr().out.split("\n\nmodel ", 1))
    headings = "directory model protocol top-1, % top-5, % cross-entropy calibration error, %"
    assert members[0].split() == headings.split()
    rows = [line.split() for line in members[1:5]]
    assert [row[:3] for row in rows] == [
        [str(path), "lenet5_modern", protocol]
        for path in (run, second)
        for protocol in ("center", "ten_crop")
    ]
    mean = re.split("  +", members[-1])
    assert mean[:3] == ["mean of the posteriors", "2 x lenet5_modern", "center,ten_crop"]
    top1 = next(line for line in result if line.startswith("top-1 "))
    assert mean[3] == top1.split()[1].rstrip("%")
    assert "crops per image" in str(result)
    assert len(file.read_text().splitlines()) == 21


@pytest.mark.slow
@pytest.mark.usefixtures("load_calls")
def test_ensemble_in_json(run, second, capsys):
    evaluate(run, str(second), "--format=json", "--confusion")
    result = json.loads(capsys.readouterr().out)
    assert (result["model"], result["crops"], result["images"]) == ("2 x lenet5_modern", 2, 20)
    assert sum(map(sum, result["confusion"])) == 20
    assert [member.pop("path") for member in result["members"]] == [str(run), str(second)]
    for member in result["members"]:
        assert member.keys() == result.keys() - {"members", "confusion", "class_names"}
        assert (member["model"], member["crops"]) == ("lenet5_modern", 1)
    assert len({member["cross_entropy"] for member in result["members"]}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no model in 'nowhere'"),
        (["--protocol=center,dense"], "no fully convolutional form"),
        (["--protocol=center,center"], "'center,center' has 'center' twice; give it once"),
        (["--protocol=center,ten"], "unknown protocol 'ten'; did you mean 'ten_crop'? Valid: "),
    ],
)
def test_mistakes_in_an_ensemble(arguments, message, run, capsys):
    assert main(["evaluate", str(run), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not captured.out


@pytest.mark.usefixtures("load_calls")
def test_markdown(run, capsys):
    evaluate(run, "--format=markdown")
    assert capsys.readouterr().out.startswith("| model | lenet5_modern |\n| --- | --- |\n")


def test_warnings_are_on_the_error_output(run, noise, replace_dataset, capsys):
    replace_dataset(class_names=[*noise.class_names[:5], "z"])
    evaluate(run, "--format=json")
    captured = capsys.readouterr()
    (warning,) = json.loads(captured.out)["warnings"]
    assert captured.err.endswith(f"warning: {warning}\n")


@pytest.mark.usefixtures("load_calls")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol=dense"], "no fully convolutional form"),
        (["--protocol=ten_crop", "--scales", "7"], "a scale is 7"),
        (["--scales", "9"], "--scales is for the other protocols"),
    ],
)
def test_mistakes(arguments, message, run, capsys):
    assert main(["evaluate", str(run), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not captured.out


def test_directory_without_a_model(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "nowhere")]) == 2
    assert "no model in" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--protocol=centre"], ["--split=tset"], ["--batch-size=0"]])
def test_invalid_values(arguments, capsys):
    assert main(["evaluate", "runs/lenet5", *arguments]) == 2
    message = capsys.readouterr().err
    assert repr(arguments[0].partition("=")[2]) in message
    assert message.endswith("; see `flax-vision evaluate --help`.\n")
    assert message.count("\n") == 1


def test_help_explains_every_protocol(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", "--help"])
    text = capsys.readouterr().out
    assert evaluate_command.PROTOCOLS == NAMES
    assert all(f"\n  {name} " in text for name in NAMES)


PROGRAM = """
from flax_vision.cli import evaluate, main

run = evaluate.run

def announced_run(options):
    print("ready", flush=True)
    run(options)

evaluate.run = announced_run
main.main()
"""


@pytest.mark.slow
def test_ctrl_c_ends_the_command_without_a_traceback(run):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "evaluate", str(run), "--data=mnist_5k"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "FLAX_VISION_ALLOCATOR": "system"},  # the process is not restarted
        text=True,
        # A shell's background jobs, such as these tests, may ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process.stdout.readline()
    time.sleep(0.2)  # the imports take longer
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in error
