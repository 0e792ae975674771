"""How much the tags of the live image would add to those that were sent: one step of the greedy choice of 2D3DNet."""

import threading
from collections import deque
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, UInt8

from wsss_ros.labels import LabelSpace
from wsss_ros.samples.selection import gains, presence

_REMEMBERED = 300  # images that the live one is compared with
_FEWEST = 10  # before this many, none is worth more than the others
_HIGH = 0.8  # an image is worth tagging if it adds more than this share of those before it


class TagWorth:
    """Counts the classes of the sent tags, and compares the live image with those before. Safe from any thread."""

    def __init__(self, labels: LabelSpace) -> None:
        self._labels, self._sent = labels, np.zeros(len(labels))
        self._seen: deque[Bool[np.ndarray, "C"]] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()

    def see(self, labels: UInt8[np.ndarray, "H W"]) -> None:
        """Take the predicted labels of the live image."""
        shown = presence(labels, len(self._labels))
        with self._lock:
            self._seen.append(shown)

    def sent(self, names: Iterable[str]) -> None:
        """Count the tags that were sent for an image, ``-sofa`` for an absent class."""
        tags = self._labels.multi_hot(self._labels.tag_list(names).present)
        with self._lock:
            self._sent += tags

    def status(self) -> dict | None:
        """What the page shows: None before the first image.

        ``classes`` has [name, number of sent tags] of each class that the live image shows, the rarest first. ``high``
        says whether its tags would add more than those of most images before it.
        """
        with self._lock:
            seen, sent = np.array(self._seen), self._sent.copy()
        if not len(seen):
            return None
        added = gains(seen, sent)
        rarest = sorted(np.flatnonzero(seen[-1]), key=lambda index: sent[index])
        high = len(seen) >= _FEWEST and added[-1] > 0 and (added < added[-1]).mean() >= _HIGH
        return {"classes": [[self._labels.names[i], int(sent[i])] for i in rarest], "high": bool(high)}
