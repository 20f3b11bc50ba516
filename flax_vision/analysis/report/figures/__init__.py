"""Figures of the report, drawn by matplotlib."""
