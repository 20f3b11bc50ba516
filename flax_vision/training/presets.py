"""Overrides that fit a paper's recipe to another dataset, by dotted configuration key."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from flax_vision.errors import unknown

Overrides = dict[str, Any]
"""Values by dotted key; `a | b` gives the overrides of both, with the values of `b` first."""

MNIST_5K: Overrides = {"data.name": "mnist_5k"}
MNIST: Overrides = {"data.name": "mnist", "data.val_fraction": 0.05}
FASHION_MNIST: Overrides = {"data.name": "fashion_mnist", "data.val_fraction": 0.05}
CIFAR10: Overrides = {"data.name": "cifar10"}

# The papers report on the 50,000 validation images, which are the test split here. The validation
# split is 12,812 of the training images: it chooses the best model and lowers the rate.
IMAGENET: Overrides = {"data.name": "imagenet2012", "data.val_fraction": 0.01}

_SHORT_RUN: Overrides = {
    "data.subtract_mean": "channel",
    "data.std": (64.0,),  # about the standard deviation of the pixels
    "augmentation.pca_noise": 0.0,
    "schedule.name": "one_cycle",
}

SMALL_IMAGES: Overrides = _SHORT_RUN | {  # whole images in three channels, in their own colors
    "crop.size": 0,
    "data.channels": 3,
    "augmentation.color_jitter": 0.0,
}

DIGITS: Overrides = {"augmentation.flip": False, "augmentation.random_affine": 0.5}
"""Distortions of digits, which have no mirror symmetry."""

# A few hundred images a class suffice: small crops learn in a fraction of the time.
FOLDER: Overrides = _SHORT_RUN | {
    "data.name": "folder",
    "crop.size": 128,
    "crop.scale": (0.25, 1.0),
    "crop.interpolation": "bilinear",
    "crop.eval_resize": 0,
    "augmentation.color_jitter": 0.2,
    "augmentation.flip": True,
    "batch_size": 32,
    "epochs": 30,
}

# He et al. 2019, "Bag of Tricks for Image Classification with Convolutional Neural Networks",
# sections 3.1 and 5, and random erasing (Zhong et al. 2017).
MODERN: Overrides = {
    "loss.name": "cross_entropy",
    "loss.label_smoothing": 0.1,
    "augmentation.mixup": 0.2,
    "augmentation.random_erasing": 0.1,
    "optimizer.momentum_form": "standard",
    "optimizer.nesterov": True,
    "optimizer.decay_biases": False,
    "optimizer.ema_decay": 0.99,
    "schedule.name": "cosine",
    "schedule.warmup.epochs": 1.0,
}

# ResNet in a student's notes: SGD(lr=0.1, momentum=0.9, weight_decay=0.0001) with
# StepLR(step_size=10, gamma=0.1) of PyTorch.
STEP_LR: Overrides = {
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 0.0001,
    "schedule.name": "exponential",  # in steps
    "schedule.lr": 0.1,
    "schedule.factor": 0.1,
    "schedule.decay_epochs": 10.0,
}


def recipe_names(recipe: str) -> list[str]:
    """Returns the names of the recipes in `RECIPE`, or in `RECIPE+RECIPE`."""
    return recipe.split("+")


def apply_recipe(config: ConfigDict, recipe: str, recipes: Mapping[str, Overrides]) -> ConfigDict:
    """Applies the overrides of recipes to a configuration, and returns it.

    Args:
      config: Configuration to change.
      recipe: Recipe such as `"mnist"`, or several such as `"mnist+modern"`; the later ones override
        the earlier ones. Recipes without a dataset start from the default recipe.
      recipes: Overrides of each recipe; `""` is the default recipe.

    Raises:
      UserError: A recipe does not exist.
    """
    overrides: Overrides = {}
    for name in recipe_names(recipe):
        if name not in recipes:
            raise unknown("recipe", name, [name for name in recipes if name])
        overrides |= recipes[name]
    if "data.name" not in overrides:
        overrides = recipes.get("", {}) | overrides
    config.update_from_flattened_dict(overrides)
    return config
