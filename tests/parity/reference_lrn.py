"""Local response normalization (Krizhevsky et al., 2012, section 3.3) from its formula."""

import torch
from torch.nn import functional


def local_response_normalization(maps, k, alpha, beta=0.75, n=5):
    """Divides each channel by (k + alpha * sum of the squares of its n neighbors)^beta."""
    channels = maps.shape[1]
    squares = functional.pad(maps**2, (0, 0, 0, 0, n // 2, n // 2))  # zero channels at both ends
    total = torch.zeros_like(maps)
    for shift in range(n):
        total = total + squares[:, shift : shift + channels]
    return maps / (k + alpha * total) ** beta
