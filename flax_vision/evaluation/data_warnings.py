"""Warnings about images that differ from the run's images."""

from pathlib import Path

from flax_vision.data import fingerprint
from flax_vision.data.dataset import Dataset
from flax_vision.data.splits import Source
from flax_vision.evaluation.run_data import run_config, run_directory
from flax_vision.text import nfc
from flax_vision.weights.model_metadata import ModelMetadata
from flax_vision.weights.run_files import read_dataset


def data_warning(path: Path, source: Source, split: str, images: Dataset) -> str:
    """Returns a warning if the images differ, or may differ, from the run's images, else nothing.

    Args:
      path: A run directory, or its export.
      source: Source of the images. The run's own images are compared with its record; another
        folder gets a warning only if the run's own folder is missing.
      split: Split of the images.
      images: The images.

    Raises:
      UserError: The run's record of its images cannot be read.
    """
    config = run_config(path).get("data", {})
    if source.name != config.get("name"):
        return ""
    if source.test_fraction == config.get("test_fraction", 0.0):
        hint = "delete it to continue without comparing the images"
        recorded = read_dataset(run_directory(path), hint)
        if recorded is None:
            return ""
        changes = fingerprint.describe_changes(
            recorded[split], fingerprint.dataset_fingerprint(images)
        )
        return changes and (
            f"these are not the {split} images of the run ({changes}): the result is not "
            "comparable with the run's, and the model may have been trained on some of them"
        )
    if source.name != "folder" or Path(config["image_dir"]).is_dir():
        return ""
    return (
        f"the run's own folder {config['image_dir']!r} is missing; if {source.image_dir!r} is the "
        "same one, the model was trained on most of its images"
    )


def class_names_warning(metadata: ModelMetadata, images: Dataset, name: str) -> str:
    """Returns a warning if the classes of a set have other names, else nothing."""
    pairs = zip(metadata.class_names, images.class_names, strict=True)
    for index, (ours, theirs) in enumerate(pairs):
        if nfc(ours) != nfc(theirs):
            return (
                f"class {index} is {ours!r} in the model and {theirs!r} in {name!r}; classes are "
                "compared by their numbers"
            )
    return ""
