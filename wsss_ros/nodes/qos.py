"""Quality of service: the profiles of this package's topics."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

# Sensor input: the newest wins. The companions of an image may queue, so that a busy moment loses no match.
SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
COMPANION = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
SMALL_SENSOR = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
# Results frame by frame: reliable, as RViz asks for; best-effort subscribers match too.
RESULT = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
# Maps: the last one is kept for late subscribers.
MAP = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
