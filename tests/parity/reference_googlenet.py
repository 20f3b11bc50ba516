"""GoogLeNet (Szegedy et al., arXiv 1409.4842) in PyTorch, written from the paper alone."""

import math

import torch
from reference_lrn import local_response_normalization
from torch import nn
from torch.nn import functional


def same_padding(size, kernel, stride):
    """Returns TensorFlow's SAME padding; an odd rest of it is at the end."""
    windows = math.ceil(size / stride)
    total = max((windows - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def ceil_padding(size, kernel, stride):
    """Returns Caffe's padding: the last window starts inside the image and may end outside."""
    windows = math.ceil((size - kernel) / stride) + 1
    return 0, (windows - 1) * stride + kernel - size


def conv1_padding(size, padding):
    """Returns the padding of the 7x7/2 convolution before and after one axis of an image."""
    if padding == "same":
        return same_padding(size, 7, 2)
    return 3, 3


def pool_padding(size, padding):
    """Returns the padding of a 3x3/2 pool before and after one axis of its maps."""
    if padding == "same":
        return same_padding(size, 3, 2)
    if padding == "caffe":
        return ceil_padding(size, 3, 2)
    return 1, 1


def pad_for_conv1(images, padding):
    """Pads the images with zeros for the 7x7/2 convolution."""
    top, bottom = conv1_padding(images.shape[2], padding)
    left, right = conv1_padding(images.shape[3], padding)
    return functional.pad(images, (left, right, top, bottom))


def max_pool(maps, padding):
    """Applies a 3x3/2 max pool with explicit padding of -inf, without ceil_mode."""
    top, bottom = pool_padding(maps.shape[2], padding)
    left, right = pool_padding(maps.shape[3], padding)
    maps = functional.pad(maps, (left, right, top, bottom), value=-math.inf)
    return functional.max_pool2d(maps, 3, stride=2)


class ConvBN(nn.Module):
    """A convolution with batch normalization; the caller applies the ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding=0, bias=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=bias)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-5)

    def forward(self, maps):
        return self.bn(self.conv(maps))


class Inception(nn.Module):
    """Four branches, concatenated in the order 1x1, 3x3, 5x5, pool."""

    def __init__(self, inputs, n1x1, n3x3_reduce, n3x3, n5x5_reduce, n5x5, n_pool, convolution):
        super().__init__()
        self.conv1x1 = convolution(inputs, n1x1, 1)
        self.conv3x3_reduce = convolution(inputs, n3x3_reduce, 1)
        self.conv3x3 = convolution(n3x3_reduce, n3x3, 3, padding=1)
        self.conv5x5_reduce = convolution(inputs, n5x5_reduce, 1)
        self.conv5x5 = convolution(n5x5_reduce, n5x5, 5, padding=2)
        self.pool_projection = convolution(inputs, n_pool, 1)

    def forward(self, maps):
        branch1x1 = functional.relu(self.conv1x1(maps))
        branch3x3 = functional.relu(self.conv3x3_reduce(maps))
        branch3x3 = functional.relu(self.conv3x3(branch3x3))
        branch5x5 = functional.relu(self.conv5x5_reduce(maps))
        branch5x5 = functional.relu(self.conv5x5(branch5x5))
        pooled = functional.pad(maps, (1, 1, 1, 1), value=-math.inf)
        pooled = functional.max_pool2d(pooled, 3, stride=1)
        branch_pool = functional.relu(self.pool_projection(pooled))
        return torch.cat([branch1x1, branch3x3, branch5x5, branch_pool], dim=1)


class Auxiliary(nn.Module):
    """An auxiliary classifier, for training; 14x14 maps leave 4x4 means."""

    def __init__(self, inputs, num_classes, dropout, map_size=4):
        super().__init__()
        self.conv = nn.Conv2d(inputs, 128, 1)
        self.fc = nn.Linear(128 * map_size**2, 1024)
        self.linear = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps):
        maps = functional.avg_pool2d(maps, 5, stride=3)  # 14 -> 4
        maps = functional.relu(self.conv(maps))
        features = functional.relu(self.fc(maps.flatten(1)))
        return self.linear(self.dropout(features))


class Inceptions(nn.Module):
    """The nine inception modules of table 1, for both models below."""

    def __init__(self, convolution, padding):
        super().__init__()
        if padding not in ("same", "caffe", "symmetric"):
            raise ValueError(f"unknown padding {padding!r}")
        self.padding = padding
        self.inception_3a = Inception(192, 64, 96, 128, 16, 32, 32, convolution)
        self.inception_3b = Inception(256, 128, 128, 192, 32, 96, 64, convolution)
        self.inception_4a = Inception(480, 192, 96, 208, 16, 48, 64, convolution)
        self.inception_4b = Inception(512, 160, 112, 224, 24, 64, 64, convolution)
        self.inception_4c = Inception(512, 128, 128, 256, 24, 64, 64, convolution)
        self.inception_4d = Inception(512, 112, 144, 288, 32, 64, 64, convolution)
        self.inception_4e = Inception(528, 256, 160, 320, 32, 128, 128, convolution)
        self.inception_5a = Inception(832, 256, 160, 320, 32, 128, 128, convolution)
        self.inception_5b = Inception(832, 384, 192, 384, 48, 128, 128, convolution)


class GoogLeNet(Inceptions):
    """The paper's model; returns its logits and the auxiliary logits on 4a and 4d."""

    def __init__(
        self,
        num_classes=1000,
        stem="conv",
        dropout=0.4,
        auxiliary_dropout=0.7,
        padding="same",
    ):
        super().__init__(nn.Conv2d, padding)
        if stem not in ("conv", "separable"):
            raise ValueError(f"unknown stem {stem!r}")
        self.stem = stem
        if stem == "separable":
            self.conv1_depthwise = nn.Conv2d(3, 24, 7, stride=2, groups=3, bias=False)
            self.conv1_pointwise = nn.Conv2d(24, 64, 1)
        else:
            self.conv1 = nn.Conv2d(3, 64, 7, stride=2)
        self.conv2_reduce = nn.Conv2d(64, 64, 1)
        self.conv2 = nn.Conv2d(64, 192, 3, padding=1)
        self.auxiliary_4a = Auxiliary(512, num_classes, auxiliary_dropout)
        self.auxiliary_4d = Auxiliary(528, num_classes, auxiliary_dropout)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(1024, num_classes)

    def first_convolution(self, images):
        """Applies the 7x7/2 convolution, plain or separable, without a ReLU."""
        images = pad_for_conv1(images, self.padding)
        if self.stem == "separable":
            return self.conv1_pointwise(self.conv1_depthwise(images))
        return self.conv1(images)

    def forward(self, images):
        maps = functional.relu(self.first_convolution(images))
        maps = max_pool(maps, self.padding)
        maps = local_response_normalization(maps, k=1.0, alpha=1e-4 / 5)

        maps = functional.relu(self.conv2_reduce(maps))
        maps = functional.relu(self.conv2(maps))
        maps = local_response_normalization(maps, k=1.0, alpha=1e-4 / 5)
        maps = max_pool(maps, self.padding)

        maps = self.inception_3a(maps)
        maps = self.inception_3b(maps)
        maps = max_pool(maps, self.padding)

        maps = self.inception_4a(maps)
        auxiliary1 = self.auxiliary_4a(maps)
        maps = self.inception_4b(maps)
        maps = self.inception_4c(maps)
        maps = self.inception_4d(maps)
        auxiliary2 = self.auxiliary_4d(maps)
        maps = self.inception_4e(maps)
        maps = max_pool(maps, self.padding)

        maps = self.inception_5a(maps)
        maps = self.inception_5b(maps)
        features = maps.mean(dim=(2, 3))  # the 7x7 average pool of a 224x224 image
        logits = self.linear(self.dropout(features))
        return logits, auxiliary1, auxiliary2


class GoogLeNetBN(Inceptions):
    """The variant with batch normalization everywhere, no LRN and no auxiliary heads."""

    def __init__(self, num_classes=10, dropout=0.4, conv_bias=True, padding="symmetric"):
        def convolution(inputs, outputs, kernel, stride=1, padding=0):
            return ConvBN(inputs, outputs, kernel, stride, padding, conv_bias)

        super().__init__(convolution, padding)
        self.conv1 = convolution(3, 64, 7, stride=2)
        self.conv2_reduce = convolution(64, 64, 1)
        self.conv2 = convolution(64, 192, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(1024, num_classes)

    def forward(self, images):
        maps = functional.relu(self.conv1(pad_for_conv1(images, self.padding)))
        maps = max_pool(maps, self.padding)
        maps = functional.relu(self.conv2_reduce(maps))
        maps = functional.relu(self.conv2(maps))
        maps = max_pool(maps, self.padding)

        maps = self.inception_3a(maps)
        maps = self.inception_3b(maps)
        maps = max_pool(maps, self.padding)

        maps = self.inception_4a(maps)
        maps = self.inception_4b(maps)
        maps = self.inception_4c(maps)
        maps = self.inception_4d(maps)
        maps = self.inception_4e(maps)
        maps = max_pool(maps, self.padding)

        maps = self.inception_5a(maps)
        maps = self.inception_5b(maps)
        features = maps.mean(dim=(2, 3))
        return self.linear(self.dropout(features))
