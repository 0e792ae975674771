"""The process of a node: it spins until a signal comes, then ends in order."""

import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from wsss_ros.bags import unpacking
from wsss_ros.node_set import END_WITH_PARENT
from wsss_ros.nodes import logs
from wsss_ros.nodes.node import Node
from wsss_ros.processes.allocator import tune_allocator
from wsss_ros.processes.parent import end_with_parent

# Seconds for the end of the DDS participant. On a busy machine Fast DDS sometimes waits there for itself, for ever.
END_S = 10.0


def run(make: Callable[[], Node], args: list[str] | None = None) -> NoReturn:
    """Spin one node until SIGINT or SIGTERM, end it in order, and end the process with the node's ``exit_status``.

    The status is 1 where the node cannot start and shall not wait (``exit_on_failure``).
    """
    if os.environ.get(END_WITH_PARENT):
        end_with_parent(signal.SIGINT)
    tune_allocator()
    status = _spin(make, args)
    gc.collect()  # the last reference to the node: its DDS participant ends and removes its shared memory
    _exit(status)


def _spin(make: Callable[[], Node], args: list[str] | None) -> int:
    """Spin one node until a signal, and end it in order; returns its ``exit_status``."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    node, started = None, False
    try:
        rclpy.init(args=logs.arguments(args))
        started = True
        executor = SingleThreadedExecutor()
        node = make()
        executor.add_node(node)
        if not node.start():
            return 1  # after the end in order below
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok() or not started:  # after a signal, unfinished calls fail because the context is gone
            raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.close()
            faulthandler.dump_traceback_later(END_S, exit=True)  # until _exit; works without the lock of Python
            node.destroy_node()
        _shut_down()
    return 0 if node is None else node.exit_status


def _shut_down() -> None:
    """Shut ROS down, unless the signal handler of rclpy does it at this moment: only one of them succeeds."""
    try:
        rclpy.try_shutdown()
    except RuntimeError:
        if rclpy.ok():
            raise


def _exit(status: int) -> NoReturn:
    """End the process without Python's exit handlers: one of torch's sometimes crashes there.

    ``torch.library`` removes its operators at exit; about 1 in 15 exits on a busy machine is a segmentation fault.
    """
    unpacking.clear()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
