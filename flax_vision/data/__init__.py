"""Datasets, batches, preprocessing and augmentation."""
