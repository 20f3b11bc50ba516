"""Where the tensors of a file of PyTorch's lie in it: `python pytorch_layout.py FILE` prints JSON.

A program of its own, for PyTorch takes half a gigabyte of memory, and gives it back at its end
only. Tensors become `{"tensor": {"dtype", "shape", "strides", "offset"}}`, the last two in bytes;
other objects than mappings, numbers and texts the names of their types.

PyTorch does not look where a storage is, but computes where its own writer puts it, and another
program may have packed the archive again: what is computed is compared with the archive's records.
"""

import json
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode


class _ElsewhereError(Exception):
    """A storage is not where PyTorch says, or not of that size."""


def _layout(value: Any, records: Mapping[int, int]) -> Any:
    if isinstance(value, torch.Tensor):
        size, storage = value.element_size(), value.untyped_storage()
        # Of a storage that was loaded without its content, since PyTorch 2.7.
        start: Any = storage._checkpoint_offset
        if records.get(start) != storage.nbytes():
            raise _ElsewhereError
        tensor = {
            "dtype": str(value.dtype).removeprefix("torch."),
            "shape": list(value.shape),
            "strides": [size * stride for stride in value.stride()],
            "offset": start + size * value.storage_offset(),
        }
        return {"tensor": tensor}
    if isinstance(value, Mapping):
        return {str(key): _layout(x, records) for key, x in value.items()}
    return value if isinstance(value, str | int | float) else type(value).__name__


def _records(path: str) -> dict[int, int]:
    """Returns the size in bytes of each record of an archive, by where in the file it begins."""
    reader: Any = torch._C.PyTorchFileReader(path)  # whose types leave methods out
    names = reader.get_all_records()
    return {reader.get_record_offset(name): reader.get_record_size(name) for name in names}


def main(path: str) -> None:
    """Prints the layout of a file, `{"error": [TYPE, MESSAGE]}`, or `{}` if it cannot be told."""
    warnings.simplefilter("ignore")  # of pickles that are no state dictionary
    try:
        with FakeTensorMode():
            found = torch.load(path, map_location="cpu", weights_only=True)
        answer = {"found": _layout(found, _records(path))}
    except _ElsewhereError:
        answer = {}
    except Exception as error:  # of a file that is none, PyTorch's readers raise anything
        answer = {"error": [type(error).__name__, str(error)]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
