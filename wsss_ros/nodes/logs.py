"""The core's standard logger, passed on to a ROS logger."""

import logging
from typing import Any


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
