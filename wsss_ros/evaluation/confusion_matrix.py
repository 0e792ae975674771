"""The confusion matrix over a data set, and the scores computed from it by ScanNet's rules."""

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from wsss_ros.labels import LabelSpace
from wsss_ros.types import BadInput


def iou_of(counts: Int64[np.ndarray, "C D"]) -> Float64[np.ndarray, "C"]:
    """Return ``ConfusionMatrix.iou`` of ``ConfusionMatrix.counts``."""
    hit = np.diagonal(counts).astype(np.float64)
    union = counts.sum(axis=1) + counts[:, : len(hit)].sum(axis=0) - hit
    return np.divide(hit, union, out=np.full(len(hit), np.nan), where=union > 0)


class ConfusionMatrix:
    """Counts of (truth, prediction) over one data set.

    Truth outside the classes (255) is skipped; a prediction outside the classes is a miss of the true class. A class
    that occurs in neither truth nor predictions has no IoU (nan) and does not count in the mean. A class that occurs in
    predictions only has IoU 0 and counts, as in ScanNet's scripts.
    """

    def __init__(self, labels: LabelSpace):
        self.labels = labels
        # The last column counts predictions outside the label space.
        self.counts: Int64[np.ndarray, "C C+1"] = np.zeros((len(labels), len(labels) + 1), np.int64)

    def update(self, pred: UInt8[np.ndarray, "..."], truth: UInt8[np.ndarray, "..."]) -> "ConfusionMatrix":
        """Count one image or cloud; returns the matrix itself. Raises BadInput when the shapes differ."""
        if pred.shape != truth.shape:
            raise BadInput(f"prediction of shape {pred.shape} against truth of shape {truth.shape}; they must be equal")
        classes = len(self.labels)
        scored = truth < classes
        column = np.minimum(pred[scored], classes).astype(np.int64)
        cell = truth[scored].astype(np.int64) * (classes + 1) + column
        self.counts += np.bincount(cell, minlength=self.counts.size).reshape(self.counts.shape)
        return self

    def add(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Add the counts of another part of the data set; returns the matrix itself.

        Raises BadInput when its classes differ.
        """
        if other.labels.names != self.labels.names:
            raise BadInput(f"counts over {other.labels.names} cannot be added to counts over {self.labels.names}")
        self.counts += other.counts
        return self

    def iou(self) -> Float64[np.ndarray, "C"]:
        """Intersection over union of each class in 0..1; nan for a class that does not occur."""
        return iou_of(self.counts)

    def compute(self) -> dict:
        """The scores in percent, ready for JSON.

        ``{"miou": percent, "iou": {name: percent or None}, "accuracy": percent, "coverage": percent, "count": scored
        pixels or points}``; ``coverage`` is the share of these that has a label.
        """
        iou, total = self.iou(), int(self.counts.sum())
        known = np.isfinite(iou)
        per_class = zip(self.labels.names, iou, strict=True)
        return {
            "miou": float(100 * iou[known].mean()) if known.any() else None,
            "iou": {name: float(100 * value) if np.isfinite(value) else None for name, value in per_class},
            "accuracy": float(100 * np.trace(self.counts) / total) if total else None,
            "coverage": float(100 * self.counts[:, : len(self.labels)].sum() / total) if total else None,
            "count": total,
        }
