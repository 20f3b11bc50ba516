"""Writes, reads and checks trees of arrays."""

import contextlib
import errno
import inspect
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import type_handlers

from flax_vision.errors import UserError
from flax_vision.runtime import multihost
from flax_vision.text import listed

_CHUNK_BYTES, _FILE_BYTES = 1 << 23, 1 << 25
"""Size of a compressed chunk, and size of the buffer that is written at once."""

_HAS_COPY_OPTION = (
    "deepcopy_host_arrays" in inspect.signature(type_handlers.NumpyHandler).parameters
)
_WITHOUT_COPY: dict[str, Any] = {"deepcopy_host_arrays": False} if _HAS_COPY_OPTION else {}
"""Option that keeps Orbax from copying NumPy arrays; Orbax before 0.12 always copies."""

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

_MAX_NAMES = 10
"""Number of arrays of each kind in an error."""

Shape = tuple[int, ...]


def _disk_error(text: str) -> int | None:
    """Returns the number of the disk error in a message of Orbax or TensorStore, if any."""
    return next((number for number in _DISK_ERRORS if os.strerror(number) in text), None)


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Replaces disk errors of Orbax and TensorStore by plain ones.

    Raises:
      UserError: Orbax timed out.
      OSError: The disk cannot be written.
    """
    try:
        yield
    except TimeoutError as error:
        raise UserError(
            f"Orbax waited too long for the disk ({str(error).strip() or 'timed out'}): the disk "
            "hangs, or the clock was changed. Give the same command again."
        ) from error
    except Exception as error:
        number = _disk_error(str(error))
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error


def _is_not_disk_error(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return _disk_error(f"{record.getMessage()} {error}") is None


# Orbax's threads log a page of tracebacks for each disk error, which is raised as well.
logging.getLogger("absl").addFilter(_is_not_disk_error)


def save_tree(path: Path, tree: Any) -> None:
    """Writes a tree of arrays to a new Orbax directory, from one process only.

    NumPy arrays are neither copied nor read at once: views of a mapped file need little memory.

    Raises:
      OSError: The directory cannot be written.
    """
    options = ocp.options.MultiprocessingOptions()
    if multihost.process_count() > 1:
        index = jax.process_index()
        options = ocp.options.MultiprocessingOptions(
            primary_host=index, active_processes={index}, barrier_sync_key_prefix="save_tree"
        )
        tree = jax.device_get(tree)
    registry = type_handlers.create_type_handler_registry(
        (np.ndarray, type_handlers.NumpyHandler(**_WITHOUT_COPY)),
        (jax.Array, type_handlers.ArrayHandler()),
    )
    handler = ocp.PyTreeCheckpointHandler(
        type_handler_registry=registry, multiprocessing_options=options
    )
    save_args = jax.tree.map(lambda _: ocp.SaveArgs(chunk_byte_size=_CHUNK_BYTES), tree)
    args = ocp.args.PyTreeSave(tree, save_args, ocdbt_target_data_file_size=_FILE_BYTES)
    with disk_errors(), ocp.Checkpointer(handler, multiprocessing_options=options) as checkpointer:
        checkpointer.save(path.absolute(), args=args)


def load_tree(path: Path) -> Any:
    """Reads a tree that `save_tree` wrote on any machine onto the first device."""
    with ocp.StandardCheckpointer() as checkpointer:
        saved = checkpointer.metadata(path.absolute()).item_metadata.tree
        return checkpointer.restore(path.absolute(), on_first_device(saved))


def on_first_device(tree: Any) -> Any:
    """Returns the shapes and types of a tree, with the first local device as their sharding."""
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def shape_differences(expected: Mapping[str, Shape], given: Mapping[str, Shape]) -> str:
    """Returns a list of missing, surplus and misshapen arrays; empty for none.

    Args:
      expected: Shapes of the required arrays, by name.
      given: Shapes of the present arrays, by name.
    """
    shared = expected.keys() & given.keys()
    groups = {
        "missing": [f"{key} {list(expected[key])}" for key in expected.keys() - shared],
        "surplus": [f"{key} {list(given[key])}" for key in given.keys() - shared],
        "misshapen": [
            f"{key} {list(given[key])} instead of {list(expected[key])}"
            for key in shared
            if expected[key] != given[key]
        ],
    }
    return "; ".join(
        f"{kind}: {listed(sorted(names), _MAX_NAMES)}" for kind, names in groups.items() if names
    )


def check_finite(arrays: Mapping[str, Any], hint: str) -> None:
    """Raises a UserError if a number in the arrays is not finite.

    Args:
      arrays: Arrays on any device, by name.
      hint: Advice for the error.
    """
    # Sums take less memory than a test of each number, which takes a quarter of the weights'.
    with np.errstate(invalid="ignore"):
        sums = {name: np.sum(np.asarray(x), dtype=np.float64) for name, x in arrays.items()}
    names = [name for name, total in sums.items() if not np.isfinite(total)]
    if names:
        raise UserError(f"not all numbers are finite in {listed(names, _MAX_NAMES)}; {hint}.")
