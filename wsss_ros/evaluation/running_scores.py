"""Scores of predictions that arrive over time: IoU of each class by set and version of the weights, and its history.

Memory is bounded for any length of time: time is divided into at most MAX_BINS bins, which become longer as it passes.
"""

import bisect
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.labels import UNLABELLED, LabelSpace

DOMAINS = {"2d": "images", "3d": "clouds"}
MAX_BINS = 240
MAX_KEYS = 400  # largest number of keys (sets x versions x domains); later ones are counted together as OTHER
MAX_CHANGES = 1000  # largest number of version changes; the newest are kept
OTHER = "other"


class ScoreKey(NamedTuple):
    """The key of scores: the set, the version of the weights, and the domain, "2d" or "3d"."""

    set: str
    version: str
    domain: str


@dataclass
class ScoreCounts:
    """The counts of one key: of all time, and of each time bin."""

    matrix: ConfusionMatrix
    first_ns: int
    last_ns: int
    frames: int = 0
    bins: dict[int, Int64[np.ndarray, "C C+1"]] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoreHistory:
    """The scores of one set in one domain over time, one row for each time bin and version with frames.

    ``at_s`` is the middle of the bin in seconds since the first frame. ``versions`` are the versions that predicted.
    ``iou`` is the IoU over all frames of this version so far, in percent; nan for a class that has not occurred.
    """

    at_s: Float64[np.ndarray, "T"]
    versions: tuple[str, ...]
    iou: Float64[np.ndarray, "T C"]

    def miou(self) -> Float64[np.ndarray, "T"]:
        """Mean IoU in percent over the classes that have occurred; nan if none has."""
        known = np.isfinite(self.iou)
        total, count = np.where(known, self.iou, 0).sum(axis=1), known.sum(axis=1)
        return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


class LatchedHistory:
    """The values of a latched text topic over time; the newest ``max_values`` are kept."""

    def __init__(self, default: str, max_values: int = 1000) -> None:
        self.default, self.max_values = default, max_values
        self._times_ns: list[int] = []
        self._values: list[str] = []

    def add(self, at_ns: int, value: str) -> None:
        """Add a value that was published at ``at_ns``; values may arrive in any order."""
        place = bisect.bisect_right(self._times_ns, at_ns)
        self._times_ns.insert(place, at_ns)
        self._values.insert(place, value)
        del self._times_ns[: -self.max_values], self._values[: -self.max_values]

    def at(self, at_ns: int) -> str:
        """The value that was latched at ``at_ns``; the default before the first value."""
        place = bisect.bisect_right(self._times_ns, at_ns)
        return self._values[place - 1] if place else self.default


class RunningScores:
    """Confusion matrices by set, version and domain, with their history over time. Not thread-safe."""

    def __init__(self, labels: LabelSpace, bin_s: float = 1.0) -> None:
        self.labels = labels
        self.counts: dict[ScoreKey, ScoreCounts] = {}
        self.changes: dict[str, list[tuple[int, str]]] = {domain: [] for domain in DOMAINS}  # (at_ns, new version)
        self.origin_ns: int | None = None
        self.bin_ns = round(bin_s * 1e9)

    def add(self, key: ScoreKey, pred: UInt8[np.ndarray, "..."], truth: UInt8[np.ndarray, "..."], at_ns: int) -> None:
        """Count one image or cloud that was predicted at ``at_ns``. Raises BadInput when the shapes differ."""
        added = ConfusionMatrix(self.labels).update(pred, truth).counts
        counts = self._counts_of(key, at_ns)
        counts.matrix.counts += added
        counts.frames += 1
        counts.last_ns = max(counts.last_ns, at_ns)
        index = self._bin(at_ns)
        counts.bins[index] = counts.bins.get(index, 0) + added
        self._note_version(key, at_ns)

    def entries(self, newest: int = 0) -> list[dict]:
        """The scores of all keys, or of the ``newest`` keys if not 0, in the order of their first frames; for JSON.

        Scores are in percent, None where nothing was scored.
        """
        return [self._entry(key, counts) for key, counts in list(self.counts.items())[-newest:]]

    def history(self, set_name: str, domain: str) -> ScoreHistory:
        """The scores of one set in one domain over time."""
        keys = [key for key in self.counts if (key.set, key.domain) == (set_name, domain)]
        parts = [(index, self.counts[key].first_ns, key) for key in keys for index in self.counts[key].bins]
        so_far = {key: ConfusionMatrix(self.labels) for key in keys}
        bins, versions, iou = [], [], []
        for index, _, key in sorted(parts):
            so_far[key].counts += self.counts[key].bins[index]
            bins.append(index)
            versions.append(key.version)
            iou.append(100 * so_far[key].iou())
        at_s = (np.array(bins, np.float64) + 0.5) * self.bin_ns / 1e9
        return ScoreHistory(at_s, tuple(versions), np.array(iou, np.float64).reshape(len(bins), len(self.labels)))

    def last_bin(self) -> int:
        """Index of the last time bin with frames."""
        return max(max(counts.bins) for counts in self.counts.values())

    def _entry(self, key: ScoreKey, counts: ScoreCounts) -> dict:
        scores = counts.matrix.compute()
        values = {"frames": counts.frames, "miou": scores["miou"], "iou": scores["iou"], "coverage": scores["coverage"]}
        return {**key._asdict(), **values, "first_ns": counts.first_ns, "last_ns": counts.last_ns}

    def _note_version(self, key: ScoreKey, at_ns: int) -> None:
        changes = self.changes[key.domain]
        if not changes or changes[-1][1] != key.version:
            changes.append((at_ns, key.version))
            del changes[:-MAX_CHANGES]

    def _counts_of(self, key: ScoreKey, at_ns: int) -> ScoreCounts:
        if key not in self.counts and len(self.counts) >= MAX_KEYS:
            key = ScoreKey(OTHER, OTHER, key.domain)
        if key not in self.counts:
            self.counts[key] = ScoreCounts(ConfusionMatrix(self.labels), at_ns, at_ns)
        return self.counts[key]

    def _bin(self, at_ns: int) -> int:
        """The bin of a time. If it is after the last possible bin, pairs of bins are merged until it is not."""
        self.origin_ns = at_ns if self.origin_ns is None else self.origin_ns
        since_ns = max(0, at_ns - self.origin_ns)
        while since_ns // self.bin_ns >= MAX_BINS:
            self.bin_ns *= 2
            for counts in self.counts.values():
                counts.bins = _halved(counts.bins)
        return since_ns // self.bin_ns


def _halved(bins: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    merged: dict[int, np.ndarray] = {}
    for index, counts in bins.items():
        merged[index // 2] = merged.get(index // 2, 0) + counts
    return merged


def count_invalid_labels(labels: UInt8[np.ndarray, "..."], classes: int) -> int:
    """The number of labels that are neither a class nor 255."""
    return int(np.count_nonzero((labels >= classes) & (labels != UNLABELLED)))
