"""Evaluation of an image network on photographs: dense labels where there are any, and tags.

Photographs with dense labels give one confusion matrix over all of them, twice: where any class may win, and where only
the tagged classes of a photograph may win. Tags give the average precision of each class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.evaluation.offline import Among, Comparison
from wsss_ros.inference import ImageSegmenter
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.types import BadInput, Photos


def average_precision(scores: Float[np.ndarray, "K"], present: Bool[np.ndarray, "K"]) -> float | None:
    """The average precision of a class over K images, in 0..1; None if it is present in none or in all of them.

    The images are ranked by their scores. The precision at each rank counts with the share of the present images that
    this rank adds. Images with equal scores have one rank. (The sum over thresholds of information retrieval, without
    interpolation.)
    """
    if present.all() or not present.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    hits = np.cumsum(present[order])[ends]
    return float(np.sum(np.diff(hits, prepend=0) * hits / (ends + 1)) / present.sum())


@dataclass
class TagScores:
    """The scores of the tags of photographs, one row for each: the network's logits, tags, and which are known."""

    names: tuple[str, ...]
    rows: list[tuple[Float[np.ndarray, "C"], Bool[np.ndarray, "C"], Bool[np.ndarray, "C"]]] = field(
        default_factory=list
    )

    def compute(self) -> dict:
        """Average precision in percent by class and their mean, ready for JSON; unknown tags are left out.

        ``present`` and ``known`` are the numbers of photographs in which a class is present and in which it was judged.
        A class that is present in none or in all of these has no average precision and does not count in the mean.
        """
        logits, tags, known = (np.stack(part) for part in zip(*self.rows, strict=True))
        ap = {
            name: average_precision(logits[known[:, c], c], tags[known[:, c], c]) for c, name in enumerate(self.names)
        }
        values = [value for value in ap.values() if value is not None]
        return {
            "map": 100 * float(np.mean(values)) if values else None,
            "ap": {name: None if value is None else 100 * value for name, value in ap.items()},
            "present": dict(zip(self.names, (tags & known).sum(axis=0).tolist(), strict=True)),
            "known": dict(zip(self.names, known.sum(axis=0).tolist(), strict=True)),
        }


@dataclass
class PhotoEvaluation:
    """The result on photographs. ``left_out`` has (name, reason) of those that cannot be scored.

    ``any_class`` and ``tagged`` count the pixels of ``labelled`` photographs with dense labels, where any class may win
    and where only the tagged ones may.
    """

    any_class: ConfusionMatrix
    tagged: ConfusionMatrix
    tags: TagScores
    labelled: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def compute(self) -> dict:
        """The scores, ready for JSON; None for dense labels that no photograph has."""
        dense = {"any": _scores(self.any_class), "tagged": _scores(self.tagged)} if self.labelled else {}
        return {
            "photographs": len(self.tags.rows),
            "labelled": self.labelled,
            **{name: dense.get(name) for name in ("any", "tagged")},
            "tags": self.tags.compute(),
            "classes": list(self.any_class.labels.names),
            "confusion": self.any_class.counts.tolist() if self.labelled else None,
            "left_out": dict(self.left_out),
        }


def _scores(matrix: ConfusionMatrix) -> dict:
    """The scores of the classes with true pixels; the others are left out: a few photographs do not show all classes.

    (ScanNet's rule, for large sets, gives a class 0 that is only predicted.)
    """
    scores, true = matrix.compute(), matrix.counts.sum(axis=1) > 0
    iou = {name: scores["iou"][name] if found else None for name, found in zip(matrix.labels.names, true, strict=True)}
    values = [value for value in iou.values() if value is not None]
    return {**scores, "iou": iou, "miou": float(np.mean(values)) if values else None}


