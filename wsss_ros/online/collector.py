"""Which views make a scene and which tags belong to it: a stream in, tagged scenes in the store out."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from wsss_ros.online.settings import StoreConfig
from wsss_ros.online.store import OpenScene, SceneStore
from wsss_ros.types import BadInput, Frame

_STAMPED = re.compile(r"@(\d{1,10})(?:\.(\d{1,9}))?\s+(.*)", re.DOTALL)
_LONGEST = 1000  # characters of one message; all classes of a label space fit in
_MOST_WAITING = 5000  # tags
_GRACE_S = 1.0  # a view may be so long on its way, or in the worker's hands
RETRY_S = 10.0  # after a full disk


@dataclass(frozen=True)
class Tag:
    """What somebody said is in an image or in a scene; ``until`` is when it no longer waits for a view of its time."""

    about: Literal["image", "scene"]
    names: tuple[str, ...]
    stamp_ns: int | None
    until: float


def read_tag(text: str) -> tuple[tuple[str, ...], int | None]:
    """Names and stamp of ``chair, table`` or ``@SECONDS.FRACTION chair, table``. Raises BadInput for anything else."""
    if len(text) > _LONGEST:
        raise BadInput(f"{len(text)} characters; wanted class names, at most {_LONGEST} characters in all")
    stamped = _STAMPED.fullmatch(text.strip())
    names = tuple(filter(None, map(str.strip, (stamped[3] if stamped else text).split(","))))
    if not names or names[0].startswith("@"):
        raise BadInput(f"'{text}'; wanted 'chair, table' or '@12.500000000 chair, table'")
    return names, int(stamped[1]) * 10**9 + int((stamped[2] or "").ljust(9, "0")) if stamped else None


class Collector:
    """Feeds views and tags to the open scene of ``store`` and says when one begins and ends. Not for concurrent use.

    With ``by_itself`` the first view begins a scene; else only ``start`` does. A scene ends by the rules of its
    config (distance, duration, silence, overlap) and by ``finish``. Stamps that jump back (a looped bag) do not end
    it: views of the same places are known to it already. After a full disk the next scene begins a little later.
    A tag waits a little for a view of its time. ``now`` is seconds of a clock that never jumps; ``say`` is told when
    a scene begins or ends by itself.
    """

    def __init__(
        self, store: SceneStore, config: StoreConfig, by_itself: bool, say: Callable[[str], None]
    ) -> None:
        self.store, self.config, self.by_itself, self._say = store, config, by_itself, say
        self.scene: OpenScene | None = None
        self.waiting: list[Tag] = []
        self.taken = 0
        self.jumps = 0
        self._first_ns = self._last_ns = 0  # stamps of the views of the open scene
        self._newest_ns: int | None = None  # the last one since the stamps jumped; None: none yet
        self._before_ns: int | None = None  # of the scene before
        self._last_view = self._retry_at = 0.0

    # --- views ---

    def view(self, frame: Frame, now: float) -> None:
        """Take one view. Raises BadInput for one that cannot be used, and for a full disk."""
        if self.scene is not None and (why := self.scene.over(frame)):
            self._say(self.finish(why, frame.stamp_ns))
        if self.scene is None and not (self.by_itself and now >= self._retry_at):
            return
        self._retry_at = now + RETRY_S  # should the disk be full
        if self.scene is None:
            self._say(self.start())
        self._last_view = now
        self._add(frame)
        self._retry_at = 0.0

    def jumped(self) -> None:
        """The stamps jumped back: tags are about views to come, which may have stamps of views that were there."""
        self.jumps += 1
        self._before_ns = self._newest_ns = None

    def quiet(self, now: float) -> None:
        """End the scene where no view has come for ``end_silence_s``. Raises BadInput for a full disk."""
        silence_s = now - self._last_view
        if self.scene is not None and 0 < self.config.end_silence_s < silence_s:
            self._say(self.finish(f"no view for {silence_s:.0f} s"))

    def rest(self, now: float) -> None:
        """Until now nobody looked: that was no silence."""
        self._last_view = now
        if self.scene is not None:
            self.scene.rest()

    # --- scenes ---

    def start(self) -> str:
        """Begin a scene, after the end of the one that is open; returns what was done. Raises BadInput: disk full."""
        told = [self.finish("another one begins")] if self.scene is not None else []
        self.scene = self.store.begin()
        self._newest_ns = None
        return "; ".join([*told, f"scene {self.scene.name} begins"])

    def finish(self, why: str, next_ns: int | None = None) -> str:
        """End the open scene; returns what became of it. ``next_ns`` is the stamp of the first view after it.

        Raises BadInput without an open scene, and for a full disk.
        """
        if self.scene is None:
            raise BadInput("no scene is open; start one, or let views come")
        self._attach_last(next_ns)
        scene, self.scene = self.scene, None
        self._before_ns = self._newest_ns
        stored = self.store.finish(scene, why)
        if stored is None:
            return f"scene {scene.name} is let go ({why}): {self.store.last_let_go}"
        part = "held out" if stored.held_out else "for training"
        return f"scene {stored.name} is stored ({why}): {stored.frames} frames, {', '.join(stored.tags)}, {part}"

    # --- tags ---

    def tag(self, about: Literal["image", "scene"], text: str, now: float) -> None:
        """Take what somebody said; it is attached now or, where its view has not come yet, by ``settle``.

        Raises BadInput for a text that is no tag, an unknown class, a time without a view, and too many that wait.
        """
        names, stamp_ns = read_tag(text)
        for name in names:
            self.store.labels.index(name)
        tag = Tag(about, names, stamp_ns, now + self.config.tag_tolerance_s + _GRACE_S)
        if self._ready(tag):
            self._attach(tag)
        elif len(self.waiting) < _MOST_WAITING:
            self.waiting.append(tag)
        else:
            raise BadInput(f"{_MOST_WAITING} tags wait for views already; let views come first")

    def settle(self, now: float) -> list[BadInput]:
        """Attach the tags whose views have come; returns why the others no longer wait."""
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
        """Tags that still wait and are about a view of the scene that ends, and not rather about the next one."""
        waiting, self.waiting = self.waiting, []
        for tag in waiting:
            try:
                if not self._is_about_last(tag, next_ns):
                    self.waiting.append(tag)
                else:
                    self._attach(tag)
            except BadInput:  # ``settle`` says why
                self.waiting.append(tag)

    def _is_about_last(self, tag: Tag, next_ns: int | None) -> bool:
        if self._newest_ns is None or tag.stamp_ns is None:
            return False
        ahead_ns = tag.stamp_ns - self._newest_ns
        next_is_nearer = next_ns is not None and abs(next_ns - tag.stamp_ns) < ahead_ns
        return ahead_ns <= self.config.tag_tolerance_s * 1e9 and not next_is_nearer

    def _add(self, frame: Frame) -> None:
        """Raises BadInput for a view that cannot be used, and for a full disk, which ends the scene."""
        try:
            self.scene.add(frame)
        except BadInput:
            if self.scene.lost:
                self._say(self.finish("it is lost"))
            raise
        stamp_ns = frame.stamp_ns
        self._newest_ns = stamp_ns if self._newest_ns is None else max(stamp_ns, self._newest_ns)
        if self.scene.received == 1:
            self._first_ns = self._last_ns = stamp_ns
        self._first_ns, self._last_ns = min(stamp_ns, self._first_ns), max(stamp_ns, self._last_ns)

    def _ready(self, tag: Tag) -> bool:
        """Whether no better view for it can come."""
        if self.scene is None or self._newest_ns is None:
            return False
        return tag.stamp_ns is None or tag.stamp_ns <= self._newest_ns

    def _attach(self, tag: Tag) -> None:
        names = ", ".join(tag.names)
        if tag.stamp_ns is not None and tag.stamp_ns <= (self._before_ns or 0):
            raise BadInput(f"'{names}' comes too late, the scene of its time has ended; tag sooner")
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
        if tag.stamp_ns is None or -tolerance_ns <= tag.stamp_ns - self._first_ns and (
            tag.stamp_ns - self._last_ns <= tolerance_ns
        ):
            return
        raise BadInput(
            f"'{', '.join(tag.names)}' is for {tag.stamp_ns / 1e9:.3f} s, the scene has views from "
            f"{self._first_ns / 1e9:.3f} to {self._last_ns / 1e9:.3f} s; stamp tags by the clock of the images"
        )
