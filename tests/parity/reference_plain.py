"""The networks that papers compare theirs with, in PyTorch, written from the papers alone.

The plain networks of ResNet's section 3.3 and 4.2, and GoogLeNet of figure 2a's inception modules.
"""

import torch
from reference_googlenet import Auxiliary, max_pool, pad_for_conv1
from reference_lrn import local_response_normalization
from reference_resnet import stem_max_pool
from torch import nn
from torch.nn import functional


def conv3x3(inputs, outputs, stride=1):
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


class TwoLayers(nn.Module):
    """Two 3x3 layers, each with batch normalization and a ReLU, and nothing added."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(inputs, width, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv3x3(width, width), nn.BatchNorm2d(width)

    def forward(self, maps):
        maps = functional.relu(self.bn1(self.conv1(maps)))
        return functional.relu(self.bn2(self.conv2(maps)))


class Plain(nn.Module):
    """A stack of 3x3 layers: half the size and twice the width from stage to stage."""

    def __init__(self, pairs, width, num_classes):
        super().__init__()
        self.pairs = nn.ModuleDict()
        inputs = width
        for stage, count in enumerate(pairs):
            for position in range(count):
                stride = 2 if stage and not position else 1
                outputs = width * 2**stage
                name = f"conv{stage + 2}_{position + 1}"
                self.pairs[name] = TwoLayers(inputs, outputs, stride)
                inputs = outputs
        self.fc = nn.Linear(inputs, num_classes)

    def classify(self, maps):
        for pair in self.pairs.values():
            maps = pair(maps)
        return self.fc(maps.mean(dim=(2, 3)))


class Plain34(Plain):
    """The plain network in the middle of figure 3."""

    def __init__(self, num_classes=1000, stem_pool="caffe"):
        super().__init__([3, 4, 6, 3], 64, num_classes)
        self.stem_pool = stem_pool
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)

    def forward(self, images):
        maps = functional.relu(self.bn1(self.conv1(images)))
        return self.classify(stem_max_pool(maps, self.stem_pool))


class Plain20(Plain):
    """The plain network of section 4.2 with n = 3."""

    def __init__(self, num_classes=10):
        super().__init__([3, 3, 3], 16, num_classes)
        self.conv1, self.bn1 = conv3x3(3, 16), nn.BatchNorm2d(16)

    def forward(self, images):
        return self.classify(functional.relu(self.bn1(self.conv1(images))))


class Naive(nn.Module):
    """Figure 2a: convolutions and a pool side by side on the same maps."""

    def __init__(self, inputs, n1x1, n3x3, n5x5):
        super().__init__()
        self.conv1x1 = nn.Conv2d(inputs, n1x1, 1)
        self.conv3x3 = nn.Conv2d(inputs, n3x3, 3, padding=1)
        self.conv5x5 = nn.Conv2d(inputs, n5x5, 5, padding=2)

    def forward(self, maps):
        branches = [self.conv1x1(maps), self.conv3x3(maps), self.conv5x5(maps)]
        pooled = functional.max_pool2d(maps, 3, stride=1, padding=1)
        return torch.cat([*map(functional.relu, branches), pooled], dim=1)


# Table 1: kernels of 1x1, 3x3 and 5x5.
WIDTHS = {
    "3a": (64, 128, 32),
    "3b": (128, 192, 96),
    "4a": (192, 208, 48),
    "4b": (160, 224, 64),
    "4c": (128, 256, 64),
    "4d": (112, 288, 64),
    "4e": (256, 320, 128),
    "5a": (256, 320, 128),
    "5b": (384, 384, 128),
}


class NaiveGoogLeNet(nn.Module):
    """GoogLeNet of naive modules; returns its logits and the auxiliary logits on 4a and 4d.

    The auxiliary classifiers see single means, as of images of 65 to 80 pixels.
    """

    def __init__(self, num_classes=1000, padding="same", dropout=0.4, auxiliary_dropout=0.7):
        super().__init__()
        self.padding = padding
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2)
        self.conv2_reduce = nn.Conv2d(64, 64, 1)
        self.conv2 = nn.Conv2d(64, 192, 3, padding=1)
        channels = 192
        for name, widths in WIDTHS.items():
            self.add_module(f"inception_{name}", Naive(channels, *widths))
            channels += sum(widths)
            if name in ("4a", "4d"):
                head = Auxiliary(channels, num_classes, auxiliary_dropout, map_size=1)
                self.add_module(f"auxiliary_{name}", head)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, images):
        maps = functional.relu(self.conv1(pad_for_conv1(images, self.padding)))
        maps = max_pool(maps, self.padding)
        maps = local_response_normalization(maps, k=1.0, alpha=1e-4 / 5)
        maps = functional.relu(self.conv2(functional.relu(self.conv2_reduce(maps))))
        maps = max_pool(local_response_normalization(maps, k=1.0, alpha=1e-4 / 5), self.padding)
        heads = []
        for name in WIDTHS:
            if name in ("4a", "5a"):
                maps = max_pool(maps, self.padding)
            maps = self.get_submodule(f"inception_{name}")(maps)
            if name in ("4a", "4d"):
                heads.append(self.get_submodule(f"auxiliary_{name}")(maps))
        return self.linear(self.dropout(maps.mean(dim=(2, 3)))), *heads
