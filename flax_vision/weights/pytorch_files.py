"""State dictionaries in PyTorch's files."""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from flax_vision.errors import UserError

NEEDS_PYTORCH = "which needs {library}: pip install {library}"

_OLDEST = (2, 7)
"""Of PyTorch: it tells where in a file a tensor is."""

_CULPRIT = re.compile(r"(?:GLOBAL|Unsupported class) ([\w.]+)")
"""In PyTorch's error, the function or class that a pickle names."""

_ADVICE = re.compile(r"\. | Check the documentation")
"""Begins what PyTorch's error says besides."""

_LAYOUT = Path(__file__).with_name("pytorch_layout.py")


def read_pth(path: Path) -> Mapping[str, Any]:
    """Returns what a file has that `torch.save` wrote, with `weights_only=True`: nothing is run.

    Tensors are views of the mapped file, read when they are used. Files of before PyTorch 1.6, and
    those that another program compressed or packed again, cannot be mapped: of these they are
    tensors on the CPU. The archive's checksums are compared first; the oldest files have none.

    Args:
      path: of a `.pth` or `.pt` file.

    Raises:
      UserError: PyTorch is missing or too old; or the file is unreadable, damaged, not a PyTorch
        file, or holds more than a mapping of tensors, numbers and texts.
    """
    _check_pytorch(path)
    try:
        _check_crc(path)
        found = _mapped(path) if _can_be_mapped(path) else _loaded(path)
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read ({error}).") from error
    if not isinstance(found, Mapping):
        kind = "Tensor" if isinstance(found, np.ndarray) else type(found).__name__
        kind = found if isinstance(found, str) else kind
        raise UserError(
            f"{str(path)!r} holds a {kind}; save the network's state_dict() with torch.save."
        )
    return found


def _check_pytorch(path: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        needed = NEEDS_PYTORCH.format(library="torch")
        raise UserError(f"{str(path)!r} is PyTorch's, {needed}.")
    version = importlib.metadata.version("torch")
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        raise UserError(
            f"{str(path)!r} is PyTorch's, of which 2.7 or later is needed, and {version} is "
            "installed: pip install --upgrade torch."
        )


def _check_crc(path: Path) -> None:
    """Raises a UserError if a record of an archive does not match its checksum."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # zipfile raises many types for damaged headers, even OSError
        raise _not_of_pytorch(path, type(error).__name__, str(error)) from error
    if damaged is not None:
        raise UserError(
            f"{str(path)!r} is damaged: {damaged!r} in it does not fit its checksum; download or "
            "save the file again."
        )


def _can_be_mapped(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(item.compress_type == zipfile.ZIP_STORED for item in archive.infolist())


def _mapped(path: Path) -> Any:
    """Returns what a file has, its tensors as views of the mapped file where PyTorch put them."""
    command = [sys.executable, str(_LAYOUT), str(path.absolute())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise _not_of_pytorch(path, "", (done.stderr.strip().splitlines() or ["killed"])[-1])
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise _not_of_pytorch(path, *answer["error"])
    if "found" not in answer:
        return _loaded(path)
    content = np.memmap(path, np.uint8, "r")

    def filled(value: Any) -> Any:
        tensor = value.get("tensor") if isinstance(value, dict) else None
        if isinstance(tensor, dict) and "offset" in tensor:
            place = tensor["offset"], tensor["strides"]
            return np.ndarray(tensor["shape"], jnp.dtype(tensor["dtype"]), content, *place)
        if isinstance(value, dict):
            return {key: filled(x) for key, x in value.items()}
        return value

    return filled(answer["found"])


def _loaded(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are no state dictionary
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of a file that is none, PyTorch's readers raise anything
        raise _not_of_pytorch(path, type(error).__name__, str(error)) from error


def _not_of_pytorch(path: Path, kind: str, message: str) -> UserError:
    message = " ".join(message.split())
    if culprit := _CULPRIT.search(message):
        return UserError(
            f"{str(path)!r} holds more than tensors ({culprit[1].rstrip('.')}), and reading that "
            "would run code; nothing was run. Save the network's state_dict() by itself with "
            "torch.save."
        )
    reason = message.partition("WeightsUnpickler error: ")[2] or message
    reason = ": ".join(filter(None, [kind, _ADVICE.split(reason)[0][:200]]))
    return UserError(
        f"{str(path)!r} is damaged, or no file of PyTorch's ({reason}); save the network's "
        "state_dict() with torch.save, or give a .safetensors file."
    )
