"""The experiments of each paper, by item."""

from collections.abc import Mapping

from flax_vision.papers.experiment import Experiment
from flax_vision.papers.experiments import alexnet, googlenet, lenet5, resnet, vgg

EXPERIMENTS: Mapping[str, Mapping[str, Experiment]] = {
    "lenet5": lenet5.EXPERIMENTS,
    "alexnet": alexnet.EXPERIMENTS,
    "vgg": vgg.EXPERIMENTS,
    "googlenet": googlenet.EXPERIMENTS,
    "resnet": resnet.EXPERIMENTS,
}
"""Experiments by paper and item."""
