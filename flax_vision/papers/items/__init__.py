"""The tables, figures and sections of each paper as data."""
