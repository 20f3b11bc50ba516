"""Networks and their parameters, in and out of files."""
