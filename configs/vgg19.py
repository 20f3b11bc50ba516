"""VGG: Simonyan and Zisserman, 2014, configuration E of table 1.

    python train.py --config configs/vgg19.py           # 5,000 embedded digits.
    python train.py --config configs/vgg19.py:cifar10   # Small color images, from TFDS.
    python train.py --config configs/vgg19.py:imagenet  # The paper's training.
    python train.py --config configs/vgg19.py:modern    # Current methods.
    python train.py --config configs/vgg19.py:folder --config.data.image_dir=DIR  # Your images.

`configs/vgg16.py` has the numbers and all recipes: both models train alike.
"""

from ml_collections import ConfigDict

from configs import vgg16


def get_config(recipe: str = "", model: str = "vgg19") -> ConfigDict:
    """Returns the configuration of a recipe for a model of table 1."""
    return vgg16.get_config(recipe, model)
