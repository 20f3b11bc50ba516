"""Downloads the weights that torchvision publishes, with their preprocessing and class names."""

import importlib.util
import runpy
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError, unknown
from flax_vision.weights.state_dict import NEEDS_PYTORCH, read_state_dict
from flax_vision.weights.torchvision_modules import torchvision_name

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Statistics of ImageNet's pixels from 0 to 1 in torchvision's models."""

_TIMEOUT = 30.0
"""Longest wait for a server, in seconds."""


@dataclass(frozen=True)
class Transforms:
    """Preprocessing of an image for a torchvision model.

    Attributes:
      resize: Length of the shorter side after the resize.
      crop: Height and width of the center crop.
      mean: Mean of each channel, for pixels from 0 to 1.
      std: Standard deviation of each channel, for pixels from 0 to 1.
      transform_input: Whether GoogLeNet maps pixels to (x - 0.5) / 0.5, as its weights came from
        TensorFlow; replaces `mean` and `std`.
    """

    resize: int = 256
    crop: int = 224
    mean: Sequence[float] = _MEAN
    std: Sequence[float] = _STD
    transform_input: bool = False

    @property
    def crop_policy(self) -> CropPolicy:
        """Crop of the image."""
        return CropPolicy(self.crop, self.resize, (self.resize, self.resize), as_torchvision=True)

    @property
    def preprocessing(self) -> Preprocessing:
        """Normalization of pixels from 0 to 255."""
        if self.transform_input:
            return Preprocessing([127.5], [127.5])
        mean, std = ([round(255 * x, 6) for x in values] for values in (self.mean, self.std))
        return Preprocessing(mean, std)


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights of a torchvision model.

    Attributes:
      state_dict: Tensors by name.
      transforms: Preprocessing of images.
      class_names: Names of the classes; None if torchvision has no names.
    """

    state_dict: dict[str, Any]
    transforms: Transforms
    class_names: Sequence[str] | None


def load_pretrained(name: str, weights: str) -> PretrainedWeights:
    """Returns torchvision's weights for a model, and downloads them on first use.

    Args:
      name: Name of the model.
      weights: Name of the weights: `"IMAGENET1K_V1"`, `"DEFAULT"` or
        `"ResNet50_Weights.IMAGENET1K_V1"`, for example.

    Raises:
      UserError: torchvision lacks the model or the weights, it is not installed, or the download
        failed.
    """
    builder = torchvision_name(name)
    chosen = _find_weights(builder, weights)
    preset = chosen.transforms()
    (resize,), (crop,), mean, std = preset.resize_size, preset.crop_size, preset.mean, preset.std
    transforms = Transforms(resize, crop, mean, std, transform_input=builder == "googlenet")
    state_dict = read_state_dict(_download(chosen.url))
    return PretrainedWeights(state_dict, transforms, chosen.meta["categories"])


def _find_weights(builder: str, weights: str) -> Any:
    """Returns the member of torchvision's enumeration of a model's weights."""
    try:
        from torchvision.models import get_model_weights
    except ImportError as error:
        needed = NEEDS_PYTORCH.format(library="torchvision")
        raise UserError(f"torchvision:{weights} is a torchvision download, {needed}.") from error
    members = get_model_weights(builder)
    valid = {*members.__members__, "DEFAULT"}
    prefix, _, member = weights.rpartition(".")
    if member not in valid or prefix not in ("", members.__name__):
        raise unknown(f"weights of torchvision's {builder}", weights, valid)
    if not members[member].meta.get("categories"):
        raise UserError(
            f"torchvision:{weights} has no trained classifier; give weights that have one, such as "
            "torchvision:DEFAULT."
        )
    return members[member]


def _download(url: str) -> Path:
    """Downloads a file to PyTorch's directory unless it is there.

    The name of the file ends with the beginning of its SHA-256.
    """
    import torch

    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    checksum = file.stem.rpartition("-")[2]
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)  # PyTorch's download would wait forever
    try:
        torch.hub.download_url_to_file(url, str(file), hash_prefix=checksum)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another checksum
        raise UserError(
            f"{url} cannot be downloaded ({error}); put the file into {str(file.parent)!r}, or "
            "give its path in place of torchvision:NAME."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return file


def imagenet_class_names() -> Sequence[str] | None:
    """Returns the names of ImageNet's 1000 classes; None without torchvision."""
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return None
    # An import of torchvision takes half a gigabyte and a second; this file is a list of names.
    file = Path(package.origin).parent / "models/_meta.py"
    contents = runpy.run_path(str(file)) if file.is_file() else {}
    names: Sequence[str] | None = contents.get("_IMAGENET_CATEGORIES")
    if names is None:
        from torchvision.models import ResNet18_Weights

        names = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    return names
