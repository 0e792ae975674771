"""New weights for a running segmenter: loaded next to the current ones, tried, and swapped in between two frames."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from std_msgs.msg import String

from wsss_ros.nodes.health import WARN, Report
from wsss_ros.nodes.qos import MAP
from wsss_ros.nodes.worker import Worker
from wsss_ros.types import BadInput

LOAD_PATIENCE_S = 10.0  # for a running load to end when the node is deactivated
RETRY_S = 5.0  # after a failure that may pass, such as a GPU whose memory a training holds at the moment


@dataclass(frozen=True)
class InUse:
    """The network in use and its file. A frame reads this once, at its start, and so sees one network only."""

    segmenter: Any
    file: str


class HandOver:
    """Follows a latched topic of paths of immutable checkpoints. ``current`` labels the next frame.

    The newest announcement wins. It is loaded on a thread of its own (``Segmenter.with_weights``, which refuses another
    label space) and tried by ``dry_run(segmenter)``; both raise for a file that cannot be used. The swap is a job of
    the node's worker, and so between two frames. After a refused file the previous network stays in use, and the
    diagnostics say so until another announcement; a failure for another reason is tried again. The version in use is
    published on ``~/weights``, latched: after the last frame of the previous version and before the first of its own.
    """

    def __init__(
        self,
        node: Any,
        topic: str,
        first: Any,
        dry_run: Callable[[Any], tuple[np.ndarray, np.ndarray]],
    ) -> None:
        self.node, self.topic = node, topic
        self.current = InUse(first, first.file)
        self.count = 0
        self.problem = ""
        self._dry_run = dry_run
        self._announced = self._failed = ""
        self._loader = Worker(lambda _, function, arguments, __: function(*arguments), lambda _: None)
        # Not a lifecycle publisher: the version is valid from configure on.
        self._versions = node.create_publisher(String, "~/weights", MAP)
        self._publish_version()

    def start(self) -> None:
        """At activation: the newest announcement arrives now, if there was one."""
        self._loader.start()
        self.node.subscribe(String, self.topic, self.on_announced, MAP, "new weights", needed=lambda: False)
        self.node.every(RETRY_S, self._try_again)

    def stop(self) -> None:
        """At deactivation: a running load is discarded; its file is announced again at the next activation."""
        self._announced = self._failed = ""
        if not self._loader.stop(LOAD_PATIENCE_S):
            self.node.get_logger().warning("new weights were still being loaded; they are left out")

    def release(self) -> None:
        """At cleanup: free the network and its memory."""
        self.node.destroy_publisher(self._versions)
        device, self.current = self.current.segmenter.device, None
        _free_memory_of(device)

    def report(self) -> Report:
        """Problems and values for the diagnostics."""
        current = self.current
        values = {"weights": current.segmenter.version, "weights_file": current.file, "hand_overs": str(self.count)}
        return [(WARN, self.problem)] if self.problem else [], values

    def on_announced(self, message: String) -> None:
        """Start to load the announced file, unless it is in use."""
        self._announced = message.data
        self.problem = self._failed = ""
        if message.data != self.current.file:
            self._loader.put("weights", self._try, message.data)

    def _try_again(self) -> None:
        path, self._failed = self._failed, ""
        if path and path == self._announced:
            self._loader.put("weights", self._try, path)

    # --- on the loader's thread ---

    def _try(self, path: str) -> None:
        if path != self._announced or path == self.current.file:
            return
        try:
            segmenter = self._loaded(path)
        except Exception as error:  # torch raises many kinds
            self._refuse(path, error)
        else:
            self.node.submit("hand-over", self._swap, InUse(segmenter, path))

    def _loaded(self, path: str) -> Any:
        """A segmenter that was tried. Raises whatever shows that the file cannot be used.

        It is the current one if the file has the same weights, as after a round that promoted the other network only.
        """
        if not Path(path).is_absolute() or not Path(path).is_file():
            raise BadInput(f"'{path}' is not a file here; expected the absolute path of a checkpoint")
        _read_through(path)
        current = self.current.segmenter
        segmenter = current.with_weights(path)
        if segmenter.version == current.version:
            return current
        _, confidence = self._dry_run(segmenter)
        if not np.isfinite(confidence).all():
            raise BadInput(f"{path}: its scores are not finite on a plain input; training diverged, use an earlier one")
        return segmenter

    def _refuse(self, path: str, error: Exception) -> None:
        if path != self._announced:
            return
        version = self.current.segmenter.version
        if isinstance(error, BadInput):
            self.problem = f"new weights refused: {error}; {version} stays, announce a sound file"
            self.node.health.drop("new weights refused")
        else:
            self._failed = path
            reason = f"{path}: {type(error).__name__}: {error}"
            self.problem = f"new weights not loaded: {reason}; {version} stays, it is tried again every {RETRY_S:g} s"
            self.node.health.drop("new weights not loaded")
        _free_memory_of(self.current.segmenter.device)

    # --- on the node's worker ---

    def _swap(self, new: InUse) -> None:
        """Between two frames. It is one assignment, so a frame reads either the previous pair or the new one."""
        if new.file != self._announced:
            return
        before = self.current.segmenter.version
        self.current = new
        self.problem = ""
        self.count += 1
        self._publish_version()
        _free_memory_of(new.segmenter.device)
        self.node.get_logger().info(f"weights {new.segmenter.version} of {new.file} in place of {before}")

    def _publish_version(self) -> None:
        self._versions.publish(String(data=self.current.segmenter.version))


def _read_through(path: str) -> None:
    """Read the file into memory. This waits for the disk without Python's lock; the reader of checkpoints holds it."""
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass


def _free_memory_of(device: Any) -> None:
    """Return unused memory to the GPU: a training in another process needs it."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
