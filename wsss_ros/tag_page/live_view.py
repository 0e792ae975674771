"""The newest pictures of a stream for those who look: encoded when one asks, once each, and none while nobody does."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from wsss_ros.scenes.images import encode_jpeg
from wsss_ros.types import BadInput

SOURCES = ("overlay", "color")
LOOKING_S = 10.0  # so long after a request somebody still looks
FRESH_S = 2.0  # a picture older than this gives way to the other source
LONGEST = 1280  # pixels of a side; larger pictures are thinned by a whole factor
QUALITY = 80


@dataclass
class Shot:
    """One picture. ``convert`` gives its RGB (H W 3, uint8) and may raise BadInput; it is called once, or never."""

    source: str
    stamp_ns: int
    arrived: float  # by time.monotonic()
    convert: Callable[[], np.ndarray] | None
    _jpeg: bytes | BadInput | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.arrived

    @property
    def mark(self) -> str:
        """Another one for every picture, also of another run."""
        return f'"{self.source}-{self.stamp_ns}-{self.arrived:.6f}"'

    def jpeg(self) -> bytes:
        """Raises BadInput where the picture cannot be read."""
        with self._lock:
            if self.convert is not None:
                self._jpeg, self.convert = _encoded(self.convert), None  # what it holds of the message goes with it
        if isinstance(self._jpeg, BadInput):
            raise self._jpeg
        return self._jpeg


class LiveView:
    """The last picture of each of SOURCES. Safe to use from any thread."""

    def __init__(self) -> None:
        self._shots: dict[str, Shot] = {}
        self._asked: dict[str, float] = {}

    def put(self, source: str, stamp_ns: int, convert: Callable[[], np.ndarray]) -> None:
        self._shots[source] = Shot(source, stamp_ns, time.monotonic(), convert)

    def shot(self, source: str) -> Shot | None:
        """The last picture of ``source``; of the other one where that is silent. None where nothing came yet."""
        if source not in SOURCES:
            raise BadInput(f"image source: got '{source[:40]}', wanted one of {', '.join(SOURCES)}")
        self._asked[source] = time.monotonic()
        if self._fresh(source):
            return self._shots[source]
        return max(self._shots.copy().values(), key=lambda shot: shot.arrived, default=None)

    def wanted(self) -> set[str]:
        """The sources to listen to now: what is looked at, and the other one while that is silent."""
        now = time.monotonic()
        asked = {source for source, at in self._asked.copy().items() if now - at < LOOKING_S}
        return set(SOURCES) if any(not self._fresh(source) for source in asked) else asked

    def ages_s(self) -> dict[str, float | None]:
        shots = self._shots.copy()
        return {source: shots[source].age_s if source in shots else None for source in SOURCES}

    def _fresh(self, source: str) -> bool:
        return source in self._shots and self._shots[source].age_s < FRESH_S


def _encoded(convert: Callable[[], np.ndarray]) -> bytes | BadInput:
    try:
        rgb = convert()
    except BadInput as error:
        return error
    step = -(-max(rgb.shape[:2]) // LONGEST)
    return encode_jpeg(rgb[::step, ::step], QUALITY, "420")
