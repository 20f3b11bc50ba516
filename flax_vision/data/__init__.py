"""Data sets, batches, preprocessing and augmentation."""
