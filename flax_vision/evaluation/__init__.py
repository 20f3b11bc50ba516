"""Metrics and test protocols."""
