"""ROS 2 nodes: convert, one call into the core, convert. Only this folder knows rclpy and message types."""

import signal
import sys

# `python -m wsss_ros.nodes.NAME` comes by here before its slow imports (sys.argv says so): Ctrl-C ends those without
# a traceback. `run` takes over from there.
if sys.argv[:1] == ["-m"]:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
