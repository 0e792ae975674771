"""What the ROS side costs, measured in a process of its own, such as ``python -m wsss_ros.nodes.bench``."""

import json
import subprocess
import sys


def measure(module: str = "wsss_ros.nodes.bench", *arguments: str) -> dict:
    """The object that the process prints; by default ``conversions_ms``, ``transport`` and ``NODE_ms`` of segmenters.

    Raises OSError with the end of its output when it fails.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"'{' '.join(command)}' ended with status {done.returncode}: {done.stderr.strip()[-800:]}")
    return json.loads(done.stdout)
