"""What the ROS side costs, measured by ``python -m wsss_ros.nodes.bench`` in a process of its own."""

import json
import subprocess
import sys


def measure() -> dict:
    """The object that the process prints: ``conversions_ms``, ``transport`` and ``NODE_ms`` of both segmenters.

    Raises OSError with the end of its output when it fails.
    """
    command = [sys.executable, "-m", "wsss_ros.nodes.bench"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"'{' '.join(command)}' ended with status {done.returncode}: {done.stderr.strip()[-800:]}")
    return json.loads(done.stdout)
