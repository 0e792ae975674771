"""How good predictions are while they come: IoU of each class by set and version of the weights, and its course.

No ROS, and bounded however long it runs: time is cut into at most MOST_BINS bins, which grow with it.
"""

import bisect
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.labels import UNLABELLED, LabelSpace

DOMAINS = {"2d": "images", "3d": "clouds"}
MOST_BINS = 240
MOST_KEYS = 400  # sets x versions x domains; what comes after is counted together
MOST_CHANGES = 1000  # of the version; the newest are kept
OTHER = "other"


class Key(NamedTuple):
    """What is counted apart."""

    set: str
    version: str
    domain: str


@dataclass
class Tally:
    """The counts of one key: of all its time, and of each bin of it."""

    matrix: ConfusionMatrix
    first_ns: int
    last_ns: int
    frames: int = 0
    bins: dict[int, Int64[np.ndarray, "C C+1"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """Per time bin with frames: its middle in seconds since the first frame, the version that answered, and the IoU
    (percent, nan where a class has not occurred) of all frames of that version until then."""

    at_s: Float64[np.ndarray, "T"]
    versions: tuple[str, ...]
    iou: Float64[np.ndarray, "T C"]

    def miou(self) -> Float64[np.ndarray, "T"]:
        known = np.isfinite(self.iou)
        total, count = np.where(known, self.iou, 0).sum(axis=1), known.sum(axis=1)
        return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


class Sayings:
    """What a latched topic said when: which text was in force at a time. The newest are kept."""

    def __init__(self, default: str, most: int = 1000) -> None:
        self.default, self.most = default, most
        self._when: list[int] = []
        self._what: list[str] = []

    def say(self, at_ns: int, text: str) -> None:
        place = bisect.bisect_right(self._when, at_ns)
        self._when.insert(place, at_ns)
        self._what.insert(place, text)
        del self._when[: -self.most], self._what[: -self.most]

    def at(self, at_ns: int) -> str:
        place = bisect.bisect_right(self._when, at_ns)
        return self._what[place - 1] if place else self.default


class RunningScores:
    """Confusion matrices by (set, version, domain), with their course over time. Not for concurrent use."""

    def __init__(self, labels: LabelSpace, bin_s: float = 1.0) -> None:
        self.labels = labels
        self.tallies: dict[Key, Tally] = {}
        self.changes: dict[str, list[tuple[int, str]]] = {domain: [] for domain in DOMAINS}  # (at_ns, new version)
        self.origin_ns: int | None = None
        self.bin_ns = round(bin_s * 1e9)

    def add(self, key: Key, pred: UInt8[np.ndarray, "..."], truth: UInt8[np.ndarray, "..."], at_ns: int) -> None:
        """One image or cloud that was answered at ``at_ns``. Raises BadInput when the shapes differ."""
        counts = ConfusionMatrix(self.labels).update(pred, truth).counts
        tally = self._tally(key, at_ns)
        tally.matrix.counts += counts
        tally.frames += 1
        tally.last_ns = max(tally.last_ns, at_ns)
        bin = self._bin(at_ns)
        tally.bins[bin] = tally.bins.get(bin, 0) + counts
        self._note_version(key, at_ns)

    def entries(self, newest: int = 0) -> list[dict]:
        """One for each key, or for the newest few, in the order in which they came up; scores in percent, None where
        nothing was scored."""
        return [self._entry(key, tally) for key, tally in list(self.tallies.items())[-newest:]]

    def course(self, set_name: str, domain: str) -> "Course":
        """How one set ran in one domain."""
        keys = [key for key in self.tallies if (key.set, key.domain) == (set_name, domain)]
        parts = [(bin, self.tallies[key].first_ns, key) for key in keys for bin in self.tallies[key].bins]
        so_far = {key: ConfusionMatrix(self.labels) for key in keys}
        bins, versions, iou = [], [], []
        for bin, _, key in sorted(parts):
            so_far[key].counts += self.tallies[key].bins[bin]
            bins.append(bin)
            versions.append(key.version)
            iou.append(100 * so_far[key].iou())
        at_s = (np.array(bins, np.float64) + 0.5) * self.bin_ns / 1e9
        return Course(at_s, tuple(versions), np.array(iou, np.float64).reshape(len(bins), len(self.labels)))

    def _entry(self, key: Key, tally: Tally) -> dict:
        scores = tally.matrix.compute()
        told = {"frames": tally.frames, "miou": scores["miou"], "iou": scores["iou"]}
        return {**key._asdict(), **told, "first_ns": tally.first_ns, "last_ns": tally.last_ns}

    def _note_version(self, key: Key, at_ns: int) -> None:
        changes = self.changes[key.domain]
        if not changes or changes[-1][1] != key.version:
            changes.append((at_ns, key.version))
            del changes[:-MOST_CHANGES]

    def _tally(self, key: Key, at_ns: int) -> Tally:
        if key not in self.tallies and len(self.tallies) >= MOST_KEYS:
            key = Key(OTHER, OTHER, key.domain)
        if key not in self.tallies:
            self.tallies[key] = Tally(ConfusionMatrix(self.labels), at_ns, at_ns)
        return self.tallies[key]

    def _bin(self, at_ns: int) -> int:
        """The bin of a time; where it lies beyond the last one, two and two become one until it does not."""
        self.origin_ns = at_ns if self.origin_ns is None else self.origin_ns
        since_ns = max(0, at_ns - self.origin_ns)
        while since_ns // self.bin_ns >= MOST_BINS:
            self.bin_ns *= 2
            for tally in self.tallies.values():
                tally.bins = _halved(tally.bins)
        return since_ns // self.bin_ns


def _halved(bins: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    merged: dict[int, np.ndarray] = {}
    for bin, counts in bins.items():
        merged[bin // 2] = merged.get(bin // 2, 0) + counts
    return merged


def strangers(labels: UInt8[np.ndarray, "..."], classes: int) -> int:
    """How many labels are neither a class nor 255."""
    return int(np.count_nonzero((labels >= classes) & (labels != UNLABELLED)))
