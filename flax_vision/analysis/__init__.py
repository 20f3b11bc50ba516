"""Measures the cost of a model, and reports the results of a run."""
