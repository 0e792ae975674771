"""From a stream of views and tags to tagged scenes: when a scene starts and ends, and which tags belong to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from wsss_ros.bags.cdr import read_tag
from wsss_ros.geometry import rectified
from wsss_ros.online.open_scene import OpenScene
from wsss_ros.online.settings import StoreConfig
from wsss_ros.online.store import SceneStore
from wsss_ros.types import BadInput, Frame

_MAX_WAITING = 5000  # tags
_GRACE_S = 1.0  # a view may take this long to arrive and to pass the worker
RETRY_S = 10.0  # after a full disk


@dataclass(frozen=True)
class Tag:
    """Tags of an image or a scene (``LabelSpace.tag_list``); they wait for a view until the time ``until``."""

    about: Literal["image", "scene"]
    names: tuple[str, ...]
    stamp_ns: int | None
    until: float


class Collector:
    """Passes views and tags to the open scene of ``store`` and decides when a scene starts and ends.

    With ``automatic`` the first view starts a scene, otherwise only ``start`` does. A scene ends by the rules of its
    config (distance, duration, silence, overlap) and by ``finish``. Stamps that jump back (a looped bag) do not end
    it: the scene knows the views of the same places already. After a full disk the next scene starts a little later.
    A tag waits a little for a view of its time.

    ``now`` is seconds of a clock that never jumps. ``report`` receives a sentence when a scene starts or ends
    automatically. Not for use from several threads.

    Attributes:
        scene: The open scene, if there is one.
        waiting: Tags that wait for a view.
        taken: Number of tags attached so far.
        jumps: Number of times the stamps jumped back.
    """

    def __init__(self, store: SceneStore, config: StoreConfig, automatic: bool, report: Callable[[str], None]) -> None:
        self.store, self.config, self.automatic, self._report = store, config, automatic, report
        self.scene: OpenScene | None = None
        self.waiting: list[Tag] = []
        self.taken = 0
        self.jumps = 0
        self._first_ns = self._last_ns = 0  # stamps of the views of the open scene
        self._newest_ns: int | None = None  # latest stamp since the stamps jumped; None: no view yet
        self._before_ns: int | None = None  # latest stamp of the previous scene
        self._last_view = self._retry_at = 0.0

    # --- views ---

    def view(self, frame: Frame, now: float) -> None:
        """Take one view; scenes are stored without lens distortion.

        Raises BadInput for a view that cannot be used, and for a full disk.
        """
        frame = rectified(frame)
        if self.scene is not None and (why := self.scene.end_reason(frame)):
            self._report(self.finish(why, frame.stamp_ns))
        if self.scene is None and not (self.automatic and now >= self._retry_at):
            return
        self._retry_at = now + RETRY_S  # in case the disk is full
        if self.scene is None:
            self._report(self.start())
        self._last_view = now
        self._add(frame)
        self._retry_at = 0.0

    def jumped(self) -> None:
        """Note that the stamps jumped back: new tags are about views to come, whose stamps may repeat earlier ones."""
        self.jumps += 1
        self._before_ns = self._newest_ns = None

    def check_silence(self, now: float) -> None:
        """End the scene if no view has come for ``end_silence_s``. Raises BadInput for a full disk."""
        silence_s = now - self._last_view
        if self.scene is not None and 0 < self.config.end_silence_s < silence_s:
            self._report(self.finish(f"no view for {silence_s:.0f} s"))

    def pause(self, now: float) -> None:
        """Do not count the time without views until now as silence."""
        self._last_view = now
        if self.scene is not None:
            self.scene.pause()

    # --- scenes ---

    def start(self) -> str:
        """Start a scene, after the end of an open one; return what was done. Raises BadInput for a full disk."""
        done = [self.finish("another one starts")] if self.scene is not None else []
        self.scene = self.store.create()
        self._newest_ns = None
        return "; ".join([*done, f"scene {self.scene.name} starts"])

    def finish(self, why: str, next_ns: int | None = None) -> str:
        """End the open scene; return what happened to it. ``next_ns`` is the stamp of the first view after it.

        Raises BadInput without an open scene, and for a full disk.
        """
        if self.scene is None:
            raise BadInput("no scene is open; start one, or let views come")
        self._attach_last(next_ns)
        scene, self.scene = self.scene, None
        self._before_ns = self._newest_ns
        stored = self.store.finish(scene, why)
        if stored is None:
            return f"scene {scene.name} is discarded ({why}): {self.store.last_discard}"
        part = "held out" if stored.held_out else "for training"
        return f"scene {stored.name} is stored ({why}): {stored.frames} frames, {', '.join(stored.tags)}, {part}"

    # --- tags ---

    def tag(self, about: Literal["image", "scene"], text: str, now: float) -> None:
        """Take a tag; it is attached now or, if its view has not come yet, by ``settle``.

        Raises BadInput for a text that is not a tag, a name that is not a class, a class with two meanings, a time
        without a view, and too many that wait.
        """
        names, stamp_ns = read_tag(text)
        self.store.labels.tag_list(names)
        tag = Tag(about, names, stamp_ns, now + self.config.tag_tolerance_s + _GRACE_S)
        if self._ready(tag):
            self._attach(tag)
        elif len(self.waiting) < _MAX_WAITING:
            self.waiting.append(tag)
        else:
            raise BadInput(f"{_MAX_WAITING} tags wait for views already; let views come first")

    def settle(self, now: float) -> list[BadInput]:
        """Attach the tags whose views have come; return an error for each tag that no longer waits."""
        waiting, self.waiting, faults = self.waiting, [], []
        for tag in waiting:
            if tag.until > now and not self._ready(tag):
                self.waiting.append(tag)
                continue
            try:
                self._attach(tag)
            except BadInput as error:
                faults.append(error)
        return faults

    def _attach_last(self, next_ns: int | None) -> None:
        """Attach the waiting tags that belong to the scene that ends and not to the next one."""
        waiting, self.waiting = self.waiting, []
        for tag in waiting:
            try:
                if not self._is_about_last(tag, next_ns):
                    self.waiting.append(tag)
                else:
                    self._attach(tag)
            except BadInput:  # ``settle`` reports it
                self.waiting.append(tag)

    def _is_about_last(self, tag: Tag, next_ns: int | None) -> bool:
        if self._newest_ns is None or tag.stamp_ns is None:
            return False
        ahead_ns = tag.stamp_ns - self._newest_ns
        next_is_nearer = next_ns is not None and abs(next_ns - tag.stamp_ns) < ahead_ns
        return ahead_ns <= self.config.tag_tolerance_s * 1e9 and not next_is_nearer

    def _add(self, frame: Frame) -> None:
        """Add a view to the scene. Raises BadInput for an unusable view, and for a full disk, which ends the scene."""
        try:
            self.scene.add(frame)
        except BadInput:
            if self.scene.lost:
                self._report(self.finish("it is lost"))
            raise
        stamp_ns = frame.stamp_ns
        self._newest_ns = stamp_ns if self._newest_ns is None else max(stamp_ns, self._newest_ns)
        if self.scene.received == 1:
            self._first_ns = self._last_ns = stamp_ns
        self._first_ns, self._last_ns = min(stamp_ns, self._first_ns), max(stamp_ns, self._last_ns)

    def _ready(self, tag: Tag) -> bool:
        """Whether no better view for the tag can come."""
        if self.scene is None or self._newest_ns is None:
            return False
        return tag.stamp_ns is None or tag.stamp_ns <= self._newest_ns

    def _attach(self, tag: Tag) -> None:
        names = ", ".join(tag.names)
        if tag.stamp_ns is not None and tag.stamp_ns <= (self._before_ns or 0):
            raise BadInput(f"'{names}' comes too late: the scene of its time has ended; tag sooner")
        if self.scene is None or self._newest_ns is None:
            raise BadInput(f"no scene is open for '{names}'; tag while views come, or start a scene")
        if tag.about == "image":
            self.scene.tag_image(tag.names, tag.stamp_ns)
        else:
            self._check_time(tag)
            self.scene.tag_scene(tag.names)
        self.taken += 1

    def _check_time(self, tag: Tag) -> None:
        tolerance_ns = self.config.tag_tolerance_s * 1e9
        if (
            tag.stamp_ns is None
            or -tolerance_ns <= tag.stamp_ns - self._first_ns
            and (tag.stamp_ns - self._last_ns <= tolerance_ns)
        ):
            return
        raise BadInput(
            f"'{', '.join(tag.names)}' is for {tag.stamp_ns / 1e9:.3f} s, the scene has views from "
            f"{self._first_ns / 1e9:.3f} to {self._last_ns / 1e9:.3f} s; "
            "use the clock of the images for the stamps of tags"
        )
