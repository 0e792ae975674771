"""Playing a recording by the wall clock, with rate, pause and loop. It needs no ROS."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from wsss_ros.bags.bag import Bag, is_bag
from wsss_ros.bags.recording import BagConfig, Raw, Recording, SceneRecording
from wsss_ros.files import expanded
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import open_scene
from wsss_ros.scenes.reading import Reading
from wsss_ros.types import BadInput

LATE_NS = 50_000_000  # if a message is later than this, the replay slows down instead of sending many at once


def open_recording(
    source: str | Path, labels: LabelSpace, config: BagConfig | None = None, reading: Reading | None = None
) -> Bag | SceneRecording:
    """Open a bag, or a scene folder, whose messages are made while it plays; ``reading`` is that of ``open_scene``.

    Raises BadInput for another ``source``, and for a bag with a ``reading``.
    """
    if not str(source):
        raise BadInput("nothing to replay; set 'source' to a bag (.mcap, .db3 or its folder) or a scene folder")
    path = expanded(source)
    if not path.exists():
        raise BadInput(f"{path}: no such bag or scene; give a .mcap or .db3 file, its folder, or a scene folder")
    if is_bag(path) and reading is not None:
        raise BadInput(f"{path} is a bag; layout, depth scale and intrinsics are options of scene folders")
    if is_bag(path):
        return Bag(path)
    return SceneRecording(open_scene(path, labels, reading=reading), config or BagConfig())


class Playback:
    """Sends a recording's messages when they are due. All methods may be called from any thread.

    The time of the replay (``now_ns``, for /clock) runs ``rate`` times as fast as the wall clock. It never passes a
    message that has not been sent, and never goes back, except when a loop starts again. If messages cannot be made or
    sent fast enough, the replay slows down; ``behind_s`` is the sum of these delays.
    """

    def __init__(self, recording: Recording, rate: float = 1.0, loop: bool = False, paused: bool = False) -> None:
        self.recording, self.rate, self.loop = recording, rate, loop
        self.loops = self.sent = 0
        self.behind_s = 0.0
        self.paused, self.stopped = paused, False
        self._changed = threading.Condition()
        self._anchor: tuple[float, int] | None = None  # (wall clock in s, stamp in ns) of one moment
        self._limit = 0

    def play(self, send: Callable[[Raw], None]) -> None:
        """Send every message when it is due; returns at the end, or soon after ``stop``."""
        self._once(send)
        while self.loop and not self.stopped:
            self.loops += 1
            self._once(send)

    def _once(self, send: Callable[[Raw], None]) -> None:
        with self._changed:
            self._anchor = None
        for raw in self._due():
            send(raw)
            self.sent += 1

    def _due(self) -> Iterator[Raw]:
        for raw in self.recording.raw():
            if not self._wait_for(raw.stamp_ns):
                return
            yield raw

    def _wait_for(self, stamp_ns: int) -> bool:
        """Wait until ``stamp_ns`` is due. Returns False when the replay is stopped."""
        with self._changed:
            if self._anchor is None:
                self._anchor, self._limit = (time.monotonic(), stamp_ns), stamp_ns
            self._limit = max(self._limit, stamp_ns)
            self._slow_down(stamp_ns)
            while not self.stopped:
                wait_s = None if self.paused else (stamp_ns - self._wall_ns()) / 1e9 / self.rate
                if wait_s is not None and wait_s <= 0:
                    return True
                self._changed.wait(wait_s)
            return False

    def _slow_down(self, stamp_ns: int) -> None:
        late_ns = self._wall_ns() - stamp_ns
        if late_ns > LATE_NS * self.rate:
            self.behind_s += late_ns / 1e9 / self.rate
            self._anchor = (time.monotonic(), stamp_ns)

    def _wall_ns(self) -> int:
        wall, stamp_ns = self._anchor
        return stamp_ns if self.paused else stamp_ns + int((time.monotonic() - wall) * 1e9 * self.rate)

    def now_ns(self) -> int | None:
        """The time of the replay; None before the first message."""
        with self._changed:
            return None if self._anchor is None else min(self._wall_ns(), self._limit)

    def pause(self) -> None:
        """Send nothing until ``resume``; the time of the replay stands still."""
        with self._changed:
            if not self.paused and self._anchor is not None:
                self._anchor = (time.monotonic(), min(self._wall_ns(), self._limit))
            self.paused = True
            self._changed.notify_all()

    def resume(self) -> None:
        """Continue where ``pause`` stopped."""
        with self._changed:
            if self.paused and self._anchor is not None:
                self._anchor = (time.monotonic(), self._anchor[1])
            self.paused = False
            self._changed.notify_all()

    def stop(self) -> None:
        """Stop the replay; ``play`` returns soon."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()
