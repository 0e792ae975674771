"""What is wrong with the tree of frames itself: loops, and frames whose parent changes again and again.

Two nodes that publish parts of one tree cause both. Lookups then give one answer or the other, by chance.
"""

import time
from collections import deque
from dataclasses import dataclass, field

from wsss_ros.geometry.transforms import CACHE_S, DEEPEST

CHANGES = 4  # of the parent of one frame, within CACHE_S


@dataclass(slots=True)
class _Link:
    """The newest parent of a frame, when it was heard, and when the parent changed, by the steady clock."""

    parent: str
    before: str
    static: bool
    heard_at: float
    changes: deque[float] = field(default_factory=lambda: deque(maxlen=CHANGES))


class FrameTree:
    """The newest parents of all frames. A dynamic one that has not come for CACHE_S does not count any more."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}

    def add(self, parent: str, child: str, static: bool) -> None:
        """Note a transform."""
        parent, child, now = parent.removeprefix("/"), child.removeprefix("/"), time.monotonic()
        link = self._links.get(child)
        if link is None:
            self._links[child] = _Link(parent, "", static, now)
            return
        if parent != link.parent:
            link.before, link.parent = link.parent, parent
            link.changes.append(now)
        link.static, link.heard_at = static, now

    def faults(self) -> list[str]:
        """One sentence for each loop and for each frame with two parents in turn."""
        now = time.monotonic()
        fresh = {child: each for child, each in self._links.items() if each.static or now - each.heard_at < CACHE_S}
        turns = [
            f"TF: the parent of '{child}' is {_both(link)} in turn, so poses may be wrong: two "
            "nodes publish this frame; end one, or switch its TF off"
            for child, link in fresh.items()
            if len(link.changes) == CHANGES and now - link.changes[0] < CACHE_S
        ]
        return turns + self._loops({child: link.parent for child, link in fresh.items()})

    @staticmethod
    def _loops(parents: dict[str, str]) -> list[str]:
        found, known = [], set[str]()
        for start in sorted(parents):
            way: list[str] = []
            frame = start
            while frame in parents and frame not in known and len(way) < DEEPEST:
                known.add(frame)
                way.append(frame)
                frame = parents[frame]
            if frame in way:
                loop = " -> ".join((*way[way.index(frame) :], frame))
                found.append(
                    f"TF: a loop, {loop}, so poses may be wrong: two nodes publish one tree; end one, or switch its "
                    "TF off"
                )
        return found


def _both(link: _Link) -> str:
    return " and ".join(f"'{name}'" for name in sorted((link.parent, link.before)))
