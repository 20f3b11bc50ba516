"""Weights that torchvision publishes, and what it says about them."""

import contextlib
import importlib.util
import runpy
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError, unknown
from flax_vision.weights.pytorch_files import NEEDS_PYTORCH
from flax_vision.weights.state_dict import read_state_dict
from flax_vision.weights.torchvision_modules import builder_of

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels from 0 to 1, as torchvision's networks have always had them."""

_PATIENCE = 30.0
"""Seconds in which a server has to answer, and to go on sending."""


@dataclass(frozen=True)
class Transforms:
    """What torchvision's networks see of a photograph.

    Attributes:
      resize: length that the shorter side is brought to.
      crop: height and width of the middle that is seen.
      mean: of each channel, of pixels from 0 to 1.
      std: likewise.
      transform_input: GoogLeNet's: whatever the mean and deviation, it maps pixels to (x - 0.5) /
        0.5, as its weights came from TensorFlow.
    """

    resize: int = 256
    crop: int = 224
    mean: Sequence[float] = _MEAN
    std: Sequence[float] = _STD
    transform_input: bool = False

    @property
    def crop_policy(self) -> CropPolicy:
        """What is seen."""
        return CropPolicy(self.crop, self.resize, (self.resize, self.resize), as_torchvision=True)

    @property
    def preprocessing(self) -> Preprocessing:
        """What becomes of its pixels from 0 to 255."""
        if self.transform_input:
            return Preprocessing([127.5], [127.5])
        mean, std = ([round(255 * x, 6) for x in numbers] for numbers in (self.mean, self.std))
        return Preprocessing(mean, std)


@dataclass(frozen=True)
class Published:
    """Weights that torchvision can download.

    Attributes:
      state_dict: the tensors.
      transforms: what the network sees.
      class_names: of the classes; None where torchvision has no names.
    """

    state_dict: dict[str, Any]
    transforms: Transforms
    class_names: Sequence[str] | None


def published(name: str, weights: str) -> Published:
    """Returns torchvision's weights for a network, downloaded if they are not there yet.

    Args:
      name: the network.
      weights: such as `"IMAGENET1K_V1"`, `"DEFAULT"` or `"ResNet50_Weights.IMAGENET1K_V1"`.

    Raises:
      UserError: torchvision has not the network or no such weights, it is not installed, or the
        download failed.
    """
    builder = builder_of(name)
    try:
        import torch
        from torchvision.models import get_model_weights
    except ImportError as error:
        needed = NEEDS_PYTORCH.format(library="torchvision")
        raise UserError(f"torchvision:{weights} is torchvision's, {needed}.") from error
    members = get_model_weights(builder)
    valid = {*members.__members__, "DEFAULT"}
    prefix, _, member = weights.rpartition(".")
    if member not in valid or prefix not in ("", members.__name__):
        raise unknown(f"weights of torchvision's {builder}", weights, valid)
    chosen = members[member]
    if not chosen.meta.get("categories"):
        raise UserError(
            f"torchvision:{weights} has no classifier, of which torchvision leaves the numbers "
            "open; give weights that have one, such as torchvision:DEFAULT."
        )
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(chosen.url).name
    if not file.exists():
        _download(chosen.url, file)
    preset = chosen.transforms()
    transforms = Transforms(
        preset.resize_size[0],
        preset.crop_size[0],
        preset.mean,
        preset.std,
        builder == "googlenet",
    )
    return Published(read_state_dict(file), transforms, chosen.meta["categories"])


def _download(url: str, file: Path) -> None:
    """Downloads a file, whose name ends with the beginning of its SHA-256."""
    import torch

    file.parent.mkdir(parents=True, exist_ok=True)
    expected = file.stem.rpartition("-")[2]
    try:
        with _patience():
            torch.hub.download_url_to_file(url, str(file), hash_prefix=expected)
    except (OSError, HTTPException, RuntimeError) as error:  # the last for another checksum
        raise UserError(
            f"{url} cannot be downloaded ({error}); put the file into {str(file.parent)!r}, or "
            "give its path in place of torchvision:NAME."
        ) from error


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Ends waits for a network that is silent; PyTorch's download has none of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def names_of_imagenet() -> Sequence[str] | None:
    """Returns the names of ImageNet's 1000 classes; None where torchvision is not installed."""
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return None
    # Importing torchvision would take half a gigabyte and a second more, for a list of words.
    file = Path(package.origin).parent / "models/_meta.py"
    names: Sequence[str] | None = None
    if file.is_file():
        names = runpy.run_path(str(file)).get("_IMAGENET_CATEGORIES")
    if names is None:
        from torchvision.models import ResNet18_Weights

        names = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    return names
