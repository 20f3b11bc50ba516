"""Tests of errors about datasets that cannot be opened, without a network."""

import logging
import sys

import pytest
from tiny_tables import table, write_parquet

from flax_vision.data.hub import open_tables
from flax_vision.errors import UserError

datasets = pytest.importorskip("datasets", reason="it is in the extra `hf`")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """An empty cache of `datasets`."""
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(directory))


def ignore(task, done, total):
    """Ignores progress."""


def fails(spec, message):
    with pytest.raises(UserError, match=message) as caught:
        open_tables(f"hf:{spec}", ignore)
    assert "\n" not in str(caught.value)


def test_paths_that_cannot_be_read(tmp_path):
    fails(tmp_path / "nothing", "/nothing' is no file or folder; give hf:PATH of parquet files, or")
    fails("", "dataset 'hf:' does not exist")
    fails("~/no such file.parquet", "is no file or folder")
    fails(tmp_path, "has no .parquet file in it; give a parquet file, a folder")
    (tmp_path / "birds.csv").touch()
    fails(tmp_path / "birds.csv", "birds.csv' is no .parquet file")


@pytest.mark.parametrize("content", [b"", b"PAR1 nothing PAR1", b"short"])
def test_damaged_footer_names_its_file(content, tmp_path):
    write_parquet(tmp_path / "0.parquet", table())
    (tmp_path / "1.parquet").write_bytes(content)
    fails(tmp_path, "/1.parquet' cannot be read .*; write it again or remove it")


def test_damaged_pages(tmp_path):
    content = bytearray(write_parquet(tmp_path / "0.parquet", table()).read_bytes())
    content[4:200] = bytes(196)
    (tmp_path / "0.parquet").write_bytes(content)
    fails(tmp_path, "dataset 'hf:.*' cannot be read .*; write its files again")


def test_files_with_other_columns(tmp_path):
    write_parquet(tmp_path / "0.parquet", table())
    write_parquet(tmp_path / "1.parquet", {"text": ["a"]})
    fails(tmp_path, "dataset 'hf:.*' cannot be read .*; write its files again")


def test_full_disk(tmp_path, monkeypatch):
    def load_dataset(*_, **__):
        raise OSError("Not enough disk space. Needed: 7 GB")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    write_parquet(tmp_path / "0.parquet", table())
    fails(tmp_path, "Not enough disk space. Needed: 7 GB.; free some, or set HF_HOME")


class Stopped(Exception):  # noqa: N818 - not an error
    """Raised after a signal."""


def test_signal_that_arrives_in_the_library(monkeypatch):
    received = []

    def load_dataset(*_):
        received.append("SIGTERM")
        raise datasets.exceptions.DatasetGenerationError("an error occurred") from Stopped()

    def on_progress(task, done, total):
        if received:
            raise Stopped

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(Stopped):
        open_tables("hf:you/birds", on_progress)


def test_damaged_saved_dataset(tmp_path):
    (tmp_path / "state.json").write_text("{")
    fails(tmp_path, "cannot be read .*; save it again")


def test_missing_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    fails("you/birds", r"needs the library datasets.*pip install 'flax_vision\[hf\]'")


NOT_FOUND = datasets.exceptions.DatasetNotFoundError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NOT_FOUND("Dataset 'you/birds' doesn't exist"), "nor a dataset of the Hub that"),
        (NOT_FOUND("Dataset 'you/birds' is a gated dataset"), "is gated; .*run `hf auth login`"),
        (
            ConnectionError("Couldn't reach 'you/birds'\nOffline"),
            "cannot be reached; .*HF_HUB_",
        ),
        (ValueError("Config name is missing."), r"name is missing.*hf:you/birds:CONFIG chooses"),
        (RuntimeError("Dataset scripts are no longer supported"), "no longer supported.; see http"),
    ],
)
def test_errors_of_the_hub(error, message, monkeypatch, caplog):
    def load_dataset(*_):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 8s")
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    fails("you/birds", message)
    assert not caplog.records


def test_configuration_of_a_dataset_of_the_hub(monkeypatch):
    requests = []
    dataset = datasets.Dataset.from_dict({"label": [1]})
    monkeypatch.setattr(datasets, "load_dataset", lambda *x: requests.append(x) or {"dev": dataset})
    assert open_tables("hf:you/birds", ignore) == ({"dev": dataset}, [])
    open_tables("hf:you/birds:small", ignore)
    assert requests == [("you/birds", None), ("you/birds", "small")]
