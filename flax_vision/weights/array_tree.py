"""Trees of arrays on disk, by Orbax."""

import contextlib
import errno
import inspect
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import type_handlers

from flax_vision.errors import UserError
from flax_vision.runtime import multihost

_CHUNK_BYTES, _FILE_BYTES = 1 << 23, 1 << 25
"""Of a tree: what is compressed in one piece, and what is gathered before it is written."""

_HANDLES_COPIES = "deepcopy_host_arrays" in inspect.signature(type_handlers.NumpyHandler).parameters
_UNCOPIED: dict[str, Any] = {"deepcopy_host_arrays": False} if _HANDLES_COPIES else {}
"""Orbax copies NumPy's arrays, for they may be changed while it writes in the background; before
0.12, which jax2onnx asks for, always."""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What a disk may have against being written to."""


def _of_disk(text: str) -> int | None:
    """Returns the number of the disk's error that Orbax or TensorStore tells of, if it does."""
    return next((number for number in _DISK if os.strerror(number) in text), None)


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Replaces the disk errors of Orbax and TensorStore by plain ones.

    Raises:
      UserError: Orbax timed out.
      OSError: The disk cannot be written.
    """
    try:
        yield
    except TimeoutError as error:
        raise UserError(
            f"Orbax waited too long for the disk ({str(error).strip() or 'timed out'}): the disk "
            "hangs, or the clock was changed. Give the same command again to go on."
        ) from error
    except Exception as error:
        number = _of_disk(str(error))
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error


def _is_news(record: logging.LogRecord) -> bool:
    """Returns whether something that Orbax's threads log is not raised as well, as a disk's is."""
    error = record.exc_info[1] if record.exc_info else None
    return _of_disk(f"{record.getMessage()} {error}") is None


logging.getLogger("absl").addFilter(_is_news)  # Orbax's; a page of tracebacks for each error


def save_tree(path: Path, tree: Any) -> None:
    """Writes a tree of arrays to a new directory that any Orbax can read, from one process alone.

    Arrays of NumPy's are neither copied nor read at once, so that views of a mapped file take
    little memory.

    Raises:
      OSError: it could not be written.
    """
    alone = ocp.options.MultiprocessingOptions()
    if multihost.process_count() > 1:
        own = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(
            primary_host=own, active_processes={own}, barrier_sync_key_prefix="save_tree"
        )
        tree = jax.device_get(tree)
    registry = type_handlers.create_type_handler_registry(
        (np.ndarray, type_handlers.NumpyHandler(**_UNCOPIED)),
        (jax.Array, type_handlers.ArrayHandler()),
    )
    handler = ocp.PyTreeCheckpointHandler(
        type_handler_registry=registry, multiprocessing_options=alone
    )
    pieces = jax.tree.map(lambda _: ocp.SaveArgs(chunk_byte_size=_CHUNK_BYTES), tree)
    args = ocp.args.PyTreeSave(tree, pieces, ocdbt_target_data_file_size=_FILE_BYTES)
    with disk_errors(), ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
        checkpointer.save(path.absolute(), args=args)


def load_tree(path: Path) -> Any:
    """Reads what `save_tree` wrote onto the first device, wherever it was written."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with ocp.StandardCheckpointer() as checkpointer:
        saved = checkpointer.metadata(path.absolute()).item_metadata.tree
        abstract = jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=device), saved
        )
        return checkpointer.restore(path.absolute(), abstract)
