"""The axes of a mesh of devices, by their names."""

DATA = "data"
"""Along which each device has its share of a batch."""

COLUMN = "column"
"""Along which each device has a column of AlexNet's."""
