"""Images of a split with the predictions of a model."""

from dataclasses import dataclass

import numpy as np

from flax_vision.data.dataset import Dataset
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.evaluation.evaluator import Predictions


@dataclass(frozen=True)
class PredictedImages:
    """Images of a split and their predictions.

    Attributes:
      images: The images.
      predictions: Predictions of the model.
      split: Name of the split.
    """

    images: Dataset
    predictions: Predictions
    split: str = "test"

    @property
    def kind(self) -> str:
        """Word before "images", such as `"training"`."""
        return "training" if self.split == "train" else self.split

    def pixels(self, indices: np.ndarray) -> np.ndarray:
        """Returns the images before the preprocessing, uint8 [N, H, W, C]."""
        ((images, _),) = self.images.batches([indices], None)
        return np.asarray(images)

    def file_names(self, indices: np.ndarray) -> list[str]:
        """Returns the file names of image files; empty for images in memory."""
        images = self.images
        if not isinstance(images, ImageFileDataset):
            return []
        return [images.files.name(int(images.indices[index])) for index in indices]
