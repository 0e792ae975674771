"""The newest pictures of a stream for the page: each is encoded once, when a browser asks for it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from wsss_ros.scenes.images import encode_jpeg
from wsss_ros.types import BadInput

SOURCES = ("overlay", "color")
LOOKING_S = 10.0  # a source counts as looked at for this long after a request
FRESH_S = 2.0  # when the picture of a source is older than this, the other source is shown
MAX_SIDE = 1280  # pixels; larger pictures are reduced by a whole factor
QUALITY = 80


@dataclass
class Shot:
    """One picture. ``convert`` returns its RGB (H W 3, uint8) and may raise BadInput; it is called at most once."""

    source: str
    stamp_ns: int
    arrived: float  # by time.monotonic()
    convert: Callable[[], np.ndarray] | None
    _jpeg: bytes | BadInput | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def age_s(self) -> float:
        """Seconds since it arrived."""
        return time.monotonic() - self.arrived

    @property
    def mark(self) -> str:
        """Entity tag: it differs between any two pictures, also of two runs."""
        return f'"{self.source}-{self.stamp_ns}-{self.arrived:.6f}"'

    def jpeg(self) -> bytes:
        """Encode the picture. Raises BadInput where it cannot be read."""
        with self._lock:
            if self.convert is not None:
                self._jpeg, self.convert = _encoded(self.convert), None  # this frees the message it was made from
        if isinstance(self._jpeg, BadInput):
            raise self._jpeg
        return self._jpeg


class LiveView:
    """The last picture of each source in SOURCES. Safe to use from any thread."""

    def __init__(self) -> None:
        self._shots: dict[str, Shot] = {}
        self._asked: dict[str, float] = {}

    def put(self, source: str, stamp_ns: int, convert: Callable[[], np.ndarray]) -> None:
        """Replace the picture of ``source``."""
        self._shots[source] = Shot(source, stamp_ns, time.monotonic(), convert)

    def shot(self, source: str) -> Shot | None:
        """Return the last picture of ``source``, or of the other source if that one is silent; None before the first.

        Raises BadInput for an unknown source.
        """
        if source not in SOURCES:
            raise BadInput(f"image source: got '{source[:40]}', expected one of {', '.join(SOURCES)}")
        self._asked[source] = time.monotonic()
        if self._fresh(source):
            return self._shots[source]
        return max(self._shots.copy().values(), key=lambda shot: shot.arrived, default=None)

    def needed(self) -> set[str]:
        """Return the sources to subscribe to now: those looked at, and all while one of these is silent."""
        now = time.monotonic()
        asked = {source for source, at in self._asked.copy().items() if now - at < LOOKING_S}
        return set(SOURCES) if any(not self._fresh(source) for source in asked) else asked

    def ages_s(self) -> dict[str, float | None]:
        """Return the age of the last picture by source; None where there is none."""
        shots = self._shots.copy()
        return {source: shots[source].age_s if source in shots else None for source in SOURCES}

    def _fresh(self, source: str) -> bool:
        return source in self._shots and self._shots[source].age_s < FRESH_S


def _encoded(convert: Callable[[], np.ndarray]) -> bytes | BadInput:
    try:
        rgb = convert()
    except BadInput as error:
        return error
    step = -(-max(rgb.shape[:2]) // MAX_SIDE)
    return encode_jpeg(rgb[::step, ::step], QUALITY, "420")
