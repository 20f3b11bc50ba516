"""Experiments of the papers: training, measurements and figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flax_vision.analysis.report.figures.drawing import Picture
from flax_vision.training.presets import Overrides
from flax_vision.weights.run_files import Records

SMOKE, REDUCED, FULL = "smoke", "reduced", "full"
SIZES = (SMOKE, REDUCED, FULL)
"""Sizes of an experiment: seconds, at most twenty minutes on two cores, and the paper's."""

MNIST_5K = "mnist_5k"
_RECIPES = {MNIST_5K: "", "imagenet2012": "imagenet"}
"""Recipes by dataset, where the names differ."""

DATASETS = (MNIST_5K, "mnist", "fashion_mnist", "cifar10", "imagenet2012")
"""Datasets of the experiments; LeNet-5 has no recipe for ImageNet."""

FEW_IMAGES: Overrides = {"epochs": 1, "batch_size": 16, "data.limit": 4, "mesh.data": 1}
"""Overrides of most experiments at smoke size: two steps on one device."""

Row = dict[str, Any]
"""Cells by heading. A list has one number for each seed."""


@dataclass(frozen=True)
class Training:
    """Settings to train, for one or several experiments.

    Attributes:
      name: Name of the directory with the runs.
      config: Name of the config file.
      settings: Overrides of each setting, by its name in tables.
      full: Recipe of the paper's training.
      reduced: Overrides at reduced size.
      smoke: Overrides at smoke size, applied after `reduced`.
      seeds: Number of seeds at reduced size.
      full_settings: Overrides of a setting at full size, in place of those in `settings`.
      common: Overrides at every size.
      recipes: Recipes by dataset, for recipes that have another name.
    """

    name: str
    config: str
    settings: Mapping[str, Overrides]
    full: str
    reduced: Overrides = field(default_factory=dict)
    smoke: Overrides = field(default_factory=dict)
    seeds: int = 1
    full_settings: Mapping[str, Overrides] = field(default_factory=dict)
    common: Overrides = field(default_factory=dict)
    recipes: Mapping[str, str] = field(default_factory=dict)

    def spec(self, size: str, data: str) -> str:
        """Returns the config file and the recipe.

        Args:
          size: One of `SIZES`.
          data: Name of the dataset; empty for the default of the size.
        """
        recipes = {**_RECIPES, **self.recipes}
        recipe = recipes.get(data or MNIST_5K, data)
        if size == FULL and not data:
            recipe = self.full
        return f"{self.config}:{recipe}" if recipe else self.config

    def overrides(self, size: str) -> Overrides:
        """Returns the overrides of all settings at a size."""
        forms: dict[str, Overrides] = {
            FULL: {},
            REDUCED: self.reduced,
            SMOKE: {**self.reduced, **self.smoke},
        }
        return {**self.common, **forms[size]}

    def own_settings(self, label: str, size: str) -> Overrides:
        """Returns the overrides of one setting.

        Args:
          label: Name of the setting.
          size: One of `SIZES`.
        """
        own = self.settings[label]
        return dict(self.full_settings.get(label, own) if size == FULL else own)


@dataclass(frozen=True)
class Run:
    """A finished run of an experiment.

    Attributes:
      label: Name of the setting.
      seed: Seed.
      path: Run directory.
      config: Configuration by dotted key.
      result: Result of the run.
      records: Records of the epochs.
    """

    label: str
    seed: int
    path: Path
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    records: Records


Column = Callable[[Run], float]
"""Function that measures a run."""

Draw = Callable[..., Picture]
"""Function that draws a figure in the colors of its argument `theme`."""


@dataclass(frozen=True)
class Analysis:
    """The findings of an experiment.

    Attributes:
      rows: Rows of the table, with the paper's numbers beside the measured ones.
      draw: Function that draws the figure.
      alternative: Alternative text of the figure.
    """

    rows: Sequence[Row]
    draw: Draw
    alternative: str


Analyze = Callable[["Experiment", Sequence[Run]], Analysis]


@dataclass(frozen=True)
class Experiment:
    """An experiment of a paper.

    Attributes:
      analyze: Function from the finished runs to the findings.
      training: Settings to train; None for no training.
      labels: Names of the trained settings; empty for all.
      columns: Measurements of a run, by heading.
      paper: The paper's numbers, by heading and setting.
      draw: Function that draws the runs; see `papers.figures`.
      note: Difference from the paper that holds at every size; empty for none.
      smoke_labels: Settings at smoke size; empty for those of `labels`.
      smoke_analyze: Quicker function in place of `analyze` at smoke size; None for `analyze`.
    """

    analyze: Analyze
    training: Training | None = None
    labels: Sequence[str] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    draw: Draw | None = None
    note: str = ""
    smoke_labels: Sequence[str] = ()
    smoke_analyze: Analyze | None = None

    def findings(self, runs: Sequence[Run], size: str) -> Analysis:
        """Returns the findings of the finished runs of a size."""
        quick = self.smoke_analyze if size == SMOKE else None
        return (quick or self.analyze)(self, runs)

    def chosen_labels(self, size: str) -> Sequence[str]:
        """Returns the names of the settings that a size trains."""
        if self.training is None:
            return ()
        labels = self.labels or tuple(self.training.settings)
        return self.smoke_labels or labels if size == SMOKE else labels
