"""AlexNet (Krizhevsky, Sutskever, Hinton, NIPS 2012) in PyTorch, written from the paper alone."""

import torch
from reference_lrn import local_response_normalization
from torch import nn
from torch.nn import functional

# Convention: k, alpha of each term of the sum, whether the sum spans both columns.
LRN_CONVENTIONS = {
    "paper": (2.0, 1e-4, False),
    "paper_whole_layer": (2.0, 1e-4, True),
    "2012code": (2.0, 1e-4 / 5, False),
    "caffe": (1.0, 1e-4 / 5, True),
}


class AlexNet(nn.Module):
    """The two-column model for 224x224 images, with a module for each layer of each column."""

    def __init__(self, num_classes=1000, lrn="paper", dropout=0.5, pool=3):
        super().__init__()
        self.pool, self.has_lrn = pool, lrn != "none"
        if self.has_lrn:
            self.k, self.alpha, self.lrn_over_both_columns = LRN_CONVENTIONS[lrn]
        self.conv1_a = nn.Conv2d(3, 48, 11, stride=4)
        self.conv1_b = nn.Conv2d(3, 48, 11, stride=4)
        self.conv2_a = nn.Conv2d(48, 128, 5, padding=2)
        self.conv2_b = nn.Conv2d(48, 128, 5, padding=2)
        self.conv3_a = nn.Conv2d(256, 192, 3, padding=1)
        self.conv3_b = nn.Conv2d(256, 192, 3, padding=1)
        self.conv4_a = nn.Conv2d(192, 192, 3, padding=1)
        self.conv4_b = nn.Conv2d(192, 192, 3, padding=1)
        self.conv5_a = nn.Conv2d(192, 128, 3, padding=1)
        self.conv5_b = nn.Conv2d(192, 128, 3, padding=1)
        self.fc6_a = nn.Linear(256 * 6 * 6, 2048)
        self.fc6_b = nn.Linear(256 * 6 * 6, 2048)
        self.fc7_a = nn.Linear(4096, 2048)
        self.fc7_b = nn.Linear(4096, 2048)
        self.fc8 = nn.Linear(4096, num_classes)
        self.dropout = nn.Dropout(dropout)

    def normalize(self, a, b):
        """Normalizes the responses of both columns, separately or as one layer."""
        if not self.has_lrn:
            return a, b
        if not self.lrn_over_both_columns:
            return (
                local_response_normalization(a, self.k, self.alpha),
                local_response_normalization(b, self.k, self.alpha),
            )
        both = torch.cat([a, b], dim=1)
        both = local_response_normalization(both, self.k, self.alpha)
        return both.chunk(2, dim=1)

    def forward(self, images):
        # 224 -> 227 with zeros at the right and at the bottom only: 55 windows fit
        images = functional.pad(images, (0, 3, 0, 3))
        a = functional.relu(self.conv1_a(images))
        b = functional.relu(self.conv1_b(images))
        a, b = self.normalize(a, b)
        a = functional.max_pool2d(a, self.pool, stride=2)  # 55 -> 27
        b = functional.max_pool2d(b, self.pool, stride=2)

        a = functional.relu(self.conv2_a(a))
        b = functional.relu(self.conv2_b(b))
        a, b = self.normalize(a, b)
        a = functional.max_pool2d(a, self.pool, stride=2)  # 27 -> 13
        b = functional.max_pool2d(b, self.pool, stride=2)

        both = torch.cat([a, b], dim=1)
        a = functional.relu(self.conv3_a(both))
        b = functional.relu(self.conv3_b(both))
        a = functional.relu(self.conv4_a(a))
        b = functional.relu(self.conv4_b(b))
        a = functional.relu(self.conv5_a(a))
        b = functional.relu(self.conv5_b(b))
        a = functional.max_pool2d(a, self.pool, stride=2)  # 13 -> 6
        b = functional.max_pool2d(b, self.pool, stride=2)

        both = torch.cat([a, b], dim=1).flatten(1)
        a = self.dropout(functional.relu(self.fc6_a(both)))
        b = self.dropout(functional.relu(self.fc6_b(both)))
        both = torch.cat([a, b], dim=1)
        a = self.dropout(functional.relu(self.fc7_a(both)))
        b = self.dropout(functional.relu(self.fc7_b(both)))
        return self.fc8(torch.cat([a, b], dim=1))
