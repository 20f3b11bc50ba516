"""State dictionaries in other libraries' files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from flax_vision.errors import UserError
from flax_vision.runtime.regular_files import irregular_reason
from flax_vision.weights.pytorch_files import read_pth

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs put a state dictionary beside other things."""

_PREFIX = "module."
"""Of every name, where PyTorch's data parallelism wrapped the network."""


def read_state_dict(path: Path) -> dict[str, Any]:
    """Returns the arrays in a file by their names, as NumPy arrays or tensors on the CPU.

    Where a training program put the state dictionary under `state_dict`, `model_state_dict` or
    `model`, that is taken, and a `module.` before every name is left out. Of a `.pth` file nothing
    is run; see `read_pth`.

    Args:
      path: ends with `.safetensors`, `.pth` or `.pt`.

    Raises:
      UserError: there is no such file, it is not what its name says, it holds more than arrays, or
        PyTorch is needed and not there.
    """
    readers: dict[str, Callable[[Path], Mapping[str, Any]]] = {
        ".safetensors": _read_safetensors,
        ".pth": read_pth,
        ".pt": read_pth,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{str(path)!r} ends with none of {', '.join(readers)}; give such a file, or "
            "torchvision:NAME for weights that torchvision can download, such as "
            "torchvision:DEFAULT."
        )
    if not path.is_file():
        problem = irregular_reason(path).removeprefix("it ") or "does not exist"
        raise UserError(f"{str(path)!r} {problem}; give a file with the weights.")
    found = reader(path)
    for key in _WRAPPERS:
        if isinstance(found.get(key), Mapping):
            found = found[key]
    names = list(found)
    if names and all(str(name).startswith(_PREFIX) for name in names):
        return {name.removeprefix(_PREFIX): found[name] for name in names}
    return dict(found)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        path.open(
            "rb"
        ).close()  # safetensors takes one that may not be read for one that is not there
        with safe_open(path, "numpy") as file:
            sizes = {name: np.prod(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        # The largest first, for what is mapped stays in memory until the file is closed.
        arrays = {name: _read_tensor(path, name) for name in sorted(sizes, key=lambda n: -sizes[n])}
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read ({error.strerror or error}).") from error
    except (SafetensorError, TypeError, AttributeError) as error:
        # The latter two for types that NumPy has not.
        raise UserError(
            f"{str(path)!r} is damaged, or no safetensors file of NumPy's types ({error}); save it "
            "again, in float32, or give the .pth file."
        ) from error
    return {name: arrays[name] for name in sizes}


def _read_tensor(path: Path, name: str) -> np.ndarray:
    with safe_open(path, "numpy") as file:
        array: np.ndarray = file.get_tensor(name)
    return array
