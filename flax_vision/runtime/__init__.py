"""The process, its devices and its peers."""
