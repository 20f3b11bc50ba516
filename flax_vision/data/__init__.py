"""Data sets, their order, and what happens to their pixels."""
