"""Preparation of datasets in the format of TensorFlow Datasets (TFDS), without TensorFlow."""
