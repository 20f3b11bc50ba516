"""Estimate of the time that an experiment takes on two cores."""

from collections.abc import Mapping

from ml_collections import ConfigDict

from flax_vision.models.registry import create_model
from flax_vision.models.summary import summarize, totals
from flax_vision.papers.experiment import Experiment
from flax_vision.papers.runs import ExperimentOptions, make_config

# Training images, height and channels, and classes of each dataset.
_DATASETS: Mapping[str, tuple[int, int, int, int]] = {
    "mnist_5k": (3_600, 28, 1, 10),
    "mnist": (54_000, 28, 1, 10),
    "fashion_mnist": (54_000, 28, 1, 10),
    "cifar10": (45_000, 32, 3, 10),
    "imagenet2012": (1_281_167, 224, 3, 1000),
}

# Two cores of an AMD EPYC, fifth generation, train the deep models at 342 to 472 GFLOP/s (see the
# README). Here it is 300, and a time for each image, run and layer besides.
_MULTIPLY_ADDS = 150e9
_SECONDS_AN_IMAGE = 1e-4
_SECONDS_A_RUN = 10.0
_SECONDS_A_LAYER = 0.2
_TRAINING = 3
"""Cost of a training step in forward passes."""


def estimate_seconds(experiment: Experiment, options: ExperimentOptions) -> float:
    """Returns the seconds of all runs of an experiment on two cores; 0 without training.

    Args:
      experiment: The experiment.
      options: Choices of the experiment.

    Raises:
      UserError: The config file has no recipe for the dataset.
    """
    training = experiment.training
    if training is None:
        return 0.0
    seeds = len(options.seeds_of(training))
    labels = experiment.chosen_labels(options.size)
    return seeds * sum(_run_seconds(make_config(training, label, options)) for label in labels)


def _run_seconds(config: ConfigDict) -> float:
    """Returns the seconds of one run: of its compilation, its steps and its evaluations."""
    count, size, channels, classes = _DATASETS[config.data.name]
    images = config.data.limit * classes or count
    size = config.crop.size or config.data.crop or config.data.resize or size
    model = create_model(**{"num_classes": classes, **config.model.to_dict()})
    shape = (size, size, config.data.channels or channels)
    rows = summarize(model, shape)
    forward = totals(rows)[-1].multiply_adds / _MULTIPLY_ADDS
    image = _TRAINING * forward + _SECONDS_AN_IMAGE
    return _SECONDS_A_RUN + _SECONDS_A_LAYER * len(rows) + config.epochs * images * image
