"""ResNet (He, Zhang, Ren, Sun, arXiv 1512.03385) in PyTorch, written from the paper alone."""

import math

from torch import nn
from torch.nn import functional


def ceil_padding(size, kernel, stride):
    """Returns Caffe's padding: the last window starts inside the image and may end outside."""
    windows = math.ceil((size - kernel) / stride) + 1
    return 0, (windows - 1) * stride + kernel - size


def stem_max_pool(maps, stem_pool):
    """Applies the 3x3/2 max pool with explicit padding of -inf, without ceil_mode."""
    if stem_pool == "caffe":
        top, bottom = ceil_padding(maps.shape[2], 3, 2)
        left, right = ceil_padding(maps.shape[3], 3, 2)
    else:
        top, bottom, left, right = 1, 1, 1, 1
    maps = functional.pad(maps, (left, right, top, bottom), value=-math.inf)
    return functional.max_pool2d(maps, 3, stride=2)


def needs_projection(shortcut, inputs, outputs, stride):
    """Returns whether a block's shortcut is a projection under option A, B or C."""
    if shortcut not in ("A", "B", "C"):
        raise ValueError(f"unknown shortcut {shortcut!r}")
    if shortcut == "C":
        return True
    return shortcut == "B" and (inputs != outputs or stride != 1)


class Block(nn.Module):
    """Base class of both kinds of block, with their shortcut."""

    def __init__(self, inputs, outputs, stride, shortcut):
        super().__init__()
        self.stride = stride
        self.added_channels = outputs - inputs
        self.projects = needs_projection(shortcut, inputs, outputs, stride)
        if self.projects:
            self.projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.projection_bn = nn.BatchNorm2d(outputs)

    def shortcut(self, maps):
        """Applies the projection, or subsamples and appends channels of zeros."""
        if self.projects:
            return self.projection_bn(self.projection(maps))
        maps = maps[:, :, :: self.stride, :: self.stride]
        return functional.pad(maps, (0, 0, 0, 0, 0, self.added_channels))


class BasicBlock(Block):
    """Two 3x3 convolutions; the first has the stride."""

    def __init__(self, inputs, width, stride, shortcut):
        super().__init__(inputs, width, stride, shortcut)
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, maps):
        residual = functional.relu(self.bn1(self.conv1(maps)))
        residual = self.bn2(self.conv2(residual))
        return functional.relu(residual + self.shortcut(maps))


class Bottleneck(Block):
    """A 1x1, a 3x3 and a 1x1 convolution to four times the width; the first has the stride."""

    def __init__(self, inputs, width, stride, shortcut):
        super().__init__(inputs, 4 * width, stride, shortcut)
        self.conv1 = nn.Conv2d(inputs, width, 1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)

    def forward(self, maps):
        residual = functional.relu(self.bn1(self.conv1(maps)))
        residual = functional.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        return functional.relu(residual + self.shortcut(maps))


def stages(blocks, bottleneck, first_width, shortcut):
    """Returns the blocks by name, from conv2_1; each stage after the first halves the maps."""
    block = Bottleneck if bottleneck else BasicBlock
    modules = nn.ModuleDict()
    channels = first_width
    for stage, count in enumerate(blocks):
        width = first_width * 2**stage
        for position in range(1, count + 1):
            stride = 2 if stage > 0 and position == 1 else 1
            modules[f"conv{stage + 2}_{position}"] = block(channels, width, stride, shortcut)
            channels = 4 * width if bottleneck else width
    return modules


class ResNet(nn.Module):
    """A model of table 1, for ImageNet."""

    def __init__(self, blocks, bottleneck, num_classes=1000, shortcut="B", stem_pool="caffe"):
        super().__init__()
        if stem_pool not in ("caffe", "torch"):
            raise ValueError(f"unknown stem_pool {stem_pool!r}")
        self.stem_pool = stem_pool
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.blocks = stages(blocks, bottleneck, 64, shortcut)
        self.fc = nn.Linear(2048 if bottleneck else 512, num_classes)

    def forward(self, images):
        maps = functional.relu(self.bn1(self.conv1(images)))
        maps = stem_max_pool(maps, self.stem_pool)
        for block in self.blocks.values():
            maps = block(maps)
        return self.fc(maps.mean(dim=(2, 3)))


class CifarResNet(nn.Module):
    """The model of section 4.2 with 6n+2 layers, for CIFAR-10."""

    def __init__(self, n, num_classes=10, shortcut="A"):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.blocks = stages([n, n, n], False, 16, shortcut)
        self.fc = nn.Linear(64, num_classes)

    def forward(self, images):
        maps = functional.relu(self.bn1(self.conv1(images)))
        for block in self.blocks.values():
            maps = block(maps)
        return self.fc(maps.mean(dim=(2, 3)))
