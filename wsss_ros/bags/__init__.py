"""Bags of ROS 2 messages: one table of encodings; bags are written, read, played and repaired."""
