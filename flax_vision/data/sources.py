"""Every data set by its name, divided into its three parts."""

from dataclasses import dataclass

from flax_vision.data.image_set import ImageSet, Report, stratified_split
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.errors import UserError


@dataclass(frozen=True)
class Parts:
    """A data set.

    Attributes:
      train: what the network learns from.
      validation: taken out of the training set to choose the best model with; may be empty.
      test: for one use, at the end.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet


def load_parts(name: str, directory: str, validation: float, report: Report) -> Parts:
    """Reads a data set into memory.

    Args:
      name: `"mnist_5k"`, or the TFDS name of a set of small images.
      directory: where TFDS keeps its sets; empty for its default.
      validation: share of the training set, 0 to below 1, that chooses the best model.
      report: called with a text, the images read so far and their number.

    Raises:
      UserError: the set cannot be had, or no image is left for a part.
    """
    if name == "mnist_5k":
        train, test = load_mnist_5k()
    else:
        # TFDS takes most of a second to import.
        from flax_vision.data.tfds import load_tfds

        train, test = load_tfds(name, directory, report)
    rest, part = stratified_split(train, validation)
    if not len(rest) or (validation and not len(part)):
        raise UserError(
            f"config.data.validation is {validation}, which divides the {len(train)} training "
            f"images of {name!r} into {len(rest)} and {len(part)}; each part needs one at least."
        )
    return Parts(rest, part, test)
