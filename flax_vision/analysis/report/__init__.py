"""Writes the HTML report of a training run."""
