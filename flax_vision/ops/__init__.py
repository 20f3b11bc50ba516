"""Convolution, pooling and normalization: readable reference operations.

On a CPU, `backend` replaces some of them by the kernels in `ops/cpu`, which XLA runs faster there.
"""
