"""Arrays in memory as the images of an evaluation."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flax_vision.data.custom_datasets import ARRAYS, arrays_in_memory
from flax_vision.data.fingerprint import split_fingerprints
from flax_vision.data.splits import Source, read_splits
from flax_vision.errors import UserError
from flax_vision.weights.model_metadata import ModelMetadata
from flax_vision.weights.run_files import read_dataset


@contextlib.contextmanager
def named_arrays(
    options: Mapping[str, Any], metadata: ModelMetadata, config: Mapping[str, Any], split: str
) -> Iterator[dict[str, Any]]:
    """Yields options in which a name replaces arrays in memory; it is valid within the block.

    Args:
      options: Options of the images, as in `DataOptions`.
      metadata: Description of the model. Labels are numbers or names of its classes.
      config: Data configuration of the run.
      split: Split to test.

    Raises:
      UserError: The images or labels are not valid.
    """
    data = options.get("data")
    if data is None or isinstance(data, str):
        yield dict(options)
        return
    is_named = isinstance(data, Mapping) and "class_names" in data
    has_own_names = is_named or bool(config.get("classes"))
    with arrays_in_memory(data, None if has_own_names else metadata.class_names, split):
        yield {**options, "data": ARRAYS}


def are_run_arrays(directory: Path, fields: Mapping[str, Any], classes: Sequence[str]) -> bool:
    """Returns whether the arrays in memory have the splits of a run, as its record has them.

    Args:
      directory: Run directory.
      fields: Fields of the `Source` of the run.
      classes: Chosen classes of the run; empty for all.

    Raises:
      UserError: The run's record of its images cannot be read.
    """
    source = Source(ARRAYS, **fields, classes=classes)
    try:
        splits = read_splits(source, lambda what, done, total: None)
    except UserError:
        return False  # for example too few images for these shares
    recorded = read_dataset(directory, "delete it to continue without comparing the images")
    return split_fingerprints(splits) == recorded
