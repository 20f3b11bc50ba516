"""Evaluation of saved models: test protocols, metrics and predictions for image files."""
