"""Writes the predictions of an evaluation into a CSV, JSON Lines or Parquet file."""

import csv
import importlib.util
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flax_vision.errors import UserError
from flax_vision.evaluation.evaluation_result import Evaluation
from flax_vision.runtime.files import replaced_file
from flax_vision.text import encodable

_ROWS = 10_000
"""Number of rows in a group of a Parquet file."""

Row = Mapping[str, Any]
"""Values of an image by column; None for an unknown value."""


def check_extension(path: Path) -> None:
    """Checks the format of a file, before an evaluation takes long.

    Raises:
      UserError: The extension is unknown, or the format needs a missing package.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"--predictions {str(path)!r} has no valid extension; give a {_EXTENSIONS} file."
        )
    if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            f"--predictions {str(path)!r} needs pyarrow, which is not installed: "
            "pip install 'flax_vision[parquet]', or give a .csv file."
        )


def write_predictions(path: Path, result: Evaluation) -> None:
    """Writes a row for each image of an evaluation, in the order of the split.

    Columns:
      path: Path of the file, relative to the folder of the images; `index`, the position in the
        split, for other images.
      label, prediction: Names of the true and the predicted class.
      correct: Whether the two classes are the same.
      confidence: Probability of the prediction.
      error: Reason why an image cannot be read; then other values are unknown.
      class_1, probability_1, ...: The most probable classes and their probabilities.

    Args:
      path: File to write; its extension is one of `FORMATS`. It replaces an old file atomically.
      result: The evaluation.

    Raises:
      UserError: The extension is unknown, or the format needs a missing package.
      OSError: The file cannot be written.
    """
    check_extension(path)
    columns = _columns(result)
    with replaced_file(path) as unfinished:
        FORMATS[path.suffix.lower()](unfinished, columns, _rows(result, columns))


def _columns(result: Evaluation) -> dict[str, type]:
    """Returns the types of the columns by their names."""
    columns: dict[str, type] = {"path": str} if result.paths else {"index": int}
    columns |= {"label": str, "prediction": str, "correct": bool, "confidence": float, "error": str}
    for rank in range(1, result.top_classes.shape[1] + 1):
        columns |= {f"class_{rank}": str, f"probability_{rank}": float}
    return columns


def _rows(result: Evaluation, columns: Mapping[str, type]) -> Iterator[Row]:
    """Yields the rows of all images, in the order of the split."""
    names = [encodable(name) for name in result.class_names]
    unknown = dict.fromkeys(columns)
    unreadable = {image.index: image for image in result.unreadable}
    readable = _readable_rows(result, names)
    for index in range(result.images + len(unreadable)):
        key = {"path": encodable(result.paths[index])} if result.paths else {"index": index}
        if index in unreadable:
            image = unreadable[index]
            label = names[image.label] if image.label >= 0 else None  # of a damaged record
            yield unknown | key | {"label": label, "error": encodable(image.reason)}
        else:
            yield unknown | key | next(readable)


def _readable_rows(result: Evaluation, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields the columns about the prediction, for each readable image."""
    arrays = result.labels, result.predicted, result.confidence
    for row, (label, predicted, confidence) in enumerate(zip(*arrays, strict=True)):
        values = {
            "label": names[label],
            "prediction": names[predicted],
            "correct": bool(label == predicted),
            "confidence": _shortest(confidence),
        }
        top = zip(result.top_classes[row], result.top_probabilities[row], strict=True)
        for rank, (index, probability) in enumerate(top, 1):
            values |= {f"class_{rank}": names[index], f"probability_{rank}": _shortest(probability)}
        yield values


def _shortest(value: np.float32) -> float:
    """Returns the shortest decimal number that equals this one in single precision."""
    return float(str(value))


def _write_csv(path: Path, columns: Mapping[str, type], rows: Iterator[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_jsonl(path: Path, columns: Mapping[str, type], rows: Iterator[Row]) -> None:
    del columns
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows)


def _write_parquet(path: Path, columns: Mapping[str, type], rows: Iterator[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types = {str: pa.string(), int: pa.int64(), bool: pa.bool_(), float: pa.float32()}
    schema = pa.schema({name: types[kind] for name, kind in columns.items()})
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(itertools.islice(rows, _ROWS)):
            writer.write_batch(pa.RecordBatch.from_pylist(group, schema))


FORMATS: Mapping[str, Callable[[Path, Mapping[str, type], Iterator[Row]], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
"""Functions that write a file, by its extension."""

_EXTENSIONS = ".csv, .jsonl or .parquet"
