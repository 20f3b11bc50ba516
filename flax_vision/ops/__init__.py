"""Convolution, pooling and normalization: the plain form and the fast one of each.

The plain forms say what is computed, and are what GPUs and TPUs get: XLA lowers them well there.
The fast forms give the same numbers on a CPU, where it does not.
"""
