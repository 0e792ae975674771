"""Processes: starting, waiting for and ending children; signals; ending with the parent."""
