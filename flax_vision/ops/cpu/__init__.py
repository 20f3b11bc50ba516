"""Fast forms of the operations for CPUs."""
