"""CPU kernels of the operations in `ops`, under the same names: see README.md."""

from flax_vision.ops.cpu.activations import tanh
from flax_vision.ops.cpu.convolution import apply_epilogue, conv
from flax_vision.ops.cpu.normalization import local_response_norm, normalize
from flax_vision.ops.cpu.onednn_library import describe
from flax_vision.ops.cpu.pooling import max_pool, sum_pool

__all__ = [
    "apply_epilogue",
    "conv",
    "describe",
    "local_response_norm",
    "max_pool",
    "normalize",
    "sum_pool",
    "tanh",
]
