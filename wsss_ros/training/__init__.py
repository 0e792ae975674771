"""A training run: its data, folder, processes, optimisers, log and network files."""
