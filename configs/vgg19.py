"""VGG: Simonyan and Zisserman, 2014, configuration E of table 1.

    python train.py --config configs/vgg19.py                    # 5,000 real digits, embedded
    python train.py --config configs/vgg19.py:cifar10
    python train.py --config configs/vgg19.py:imagenet           # the paper's own training
    python train.py --config configs/vgg19.py:folder --config.data.image_dir=DIR  # your images

It is trained as configuration D is: `configs/vgg16.py` has the numbers and the recipes.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

_VGG16 = runpy.run_path(str(Path(__file__).with_name("vgg16.py")))


def get_config(recipe: str = "", model: str = "vgg19") -> ConfigDict:
    """Returns the configuration of a recipe for a network of table 1."""
    config: ConfigDict = _VGG16["get_config"](recipe, model)
    return config
