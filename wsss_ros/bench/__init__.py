"""Measurements: what a training step costs, and how fast networks, conversions and nodes are."""
