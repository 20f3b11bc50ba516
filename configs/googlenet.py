"""GoogLeNet: Szegedy et al., 2014.

    python train.py --config configs/googlenet.py                # 5,000 embedded digits.
    python train.py --config configs/googlenet.py:mnist          # 60,000 digits, from TFDS.
    python train.py --config configs/googlenet.py:fashion_mnist  # Clothes, from TFDS.
    python train.py --config configs/googlenet.py:cifar10        # Small color images, from TFDS.
    python train.py --config configs/googlenet.py:imagenet       # The paper's training.
    python train.py --config configs/googlenet.py:folder --config.data.image_dir=DIR  # Your images.
    python train.py --config configs/googlenet.py:modern                # Current methods.
    python train.py --config configs/googlenet.py:fashion_mnist+modern  # The same on Fashion-MNIST.
    python train.py --config configs/googlenet.py:study                 # From a student's notes.

Add `--config.model.name=googlenet_bn` for the same model with batch normalization, or
`--config.model.inception=naive` for modules without dimension reduction.

`get_config` is the training section of the paper; `RECIPES` has the changes for other data. Where
the paper gives no number, Caffe's bvlc_googlenet does: one of the authors helped with it.
"""

from ml_collections import ConfigDict

from flax_vision.training import presets
from flax_vision.training.config_schema import default_config


def get_config(recipe: str = "", model: str = "googlenet") -> ConfigDict:
    """Returns the configuration of a recipe for one of the GoogLeNets."""
    config = default_config()
    config.model.name = model

    # Section 5: 224x224 RGB with the mean subtracted; auxiliary losses have a weight of 0.3.
    config.crop.size = 224
    config.data.subtract_mean = "channel"
    config.data.std = (1.0,)
    config.loss.aux_weight = 0.3

    # Section 6: momentum, 4 % less every 8 epochs, Polyak averaging.
    config.optimizer.momentum = 0.9
    config.schedule.name = "exponential"
    config.schedule.factor = 1 - 0.04
    config.schedule.decay_epochs = 8.0
    config.optimizer.ema_decay = 0.9999  # the paper gives no decay
    config.schedule.lr = 0.01  # Caffe
    config.optimizer.weight_decay = 2e-4  # Caffe
    config.batch_size = 32  # Caffe
    config.epochs = 250  # Caffe: ten million steps with this schedule

    # Section 6: crops of 8 to 100 % of the area, with an aspect ratio of 3/4 to 4/3.
    config.crop.scale = (0.08, 1.0)
    config.crop.ratio = (3 / 4, 4 / 3)
    config.crop.interpolation = "random"
    config.crop.eval_resize = 256  # section 7: the smallest of its four scales

    # Section 6: photometric distortions after Howard (2013).
    config.augmentation.color_jitter = 0.5
    config.augmentation.flip = True

    return presets.apply_recipe(config, recipe, RECIPES)


# Few steps need weights drawn for rectifiers (He et al. 2015), and an average over fewer of them.
_HE = {"model.initialization": "he"}
_SMALL = presets.SMALL_IMAGES | _HE | {"schedule.lr": 0.02, "optimizer.ema_decay": 0.999}
_MNIST = _SMALL | {"data.resize": 72, "epochs": 4}  # the smallest input of the auxiliary heads

RECIPES = {
    "": _MNIST | presets.MNIST_5K | presets.DIGITS | {"epochs": 10, "optimizer.ema_decay": 0.98},
    "mnist": _MNIST | presets.MNIST | presets.DIGITS,
    "fashion_mnist": _MNIST | presets.FASHION_MNIST,
    "cifar10": _SMALL | presets.CIFAR10 | {"data.resize": 80, "data.crop": 72, "epochs": 30},
    "imagenet": presets.IMAGENET,
    "folder": presets.FOLDER | _HE | {"schedule.lr": 0.01, "optimizer.ema_decay": 0.99},
    "modern": presets.MODERN | {"schedule.lr": 0.01},
    # From a student's notes: batch normalization, no auxiliary heads, pools padded on every side.
    "study": {
        "model.name": "googlenet_bn",
        "model.padding": "symmetric",
        "schedule.name": "exponential",
        "optimizer.ema_decay": 0.0,
    },
}
