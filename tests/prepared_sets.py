"""Preparation of small sets in tests."""

from pathlib import Path

from flax_vision.data.prepare.preparation import Preparation


def ignore(task, done, total):
    """Ignores progress."""


def prepare(name, folder, directory, on_progress=ignore):
    """Prepares a set as the command does, and returns its directory and the counts."""
    preparation = Preparation(name, str(directory), str(folder))
    with preparation.lock():
        preparation.check_disk_space()
        counts = preparation.write(preparation.obtain_files(ignore), on_progress)
    return preparation.path, counts


def content(directory):
    """Returns the files of a set by name."""
    return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def tfds_content(directory):
    """Returns the files of a set that TFDS writes too; it writes no file of labels."""
    files = content(directory).items()
    return {name: x for name, x in files if not name.startswith("flax_vision-labels")}
