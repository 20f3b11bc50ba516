"""VGG (Simonyan, Zisserman, arXiv 1409.1556) in PyTorch, written from the paper alone."""

from reference_lrn import local_response_normalization
from torch import nn
from torch.nn import functional

# Table 1: (kernel size, channels) of each convolution, by block.
CONFIGURATIONS = {
    "A": [
        [(3, 64)],
        [(3, 128)],
        [(3, 256), (3, 256)],
        [(3, 512), (3, 512)],
        [(3, 512), (3, 512)],
    ],
    "A-LRN": [
        [(3, 64)],
        [(3, 128)],
        [(3, 256), (3, 256)],
        [(3, 512), (3, 512)],
        [(3, 512), (3, 512)],
    ],
    "B": [
        [(3, 64), (3, 64)],
        [(3, 128), (3, 128)],
        [(3, 256), (3, 256)],
        [(3, 512), (3, 512)],
        [(3, 512), (3, 512)],
    ],
    # Section 4.1: each pair of 3x3 convolutions is one 5x5 convolution.
    "B-5x5": [[(5, 64)], [(5, 128)], [(5, 256)], [(5, 512)], [(5, 512)]],
    "C": [
        [(3, 64), (3, 64)],
        [(3, 128), (3, 128)],
        [(3, 256), (3, 256), (1, 256)],
        [(3, 512), (3, 512), (1, 512)],
        [(3, 512), (3, 512), (1, 512)],
    ],
    "D": [
        [(3, 64), (3, 64)],
        [(3, 128), (3, 128)],
        [(3, 256), (3, 256), (3, 256)],
        [(3, 512), (3, 512), (3, 512)],
        [(3, 512), (3, 512), (3, 512)],
    ],
    "E": [
        [(3, 64), (3, 64)],
        [(3, 128), (3, 128)],
        [(3, 256), (3, 256), (3, 256), (3, 256)],
        [(3, 512), (3, 512), (3, 512), (3, 512)],
        [(3, 512), (3, 512), (3, 512), (3, 512)],
    ],
}


class VGG(nn.Module):
    """A configuration of table 1, for images of 32 times the size of fc6's maps."""

    def __init__(self, configuration, num_classes=1000, batch_norm="none", dropout=0.5, map_size=7):
        super().__init__()
        if batch_norm not in ("none", "layer", "block"):
            raise ValueError(f"unknown batch_norm {batch_norm!r}")
        self.configuration = configuration
        self.convs = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        channels = 3
        for block, layers in enumerate(CONFIGURATIONS[configuration], start=1):
            for position, (size, width) in enumerate(layers, start=1):
                name = f"conv{block}_{position}"
                # 3x3: padded by 1; 5x5: by 2; 1x1: not padded
                self.convs[name] = nn.Conv2d(channels, width, size, padding=size // 2)
                if batch_norm == "layer":
                    self.norms[name] = nn.BatchNorm2d(width)
                channels = width
            if batch_norm == "block":
                self.norms[f"block{block}"] = nn.BatchNorm2d(channels)
        self.fc6 = nn.Linear(512 * map_size**2, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)
        self.dropout = nn.Dropout(dropout)

    def layer(self, name, maps):
        """Applies a convolution, its batch normalization if it has one, and a ReLU."""
        maps = self.convs[name](maps)
        if name in self.norms:
            maps = self.norms[name](maps)
        maps = functional.relu(maps)
        if self.configuration == "A-LRN" and name == "conv1_1":
            maps = local_response_normalization(maps, k=2.0, alpha=1e-4)
        return maps

    def forward(self, images):
        maps = images
        for block, layers in enumerate(CONFIGURATIONS[self.configuration], start=1):
            for position in range(1, len(layers) + 1):
                maps = self.layer(f"conv{block}_{position}", maps)
            if f"block{block}" in self.norms:
                maps = self.norms[f"block{block}"](maps)
            maps = functional.max_pool2d(maps, 2, stride=2)
        features = maps.flatten(1)
        features = self.dropout(functional.relu(self.fc6(features)))
        features = self.dropout(functional.relu(self.fc7(features)))
        return self.fc8(features)