def evaluate_photos(
    segmenter: ImageSegmenter,
    photos: Sequence[Photos],
    labels: LabelSpace,
    ignored: Sequence[str] = (),
    among: Among = "all",
    count: int = 0,
    min_confidence: float = 0.0,
    progress: Callable[[str], None] = lambda name: None,
) -> PhotoEvaluation:
    """Score ``count`` photographs of each collection, spread evenly (0: all).

    ``labels`` is the label space of tags and dense labels. Classes in ``ignored``, which the truth does not know, are
    not scored: their pixels are skipped, and a prediction of them is a miss. ``among`` is that of
    ``offline.Comparison``. Labels with less than ``min_confidence`` count as unlabelled, a miss. A photograph that
    cannot be read is left out. ``progress`` is called with the name of each.
    Raises BadInput for an ignored name that is not a class, and when no photograph can be scored.
    """
    truth = without(labels, ignored)
    comparison = Comparison.between(truth, segmenter.labels, among)
    scorer = _Scorer(segmenter, labels, truth, comparison, min_confidence)
    matrices = ConfusionMatrix(comparison.labels), ConfusionMatrix(comparison.labels)
    result = PhotoEvaluation(*matrices, TagScores(scorer.names))
    for collection in photos:
        result.left_out += collection.left_out
        for index in spread(len(collection), count):
            try:
                scorer.add(result, collection, index)
            except BadInput as error:
                result.left_out.append((collection.names[index], str(error)))
            progress(collection.names[index])
    if not result.tags.rows:
        raise BadInput(f"no photograph can be scored; the first: {result.left_out[0][1]}")
    return result


def without(labels: LabelSpace, ignored: Sequence[str]) -> LabelSpace:
    """The label space without some classes. Raises BadInput for a name that is not a class."""
    kept = sorted(set(range(len(labels))) - {labels.index(name) for name in ignored})
    names, colors, ids = labels.names, labels.colors, labels.ids
    return LabelSpace(
        labels.name,
        tuple(names[index] for index in kept),
        tuple(colors[index] for index in kept),
        tuple(ids[index] for index in kept),
    )


class _Scorer:
    """Scores photographs one by one with one network."""

    def __init__(
        self,
        segmenter: ImageSegmenter,
        labels: LabelSpace,
        truth: LabelSpace,
        comparison: Comparison,
        min_confidence: float,
    ):
        self.segmenter, self.comparison, self.min_confidence = segmenter, comparison, min_confidence
        shared = truth.shared(segmenter.labels)
        self.predicted = [there for _, there, _ in shared]  # indices of the scored classes in the network's classes
        self.names = tuple(name for _, _, name in shared)
        self.truth_table = comparison.truth_table[labels.table_to(truth)]

    def add(self, result: PhotoEvaluation, photos: Photos, index: int) -> None:
        """Score one photograph. Raises BadInput, and changes nothing, when it cannot be read."""
        rgb, truth = photos.rgb(index), photos.truth(index)
        if truth is not None and truth.shape != rgb.shape[:2]:
            sizes = [f"{array.shape[1]} x {array.shape[0]}" for array in (truth, rgb)]
            raise BadInput(f"its labels have {sizes[0]} pixels, the picture {sizes[1]}; expected the same size")
        tags, unknown = photos.image_tags(index), photos.image_unknown(index)
        maps, size = self.segmenter.maps(rgb), rgb.shape[:2]
        logits = self.segmenter.tag_scores(maps, size)[self.predicted]
        result.tags.rows.append((logits, np.isin(self.names, tags), ~np.isin(self.names, unknown)))
        if truth is not None:
            self._count(result, maps, self.truth_table[truth], tags)

    def _count(
        self, result: PhotoEvaluation, maps: Tensor, truth: UInt8[np.ndarray, "H W"], tags: tuple[str, ...]
    ) -> None:
        size = truth.shape
        result.any_class.update(self._predicted(maps, size, self.comparison.present), truth)
        tagged = np.zeros(len(self.segmenter.labels), np.float32)
        tagged[[there for there, name in zip(self.predicted, self.names, strict=True) if name in tags]] = 1
        if tagged.any():
            result.tagged.update(self._predicted(maps, size, tagged), truth)
        else:  # no class may win: every pixel is a miss
            result.tagged.update(np.full_like(truth, 255), truth)
        result.labelled += 1

    def _predicted(
        self, maps: Float[Tensor, "1 C h w"], size: tuple[int, int], present: Float[np.ndarray, "C"] | None
    ) -> UInt8[np.ndarray, "H W"]:
        labels, confidence = self.segmenter.decide(maps, size, present)
        kept = self.segmenter.drop_unsure(labels, confidence, self.min_confidence)
        predicted: UInt8[np.ndarray, "H W"] = self.comparison.prediction_table[kept]
        return predicted
