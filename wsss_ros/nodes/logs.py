"""The core's standard logger, passed on to a ROS logger; whether ROS can write log files."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsss_ros.files import expanded, writable_folder
from wsss_ros.types import BadInput


class RosHandler(logging.Handler):
    """Writes the records of a standard logger to a ROS logger, at the same level."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self.logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self.logger.error(text)
        elif record.levelno >= logging.WARNING:
            self.logger.warning(text)
        elif record.levelno >= logging.INFO:
            self.logger.info(text)
        else:
            self.logger.debug(text)


def bridge(logger: Any) -> None:
    """Send what the core logs to the log of ROS. The newest ``logger`` replaces the one before."""
    core = logging.getLogger("wsss_ros")
    core.handlers = [handler for handler in core.handlers if not isinstance(handler, RosHandler)]
    core.addHandler(RosHandler(logger))
    core.setLevel(logging.INFO)
    core.propagate = False


def arguments(args: Sequence[str] | None = None, variables: Mapping[str, str] = os.environ) -> list[str]:
    """The arguments for ``rclpy.init``, without log files where their folder cannot be written.

    ROS itself ends with an error then: for a user without a home, or with a read-only one, or on a full disk.
    """
    given = list(sys.argv if args is None else args)
    try:
        writable_folder(_folder(variables))
    except (BadInput, OSError) as error:
        text = "ROS writes no log files, the console has everything; set ROS_LOG_DIR to a folder that can be written"
        print(f"wsss: {error}: {text}", file=sys.stderr, flush=True)
        given += ["--ros-args", "--disable-external-lib-logs"]
    return given


def _folder(variables: Mapping[str, str]) -> Path:
    """Where ROS writes its log files."""
    if chosen := variables.get("ROS_LOG_DIR"):
        return expanded(chosen)
    if home := variables.get("ROS_HOME"):
        return expanded(home) / "log"
    if not variables.get("HOME"):
        raise BadInput("no log folder: HOME is not set")
    return expanded("~/.ros/log")
