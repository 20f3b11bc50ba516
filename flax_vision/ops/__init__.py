"""Convolution, pooling and normalisation in the forms that are fast."""
