"""ResNet, 2015, and the plain networks that its paper compares it with.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", arXiv 1512.03385: section 3
and table 1 for ImageNet, section 4.2 for CIFAR-10.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from flax_vision.errors import UserError
from flax_vision.models import layers
from flax_vision.models.conv_bn_relu import conv_bn_relu
from flax_vision.models.layers import SCALED_TO_INPUTS, BatchNorm, Conv, sow_output
from flax_vision.models.residual import BasicBlock, Block, Bottleneck, Shortcut
from flax_vision.models.variant import Variant
from flax_vision.ops.padding import Padding

# Table 1: blocks in conv2_x to conv5_x, and whether they are bottlenecks of 1x1, 3x3, 1x1.
TABLE_1 = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}

# The paper does not specify the padding of pool1. The authors' Caffe models round up; torchvision
# pads by one on every side. Both give 56x56.
STEM_POOL: dict[str, Padding] = {"caffe": "CEIL", "torch": 1}

CIFAR_SHAPE = (32, 32, 3)
"""Height, width and channels of the images of CIFAR-10."""


class ResNet(nn.Module):
    """A model of table 1, or its plain counterpart.

    Takes floating-point images [N, H, W, C], and returns float32 logits [N, num_classes]. The paper
    subtracts the mean image from 224x224 images. Intermediates: relu1, pool1, conv2_x to conv5_x,
    pool5.

    Attributes:
      depth: Depth, a key of table 1.
      num_classes: Number of classes.
      shortcut: Shortcut of a block that changes the shape: A, zeros for the new channels; B, a
        projection; C, a projection in every block (section 4.1). Table 2 has A for 18 and 34, table
        3 all three for 34 and B for the deeper ones. `"none"` is a plain network, without shortcuts
        (section 3.3); with A it has the same parameters and multiply-adds.
      stem_pool: Padding of pool1, see `STEM_POOL`.
      stride_in: Convolution of a bottleneck with the stride: the first 1x1, the only one with the
        paper's multiply-adds, or the 3x3, known as v1.5.
      initialization: Initialization of the kernels; `"he"` is the paper's (section 3.4).
      stochastic_depth: Probability of dropping the residual function of the last block in training.
        It rises linearly over the blocks (Huang et al., "Deep Networks with Stochastic Depth",
        2016, section 3). Kept residuals are divided by their probability, as in torchvision; the
        paper scales them in evaluation instead.
      stochastic_depth_mode: `"batch"` to drop a block for all images of a step, as in the paper;
        `"row"` to decide for each image, as in torchvision and timm.
      remat: Whether the backward pass recomputes each block: less memory, more time.
      dtype: Type of the arithmetic; parameters and statistics are float32.
    """

    depth: int = 50
    num_classes: int = 1000
    shortcut: Shortcut = "B"
    stem_pool: Literal["caffe", "torch"] = "caffe"
    stride_in: str = "1x1"
    initialization: Literal["he", "glorot"] = "he"
    stochastic_depth: float = 0.0
    stochastic_depth_mode: Literal["batch", "row"] = "batch"
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        _check_residuals(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        layers.check_images(images, "ResNet", min_size=3 if self.stem_pool == "caffe" else 1)
        conv, norm = _constructors(self, train)
        conv1 = conv(64, 7, stride=2, padding=3, name="conv1")
        x = sow_output(self, "relu1", conv_bn_relu(images, conv1, norm(name="bn1")))
        x = sow_output(self, "pool1", layers.MaxPool(3, 2, STEM_POOL[self.stem_pool])(x))
        blocks, bottleneck = TABLE_1[self.depth]
        block = partial(Bottleneck, stride_in=self.stride_in) if bottleneck else BasicBlock
        make_block = partial(block, shortcut=self.shortcut, conv=conv, norm=norm)
        return _classify(self, _apply_stages(self, x, 64, blocks, make_block, train))


class CifarResNet(nn.Module):
    """A model of section 4.2 for 32x32 images, with 6n + 2 layers; or its plain counterpart.

    Takes floating-point images [N, H, W, C], and returns float32 logits [N, num_classes]. The paper
    subtracts the mean image from 32x32 images. Intermediates: relu1, conv2_x to conv4_x (the stages
    of 32x32, 16x16 and 8x8), pool5.

    Attributes:
      n: Number of blocks of two 3x3 convolutions in each of the three stages; the model has 6n + 2
        layers.
      num_classes: Number of classes.
      shortcut: Shortcut as in `ResNet`; A is the paper's, and `"none"` a plain network.
      initialization: Initialization of the kernels; `"he"` is the paper's.
      stochastic_depth: Probability of dropping the last block in training, as in `ResNet`.
      stochastic_depth_mode: `"batch"` or `"row"`, as in `ResNet`.
      remat: Whether the backward pass recomputes each block, as in `ResNet`.
      dtype: Type of the arithmetic; parameters and statistics are float32.
    """

    n: int = 3
    num_classes: int = 10
    shortcut: Shortcut = "A"
    initialization: Literal["he", "glorot"] = "he"
    stochastic_depth: float = 0.0
    stochastic_depth_mode: Literal["batch", "row"] = "batch"
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        _check_residuals(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        layers.check_images(images, "ResNet", min_size=1)
        conv, norm = _constructors(self, train)
        conv1 = conv(16, 3, padding=1, name="conv1")
        x = sow_output(self, "relu1", conv_bn_relu(images, conv1, norm(name="bn1")))
        make_block = partial(BasicBlock, shortcut=self.shortcut, conv=conv, norm=norm)
        return _classify(self, _apply_stages(self, x, 16, (self.n,) * 3, make_block, train))


def _check_residuals(model: ResNet | CifarResNet) -> None:
    """Raises a UserError for stochastic depth in blocks without a shortcut."""
    if model.shortcut == "none" and model.stochastic_depth:
        raise UserError(
            f"stochastic_depth is {model.stochastic_depth!r}, and with shortcut 'none' nothing "
            "replaces a dropped block; set stochastic_depth to 0, or shortcut to A, B or C."
        )


def _constructors(
    model: ResNet | CifarResNet, train: bool
) -> tuple[Callable[..., Conv], Callable[..., BatchNorm]]:
    init = SCALED_TO_INPUTS[model.initialization]()
    conv = partial(Conv, use_bias=False, kernel_init=init, dtype=model.dtype)
    return conv, partial(BatchNorm, use_running_average=not train, dtype=model.dtype)


def _apply_stages(
    model: ResNet | CifarResNet,
    x: Array,
    width: int,
    blocks: Sequence[int],
    make_block: Callable[..., Block],
    train: bool,
) -> Array:
    """Applies conv2_x and so on, each but the first with half the size and twice the width."""
    depths = iter(range(1, sum(blocks) + 1))
    for stage, count in enumerate(blocks, 2):
        for i in range(1, count + 1):
            stride = 2 if i == 1 and stage > 2 else 1
            drop_path = _drop_path(model, next(depths) / sum(blocks)) if train else None
            make = partial(make_block, width, stride, drop_path=drop_path, name=f"conv{stage}_{i}")
            x = layers.maybe_remat(partial(_apply, make), model.remat and train)(model, x)
        x = sow_output(model, f"conv{stage}_x", x)
        width *= 2
    return x


def _apply(make_block: Callable[[], Block], model: nn.Module, x: Array) -> Array:
    del model  # the parent of the new block
    return make_block()(x)


def _drop_path(model: ResNet | CifarResNet, depth: float) -> Callable[[], nn.Dropout] | None:
    """Returns the constructor of a block's stochastic depth; None without it.

    Args:
      model: Model of the block.
      depth: Number of the block over the number of blocks, l / L in the paper's equation 4.
    """
    if not model.stochastic_depth:
        return None
    same = (1, 2, 3) if model.stochastic_depth_mode == "row" else (0, 1, 2, 3)
    rate = depth * model.stochastic_depth
    return partial(nn.Dropout, rate, broadcast_dims=same, deterministic=False, name="drop_path")


def _classify(model: ResNet | CifarResNet, x: Array) -> Array:
    x = sow_output(model, "pool5", layers.GlobalAveragePool()(x))
    init = SCALED_TO_INPUTS[model.initialization]()
    fc = nn.Dense(model.num_classes, kernel_init=init, dtype=model.dtype, name="fc")
    return fc(x[:, 0, 0]).astype(jnp.float32)


def _variants() -> dict[str, Variant]:
    variants = {}
    for depth in TABLE_1:
        original, v1_5 = {"depth": depth, "stride_in": "1x1"}, {"depth": depth, "stride_in": "3x3"}
        variants[f"resnet{depth}"] = Variant(ResNet, original)
        variants[f"resnet{depth}_v1_5"] = Variant(ResNet, v1_5, {"stem_pool": "torch"})
    for n in (3, 5, 7, 9, 18, 200):
        variants[f"resnet{6 * n + 2}"] = Variant(CifarResNet, {"n": n}, image_shape=CIFAR_SHAPE)
    variants["resnet_cifar"] = Variant(CifarResNet, image_shape=CIFAR_SHAPE)
    return variants


def _plain_variants() -> dict[str, Variant]:
    """Returns the plain networks of table 2 and figure 6."""
    fixed = {"shortcut": "none", "stochastic_depth": 0.0, "stochastic_depth_mode": "batch"}
    variants = {
        f"plain{depth}": Variant(ResNet, {"depth": depth, "stride_in": "1x1", **fixed})
        for depth in (18, 34)
    }
    for n in (3, 5, 7, 9):
        plain = Variant(CifarResNet, {"n": n, **fixed}, image_shape=CIFAR_SHAPE)
        variants[f"plain{6 * n + 2}"] = plain
    variants["plain_cifar"] = Variant(CifarResNet, fixed, image_shape=CIFAR_SHAPE)
    return variants


MODELS = _variants() | _plain_variants()
