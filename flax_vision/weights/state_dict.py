"""Reads state dictionaries from safetensors and PyTorch files."""

import importlib.metadata
import importlib.util
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from flax_vision.errors import UserError
from flax_vision.runtime.files import irregular_reason

_SUFFIXES = (".safetensors", ".pth", ".pt")

NEEDS_PYTORCH = "which needs {library}: pip install {library}"

_OLDEST_PYTORCH = (2, 6)
"""First version of PyTorch whose `weights_only=True` runs no code (CVE-2025-32434)."""

_REFUSED = re.compile(r"(?:GLOBAL|Unsupported class) ([\w.]+)")
"""PyTorch's error for a pickle that names a function or class."""

_ADVICE = re.compile(r"\. | Check the documentation")
"""Start of the advice in PyTorch's errors."""

_WRAPPER_KEYS = ("state_dict", "model_state_dict", "model")
"""Keys of the state dictionary in a training checkpoint."""

_PREFIX = "module."
"""Prefix of each name that PyTorch's data parallelism adds."""


def read_state_dict(path: Path) -> dict[str, Any]:
    """Returns the arrays of a file by name, as NumPy arrays or PyTorch tensors on the CPU.

    A state dictionary under `state_dict`, `model_state_dict` or `model` is unwrapped, and a
    `module.` before every name is removed. No code in a `.pth` file runs.

    Args:
      path: Path of a `.safetensors`, `.pth` or `.pt` file.

    Raises:
      UserError: The file is missing, is damaged, has more than arrays, or needs PyTorch, which is
        not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UserError(
            f"{str(path)!r} ends with none of {', '.join(_SUFFIXES)}; give such a file, or "
            "torchvision:NAME for weights that torchvision can download, such as "
            "torchvision:DEFAULT."
        )
    if not path.is_file():
        problem = irregular_reason(path).removeprefix("it ") or "does not exist"
        raise UserError(f"{str(path)!r} {problem}; give a file with the weights.")
    state_dict = _read_safetensors(path) if suffix == ".safetensors" else _read_pth(path)
    for key in _WRAPPER_KEYS:
        if isinstance(state_dict.get(key), Mapping):
            state_dict = state_dict[key]
    if all(str(name).startswith(_PREFIX) for name in state_dict):
        return {name.removeprefix(_PREFIX): x for name, x in state_dict.items()}
    return dict(state_dict)


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        path.open("rb").close()  # safetensors reports an unreadable file as missing
        with safe_open(path, "numpy") as file:
            sizes = {name: np.prod(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        # Mapped pages stay in memory until the file is closed, so each array opens it again. The
        # largest comes first, when least memory is in use.
        arrays = {name: _read_array(path, name) for name in sorted(sizes, key=lambda n: -sizes[n])}
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read ({error.strerror or error}).") from error
    except (SafetensorError, TypeError, AttributeError) as error:
        # The last two are for types that NumPy does not have.
        raise UserError(
            f"{str(path)!r} is damaged, or not a safetensors file of NumPy types ({error}); save "
            "it again, in float32, or give the .pth file."
        ) from error
    return {name: arrays[name] for name in sizes}


def _read_array(path: Path, name: str) -> np.ndarray:
    with safe_open(path, "numpy") as file:
        array: np.ndarray = file.get_tensor(name)
    return array


def _read_pth(path: Path) -> Mapping[str, Any]:
    """Reads a file that `torch.save` wrote, with `weights_only=True`: no code in it runs.

    Tensors are views of the mapped file and are read on first use. Files from before PyTorch 1.6
    and compressed archives cannot be mapped and are read into memory.
    """
    _check_pytorch(path)
    content = _load_pth(path, mmap=_check_archive(path))
    if not isinstance(content, Mapping):
        raise UserError(
            f"{str(path)!r} holds a {type(content).__name__}; save the model's state_dict() with "
            "torch.save."
        )
    return content


def _check_pytorch(path: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        needed = NEEDS_PYTORCH.format(library="torch")
        raise UserError(f"{str(path)!r} is a PyTorch file, {needed}.")
    version = importlib.metadata.version("torch")
    if tuple(map(int, version.split(".")[:2])) < _OLDEST_PYTORCH:
        raise UserError(
            f"{str(path)!r} needs PyTorch 2.6 or later, which runs no code in files; {version} is "
            "installed: pip install --upgrade torch."
        )


def _check_archive(path: Path) -> bool:
    """Compares the checksums of an archive, which PyTorch ignores.

    Returns:
      Whether the file can be mapped: it is an archive without compression.

    Raises:
      UserError: The archive is damaged.
    """
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            is_stored = all(x.compress_type == zipfile.ZIP_STORED for x in archive.infolist())
    except Exception as error:  # zipfile raises many types for damaged headers, even OSError
        raise _not_pytorch(path, error) from error
    if damaged is not None:
        raise UserError(
            f"{str(path)!r} is damaged: the checksum of {damaged!r} in it does not match; download "
            "or save the file again."
        )
    return is_stored


def _load_pth(path: Path, mmap: bool) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns about pickles of other objects
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read ({error}).") from error
    except Exception as error:  # PyTorch raises many types for damaged and other files
        raise _not_pytorch(path, error) from error


def _not_pytorch(path: Path, error: Exception) -> UserError:
    message = " ".join(str(error).split())
    if refused := _REFUSED.search(message):
        return UserError(
            f"{str(path)!r} holds more than tensors ({refused[1].rstrip('.')}), and reading that "
            "would run code; nothing was run. Save the model's state_dict() alone with torch.save."
        )
    reason = message.partition("WeightsUnpickler error: ")[2] or message
    reason = ": ".join(filter(None, [type(error).__name__, _ADVICE.split(reason)[0][:200]]))
    return UserError(
        f"{str(path)!r} is damaged, or not a PyTorch file ({reason}); save the model's "
        "state_dict() with torch.save, or give a .safetensors file."
    )
