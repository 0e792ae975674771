"""New weights for a running segmenter: loaded beside the one at work, tried, and taken between two frames."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from std_msgs.msg import String

from wsss_ros.nodes.health import WARN
from wsss_ros.nodes.node import MAP
from wsss_ros.nodes.worker import Worker
from wsss_ros.types import BadInput

PATIENCE_S = 10.0  # that a load in hand gets to end when the node is deactivated
RETRY_S = 5.0  # after a failure that may pass: a GPU whose memory a training has just now


@dataclass(frozen=True)
class InUse:
    """A network at work and the file it came from. What a frame is labelled with is read once, at its start."""

    segmenter: Any
    file: str


class HandOver:
    """Follows a latched topic of paths of immutable checkpoints; ``current`` is what the next frame is labelled with.

    The newest announcement wins. It is loaded on a thread of its own (``Segmenter.with_weights``, which refuses
    another label space) and tried by ``dry_run(segmenter)``; both raise for what cannot be used. The swap is a job
    of the node's worker, and so between two frames. A refused file leaves the old network at work, and the diagnostics
    say so until another announcement; what failed for another reason is tried again. The version in
    use is published on ``~/weights``, latched: after the last frame of the version before it and ahead of its own
    first one.
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
        self.taken = 0
        self.trouble = ""
        self._dry_run = dry_run
        self._wanted = self._failed = ""
        self._loader = Worker(lambda _, function, arguments, __: function(*arguments), lambda _: None)
        # Not a lifecycle publisher: the version holds from configure on.
        self._versions = node.create_publisher(String, "~/weights", MAP)
        self._tell()

    def start(self) -> None:
        """At activate: the newest announcement arrives now, if there was one."""
        self._loader.start()
        self.node.listen(String, self.topic, self.on_announced, MAP, "new weights", missed=lambda: False)
        self.node.every(RETRY_S, self._try_again)

    def stop(self) -> None:
        """At deactivate: a load in hand comes to nothing; its file is announced again at the next activate."""
        self._wanted = self._failed = ""
        if not self._loader.stop(PATIENCE_S):
            self.node.get_logger().warning("new weights were still being loaded; they are left out")

    def release(self) -> None:
        self.node.destroy_publisher(self._versions)
        device, self.current = self.current.segmenter.device, None
        _free_memory_of(device)

    def report(self) -> tuple[list[tuple[int, str]], dict[str, str]]:
        current = self.current
        values = {"weights": current.segmenter.version, "weights_file": current.file, "hand_overs": str(self.taken)}
        return [(WARN, self.trouble)] if self.trouble else [], values

    def on_announced(self, message: String) -> None:
        self._wanted = message.data
        self.trouble = self._failed = ""
        if message.data != self.current.file:
            self._loader.put("weights", self._try, message.data)

    def _try_again(self) -> None:
        path, self._failed = self._failed, ""
        if path and path == self._wanted:
            self._loader.put("weights", self._try, path)

    # --- on the loader's thread ---

    def _try(self, path: str) -> None:
        if path != self._wanted or path == self.current.file:
            return
        try:
            made = self._usable(path)
        except Exception as error:  # torch raises many kinds
            self._refuse(path, error)
        else:
            self.node.submit("hand-over", self._take, InUse(made, path))

    def _usable(self, path: str) -> Any:
        """Raises whatever shows that the file cannot be used."""
        if not Path(path).is_absolute() or not Path(path).is_file():
            raise BadInput(f"'{path}' is no file here; wanted the absolute path of a checkpoint")
        _read_through(path)
        made = self.current.segmenter.with_weights(path)
        _, confidence = self._dry_run(made)
        if not np.isfinite(confidence).all():
            raise BadInput(f"{path}: its scores are not finite on a plain input; training diverged, use an earlier one")
        return made

    def _refuse(self, path: str, error: Exception) -> None:
        if path != self._wanted:
            return
        version = self.current.segmenter.version
        if isinstance(error, BadInput):
            self.trouble = f"new weights refused: {error}; {version} stays, announce a sound file"
            self.node.health.drop("new weights refused")
        else:
            self._failed = path
            told = f"{path}: {type(error).__name__}: {error}"
            self.trouble = f"new weights not loaded: {told}; {version} stays, it is tried again every {RETRY_S:g} s"
            self.node.health.drop("new weights not loaded")
        self.node.get_logger().warning(self.trouble)
        _free_memory_of(self.current.segmenter.device)

    # --- on the node's worker ---

    def _take(self, new: InUse) -> None:
        """Between two frames. One assignment: a frame has read either the old pair or the new one."""
        if new.file != self._wanted:
            return
        before = self.current.segmenter.version
        self.current = new
        self.trouble = ""
        self.taken += 1
        self._tell()
        _free_memory_of(new.segmenter.device)
        self.node.get_logger().info(f"weights {new.segmenter.version} of {new.file} in place of {before}")

    def _tell(self) -> None:
        self._versions.publish(String(data=self.current.segmenter.version))


def _read_through(path: str) -> None:
    """Bring the file into memory. This waits for the disk without Python's lock; the reader of checkpoints holds it."""
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass


def _free_memory_of(device: Any) -> None:
    """What nothing refers to any longer goes back to the GPU, for a training beside us needs it."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
