"""Processes: start, wait for and end child processes; handle signals; end with the parent process."""
