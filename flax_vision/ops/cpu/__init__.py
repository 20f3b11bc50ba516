"""CPU kernels of the operations in `ops`, under the same names: see README.md."""

from flax_vision.ops.cpu.activations import tanh as tanh
from flax_vision.ops.cpu.convolution import apply_epilogue as apply_epilogue
from flax_vision.ops.cpu.convolution import conv as conv
from flax_vision.ops.cpu.normalization import local_response_norm as local_response_norm
from flax_vision.ops.cpu.normalization import normalize as normalize
from flax_vision.ops.cpu.onednn_library import describe as describe
from flax_vision.ops.cpu.pooling import max_pool as max_pool
from flax_vision.ops.cpu.pooling import sum_pool as sum_pool
