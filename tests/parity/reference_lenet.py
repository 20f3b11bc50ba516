"""LeNet-5 along a field of any width, in PyTorch, written from the paper alone (sections II, VII).

Its layers are functions of arrays: connections as in table I are no module of PyTorch.
"""

import torch
from torch.nn import functional

# Table I by the maps of C3: the maps of S2 that each one sees.
C3_INPUTS = [
    *[(0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)],
    *[(0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)],
    *[(0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)],
]


def squash(a):
    return 1.7159 * torch.tanh(2 / 3 * a)


def subsample(x, coefficient, bias):
    """Adds four neighbors, multiplies by a coefficient and adds a bias, each of its map."""
    total = 4 * functional.avg_pool2d(x, 2)  # a column that is left over has no unit
    return squash(coefficient[:, None, None] * total + bias[:, None, None])


def partial_convolution(x, kernels, bias):
    """Applies C3, one map after another.

    Args:
      x: Maps of S2.
      kernels: Kernels [5, 5] by the maps of S2 and of C3 that they connect.
      bias: Biases of the maps of C3.
    """
    maps = []
    for target, sources in enumerate(C3_INPUTS):
        kernel = torch.stack([kernels[source, target] for source in sources])[None]
        maps.append(functional.conv2d(x[:, list(sources)], kernel, bias[target : target + 1]))
    return squash(torch.cat(maps, dim=1))


def scan(images, params, kernels, codes):
    """Returns the negated distances [N, positions, classes] along images [N, 1, 32, W].

    Args:
      images: Preprocessed images.
      params: Tensors by layer and name, kernels as PyTorch has them.
      kernels: Kernels of C3, see `partial_convolution`.
      codes: Codes [classes, 84].
    """

    def conv(layer, x):
        return squash(functional.conv2d(x, params[layer]["kernel"], params[layer]["bias"]))

    x = subsample(conv("C1", images), **params["S2"])
    x = subsample(partial_convolution(x, kernels, params["C3"]["bias"]), **params["S4"])
    c5 = conv("C5", x)
    f6 = squash(c5[:, :, 0].transpose(1, 2) @ params["F6"]["kernel"].T + params["F6"]["bias"])
    return -(torch.cdist(f6, codes[None].expand(len(f6), -1, -1)) ** 2)
