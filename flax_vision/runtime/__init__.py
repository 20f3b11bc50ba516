"""The process, its devices, and the other processes of a run."""
