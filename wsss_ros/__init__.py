"""Semantic segmentation for ROS 2, learned from class tags only."""

import os

__version__ = "0.1.0"

# Threads that compute together (torch, numba) sleep while they wait for each other. By default they spin: as soon as
# another process wants the same cores, as other nodes of a robot do, each step takes milliseconds. This has to be
# set before torch is loaded: a program that imports torch first has to set it itself. A value of the user's own is
# kept.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
