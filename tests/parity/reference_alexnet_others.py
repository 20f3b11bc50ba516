"""One column of AlexNet, and the network of its figure 1, in PyTorch.

Written from the paper and from the authors' configuration files alone.
"""

import torch
from reference_lrn import local_response_normalization
from torch import nn
from torch.nn import functional


class OneColumn(nn.Module):
    """The model for 224x224 images of `layers-145-half.cfg`, with the paper's order of layers."""

    def __init__(self, num_classes, kernels):
        super().__init__()
        one, two, three, four, five = kernels
        self.conv1 = nn.Conv2d(3, one, 11, stride=4)
        self.conv2 = nn.Conv2d(one, two, 5, padding=2)
        self.conv3 = nn.Conv2d(two, three, 3, padding=1)
        self.conv4 = nn.Conv2d(three, four, 3, padding=1)
        self.conv5 = nn.Conv2d(four, five, 3, padding=1)
        self.fc6 = nn.Conv2d(five, 4096, 6)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)

    def forward(self, images):
        x = functional.relu(self.conv1(functional.pad(images, (0, 3, 0, 3))))
        x = functional.max_pool2d(local_response_normalization(x, 2.0, 1e-4), 3, stride=2)
        x = functional.relu(self.conv2(x))
        x = functional.max_pool2d(local_response_normalization(x, 2.0, 1e-4), 3, stride=2)
        for layer in (self.conv3, self.conv4, self.conv5):
            x = functional.relu(layer(x))
        x = functional.relu(self.fc6(functional.max_pool2d(x, 3, stride=2))).flatten(1)
        return self.fc8(functional.relu(self.fc7(x)))


class Cifar(nn.Module):
    """The model of `layers-18pct.cfg` without its normalization."""

    def __init__(self, activation, size):
        super().__init__()
        self.activation = {"relu": functional.relu, "tanh": torch.tanh}[activation]
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc4 = nn.Conv2d(64, 10, {32: 4, 28: 3}[size])

    def forward(self, x):
        x = self.conv1(x)
        x = self.activation(functional.max_pool2d(x, 3, stride=2, ceil_mode=True))
        for layer in (self.conv2, self.conv3):
            x = self.activation(layer(x))
            x = functional.avg_pool2d(x, 3, stride=2, ceil_mode=True)
        return self.fc4(x).flatten(1)
