"""Facts about each model that are available before it is built.

Building all models takes a quarter of a minute, so their numbers stand here. A test builds them and
compares.
"""

import fnmatch
from collections.abc import Callable
from typing import NamedTuple

from flax_vision.errors import UserError


class Paper(NamedTuple):
    """The source of a model."""

    year: int | None
    title: str


class Entry(NamedTuple):
    """A model at the size of its paper, without auxiliary classifiers.

    Attributes:
      paper: Paper that introduced it.
      parameters: Number of trainable parameters.
      multiply_adds: Multiply-adds of its convolutions and fully connected layers for one image.
    """

    paper: Paper
    parameters: int
    multiply_adds: int


LENET = Paper(1998, "LeCun et al., Gradient-Based Learning Applied to Document Recognition")
ALEXNET = Paper(2012, "Krizhevsky et al., ImageNet Classification with Deep CNNs")
ONE_WEIRD_TRICK = Paper(2014, "Krizhevsky, One Weird Trick for Parallelizing CNNs")
VGG = Paper(2014, "Simonyan and Zisserman, Very Deep CNNs for Large-Scale Image Recognition")
GOOGLENET = Paper(2014, "Szegedy et al., Going Deeper with Convolutions")
RESNET = Paper(2015, "He et al., Deep Residual Learning for Image Recognition")

CATALOG = {
    "lenet5": Entry(LENET, 60_000, 325_680),
    "lenet5_modern": Entry(LENET, 61_706, 416_520),
    "lenet4": Entry(LENET, 16_998, 243_600),
    "lenet1": Entry(LENET, 2_578, 91_520),
    "lenet_linear": Entry(LENET, 7_850, 7_840),
    "alexnet": Entry(ALEXNET, 60_965_224, 724_406_816),
    "alexnet_half": Entry(ALEXNET, 59_798_312, 391_514_384),
    "alexnet_one_column": Entry(ALEXNET, 62_378_344, 1_135_256_096),
    "alexnet_cifar": Entry(ALEXNET, 89_578, 12_298_240),
    "alexnet_owt": Entry(ONE_WEIRD_TRICK, 61_100_840, 714_188_480),
    "vgg_a": Entry(VGG, 132_863_336, 7_609_090_048),
    "vgg_a_bn": Entry(VGG, 132_868_840, 7_609_090_048),
    "vgg_a_lrn": Entry(VGG, 132_863_336, 7_609_090_048),
    "vgg_b": Entry(VGG, 133_047_848, 11_308_466_176),
    "vgg_b_bn": Entry(VGG, 133_053_736, 11_308_466_176),
    "vgg_b_5x5": Entry(VGG, 134_503_528, 9_356_017_664),
    "vgg_c": Entry(VGG, 133_638_952, 11_770_888_192),
    "vgg_c_bn": Entry(VGG, 133_647_400, 11_770_888_192),
    "vgg_d": Entry(VGG, 138_357_544, 15_470_264_320),
    "vgg_d_bn": Entry(VGG, 138_365_992, 15_470_264_320),
    "vgg_e": Entry(VGG, 143_667_240, 19_632_062_464),
    "vgg_e_bn": Entry(VGG, 143_678_248, 19_632_062_464),
    "googlenet": Entry(GOOGLENET, 6_998_552, 1_582_671_872),
    "googlenet_bn": Entry(GOOGLENET, 7_013_112, 1_582_671_872),
    "googlenet_torchvision": Entry(GOOGLENET, 6_624_904, 1_498_376_192),
    "resnet18": Entry(RESNET, 11_689_512, 1_814_073_344),
    "resnet34": Entry(RESNET, 21_797_672, 3_663_761_408),
    "resnet50": Entry(RESNET, 25_557_032, 3_857_973_248),
    "resnet101": Entry(RESNET, 44_549_160, 7_570_194_432),
    "resnet152": Entry(RESNET, 60_192_808, 11_282_415_616),
    "resnet18_v1_5": Entry(RESNET, 11_689_512, 1_814_073_344),
    "resnet34_v1_5": Entry(RESNET, 21_797_672, 3_663_761_408),
    "resnet50_v1_5": Entry(RESNET, 25_557_032, 4_089_184_256),
    "resnet101_v1_5": Entry(RESNET, 44_549_160, 7_801_405_440),
    "resnet152_v1_5": Entry(RESNET, 60_192_808, 11_513_626_624),
    "resnet20": Entry(RESNET, 269_722, 40_551_040),
    "resnet32": Entry(RESNET, 464_154, 68_862_592),
    "resnet44": Entry(RESNET, 658_586, 97_174_144),
    "resnet56": Entry(RESNET, 853_018, 125_485_696),
    "resnet110": Entry(RESNET, 1_727_962, 252_887_680),
    "resnet1202": Entry(RESNET, 19_421_274, 2_829_238_912),
    "resnet_cifar": Entry(RESNET, 269_722, 40_551_040),
    "plain18": Entry(RESNET, 11_515_688, 1_794_805_760),
    "plain34": Entry(RESNET, 21_623_848, 3_644_493_824),
    "plain20": Entry(RESNET, 269_722, 40_551_040),
    "plain32": Entry(RESNET, 464_154, 68_862_592),
    "plain44": Entry(RESNET, 658_586, 97_174_144),
    "plain56": Entry(RESNET, 853_018, 125_485_696),
    "plain_cifar": Entry(RESNET, 269_722, 40_551_040),
}

_ALIASES = {"vgg11": "vgg_a", "vgg13": "vgg_b", "vgg16": "vgg_d", "vgg19": "vgg_e"}
CATALOG |= {
    f"{alias}{form}": CATALOG[f"{name}{form}"]
    for alias, name in _ALIASES.items()
    for form in ("", "_bn")
}


CUSTOM_ENTRIES: dict[str, Callable[[], Entry]] = {}
"""Functions that compute the entries of custom models, by name."""


def find(pattern: str | None = None) -> dict[str, Entry]:
    """Returns the models whose names match a shell-style pattern, or all, oldest first.

    Custom models come last.

    Raises:
      UserError: No name matches.
    """
    valid = [*CATALOG, *CUSTOM_ENTRIES]
    names = fnmatch.filter(valid, pattern) if pattern else valid
    if not names:
        raise UserError(f"no model matches {pattern!r}; valid: {', '.join(sorted(valid))}")
    return {name: CATALOG.get(name) or CUSTOM_ENTRIES[name]() for name in names}
