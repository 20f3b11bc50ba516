"""Predictions of an evaluation, written as CSV, JSON Lines and Parquet."""

import csv
import importlib.util
import json

import numpy as np
import pytest
from pyarrow import parquet

from flax_vision.errors import UserError
from flax_vision.evaluation.class_metrics import ClassCounts
from flax_vision.evaluation.evaluation_result import Evaluation, UnreadableImage
from flax_vision.evaluation.prediction_file import FORMATS, write_predictions

CLASSES = ["cat, big", "dög", "bad \udcff"]
ABSENT = {"prediction": None, "correct": None, "confidence": None}


def evaluation(paths=(), unreadable=(), top=2):
    count = 3
    return Evaluation(
        **{"model": "lenet5", "data": "noise", "split": "test", "protocol": "center"},
        **{"scales": (), "top1": 2 / 3, "top5": None, "cross_entropy": 1.0, "images": count},
        **{"crops": 1, "crops_computed": 1, "seconds": 1.0, "compile_seconds": 1.0},
        class_names=CLASSES,
        labels=np.array([0, 1, 1], np.int32),
        predicted=np.array([0, 1, 2], np.int32),
        confidence=np.array([0.9, 0.5, 0.1], np.float32),
        top_classes=np.array([[0, 1], [1, 0], [2, 1]], np.int32)[:, :top],
        top_probabilities=np.array([[0.9, 0.05], [0.5, 0.3], [0.1, 0.1]], np.float32)[:, :top],
        indices=np.array([0, 2, 3] if unreadable else [0, 1, 2]),
        paths=paths,
        unreadable=unreadable,
        counts=ClassCounts(*[np.zeros(3)] * 6),
        warnings=[],
    )


FILES = evaluation(
    paths=["a/0.png", "a/\udcfe.png", "b/1.png", "b/2.png"],
    unreadable=[UnreadableImage(1, 0, "it is cut")],
)
EXPECTED = [
    {"path": "a/0.png", "label": "cat, big", "prediction": "cat, big", "correct": True}
    | {"confidence": 0.9, "error": None, "class_1": "cat, big", "probability_1": 0.9}
    | {"class_2": "dög", "probability_2": 0.05},
    {"path": r"a/\udcfe.png", "label": "cat, big", **ABSENT, "error": "it is cut"}
    | {"class_1": None, "probability_1": None, "class_2": None, "probability_2": None},
    {"path": "b/1.png", "label": "dög", "prediction": "dög", "correct": True}
    | {"confidence": 0.5, "error": None, "class_1": "dög", "probability_1": 0.5}
    | {"class_2": "cat, big", "probability_2": 0.3},
    {"path": "b/2.png", "label": "dög", "prediction": r"bad \udcff", "correct": False}
    | {"confidence": 0.1, "error": None, "class_1": r"bad \udcff", "probability_1": 0.1}
    | {"class_2": "dög", "probability_2": 0.1},
]


def test_json_lines(tmp_path):
    write_predictions(tmp_path / "file.jsonl", FILES)
    lines = (tmp_path / "file.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == EXPECTED


def test_csv(tmp_path):
    write_predictions(tmp_path / "file.CSV", FILES)
    with (tmp_path / "file.CSV").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {key: "" if value is None else str(value) for key, value in row.items()} for row in EXPECTED
    ]


def test_parquet(tmp_path):
    write_predictions(tmp_path / "file.parquet", FILES)
    rows = parquet.read_table(tmp_path / "file.parquet").to_pylist()
    assert rows == [
        {k: float(np.float32(v)) if isinstance(v, float) else v for k, v in row.items()}
        for row in EXPECTED
    ]


@pytest.mark.parametrize("suffix", FORMATS)
def test_images_in_memory_have_indices(suffix, tmp_path):
    path = tmp_path / f"file{suffix}"
    write_predictions(path, evaluation(top=0))
    if suffix == ".parquet":
        table = parquet.read_table(path)
        names, first = table.column_names, table.column("index").to_pylist()
    elif suffix == ".csv":
        heading, *lines = path.read_text("utf-8").splitlines()
        names, first = heading.split(","), [int(line.partition(",")[0]) for line in lines]
    else:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        names, first = list(rows[0]), [row["index"] for row in rows]
    assert names == ["index", "label", "prediction", "correct", "confidence", "error"]
    assert first == [0, 1, 2]


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("old")
    with pytest.raises(IndexError):
        write_predictions(path, evaluation(paths=["only one"]))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs pyarrow.*: pip install 'flax_vision\[parquet\]'"):
        write_predictions(tmp_path / "file.parquet", FILES)
    write_predictions(tmp_path / "file.csv", FILES)
