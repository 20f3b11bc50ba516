"""Frozen layers, learning rates of layers and initial weights of a run."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.evaluation.batch_statistics import batch_norm_layers
from flax_vision.models.registry import create_model, find_variant
from flax_vision.text import counted
from flax_vision.training import init_from
from flax_vision.training.freeze import check_lr_mult, frozen_layers, trainable_params
from flax_vision.weights.saved_model import ModelMetadata


class FineTuning:
    """Frozen layers and initial weights of a run, from `config.freeze` and `config.init_from`.

    A resumed run does not read the model of `init_from` again.

    Attributes:
      frozen: Layers that keep their parameters and statistics.
    """

    def __init__(self, config: ConfigDict, saved: ModelMetadata | None = None) -> None:
        """Reads the model of `init_from` and checks all names of layers.

        Args:
          config: Checked configuration.
          saved: Description of a resumed run's model.

        Raises:
          UserError: The model cannot be read, or a layer's name is wrong.
        """
        self._config = config
        self._saved = saved if config.init_from else None
        self._source: init_from.SourceModel | None = None
        self._start: init_from.InitialWeights | None = None
        self.frozen = frozenset[tuple[str, ...]]()
        lr_mult = config.optimizer.lr_mult
        if not (config.freeze or config.init_from or lr_mult):
            return
        options = config.model.to_dict()
        model, name = create_model(**options), options.pop("name")
        images = jax.ShapeDtypeStruct((1, *find_variant(name).image_shape), "float32")
        # The names of layers depend neither on the images nor on the classes.
        shapes = jax.eval_shape(model.init, jax.random.key(0), images)
        self.frozen = frozen_layers(config.freeze, shapes["params"])
        check_lr_mult(lr_mult, self.frozen, shapes["params"])
        if config.init_from and not self._saved:
            self._source = init_from.load_source(
                config.init_from, config.init_pattern, name, options
            )
            init_from.check_layers(self._source, shapes)

    def match(self, shapes: Mapping[str, Any], num_classes: int) -> None:
        """Selects the initial weights.

        Args:
          shapes: Shapes and types of the model's variables.
          num_classes: Number of classes of the data.

        Raises:
          UserError: A layer does not fit.
        """
        if self._source:
            self._start = init_from.select_weights(self._source, shapes, num_classes)

    def check_precise_bn(self, model: nn.Module, metadata: ModelMetadata) -> None:
        """Raises a UserError for precise statistics if no layer can have them.

        Args:
          model: Model of the run.
          metadata: Its description.
        """
        if not self._config.precise_bn_samples:
            return
        layers = batch_norm_layers(model, metadata.input_shape)
        if not layers - self.frozen:
            text = "config.freeze freezes all" if layers else "there is no"
            raise UserError(
                f"config.precise_bn_samples is {self._config.precise_bn_samples}, but {text} batch "
                f"normalization in {metadata.name}; set it to 0."
            )

    @property
    def init_variables(self) -> Mapping[str, Any] | None:
        """Initial weights from another model; None for a run that must have a checkpoint."""
        if self._start:
            return self._start.variables
        return None if self._saved else {}

    def preprocessing(self, given: Preprocessing) -> Preprocessing | None:
        """Returns the preprocessing of the model of `init_from`; None if the run has its own."""
        if self._saved:
            return self._saved.preprocessing
        if self._start and self._config.init_preprocessing:
            return init_from.source_preprocessing(self._start.source.model.metadata, given)
        return None

    def notes(self, metadata: ModelMetadata, params: Mapping[str, Any]) -> list[str]:
        """Returns lines about copied weights, their preprocessing and frozen layers."""
        notes = []
        if self._start:
            notes.append(self._start.describe(metadata.name))
            notes += filter(None, [self._start.source.model.note])
        if self._start and self._config.init_preprocessing:
            mean, std = list(metadata.preprocessing.mean), list(metadata.preprocessing.std)
            notes.append(
                f"images are normalized as for that model: mean {mean}, std {std}, in place of "
                "config.data (config.init_preprocessing=False uses config.data)"
            )
        if self.frozen:
            count = sum(x.size for x in jax.tree.leaves(trainable_params(params, self.frozen)))
            layers = counted(len(self.frozen), "layer")
            notes.append(f"{layers} frozen; {count:,} parameters are trained")
        return notes
