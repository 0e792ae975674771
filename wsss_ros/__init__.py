"""Semantic segmentation for ROS 2, learned from class tags only."""

__version__ = "0.1.0"
