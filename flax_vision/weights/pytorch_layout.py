"""Where the tensors of a file of PyTorch's lie in it: `python pytorch_layout.py FILE` prints JSON.

A program of its own, for PyTorch takes half a gigabyte of memory, and gives it back at its end
only. Tensors become `{"tensor": {"dtype", "shape", "strides", "offset"}}`, the last two in bytes;
other objects than mappings, numbers and texts the names of their types.
"""

import json
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode


def _layout(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        size = value.element_size()
        # Of a storage that was loaded without its content, since PyTorch 2.7.
        start: Any = value.untyped_storage()._checkpoint_offset
        tensor = {
            "dtype": str(value.dtype).removeprefix("torch."),
            "shape": list(value.shape),
            "strides": [size * stride for stride in value.stride()],
            "offset": start + size * value.storage_offset(),
        }
        return {"tensor": tensor}
    if isinstance(value, Mapping):
        return {str(key): _layout(x) for key, x in value.items()}
    return value if isinstance(value, str | int | float) else type(value).__name__


def main(path: str) -> None:
    """Prints the layout of a file, or `{"error": [TYPE, MESSAGE]}`."""
    warnings.simplefilter("ignore")  # of pickles that are no state dictionary
    try:
        with FakeTensorMode():
            found = torch.load(path, map_location="cpu", weights_only=True)
        answer = {"found": _layout(found)}
    except Exception as error:  # of a file that is none, PyTorch's readers raise anything
        answer = {"error": [type(error).__name__, str(error)]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
