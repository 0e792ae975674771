"""How good the outputs of one network are on scenes that only have tags: pure functions of scores and labels."""

import numpy as np
from jaxtyping import Float, Int, UInt8

from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix, iou_of
from wsss_ros.labels import LabelSpace

_FEWEST = 30  # pairs of labels of one view; with fewer its consistency says little
UNSEEN = -1


def tag_precision(
    scores: Float[np.ndarray, "C"], tags: Float[np.ndarray, "C"], known: Float[np.ndarray, "C"] | None = None
) -> float:
    """Return the label-ranking average precision of one image or cloud; NaN when a score is not finite.

    For each tagged class it is the share of tagged ones among the classes that score at least as much; this is
    averaged over the tagged classes. Classes that are not ``known`` take no part: nobody could judge them.
    """
    if not np.isfinite(scores).all():
        return float("nan")
    if known is not None:
        scores, tags = scores[known > 0.5], tags[known > 0.5]
    tagged = tags > 0.5
    if not tagged.any():
        raise ValueError("tag_precision: no class is tagged; leave such an image or cloud out")
    at_least = scores[None] >= scores[tagged][:, None]
    return float(((at_least & tagged).sum(axis=1) / at_least.sum(axis=1)).mean())


def beyond_chance(agreeing: float, chance: float) -> float:
    """Return Cohen's kappa of a share of equal labels: 1 when all are equal, 0 when as many are as by chance.

    A network that gives all points the same class has a chance of 1; its kappa is 0, not 1.
    """
    return (agreeing - chance) / (1 - chance) if chance < 1 - 1e-9 else 0.0


def consistency(labels: Int[np.ndarray, "V N"]) -> list[float]:
    """Return for each view how often it gives a point the same class as another view, beyond chance.

    ``labels`` are the classes that V views of one scene give to its N points, ``UNSEEN`` where a view does not show the
    point. The value of a view is ``beyond_chance`` over its pairs with all other views; chance is the sum of the
    squared shares of the classes over all pairs of the scene, so the mean over equally large views is Cohen's kappa of
    the scene. A view with few pairs has no value.
    """
    classes = int(labels.max(initial=0)) + 1
    votes = np.zeros((labels.shape[1], classes), np.int64)  # views that give the point this class
    for view in labels:
        seen = np.flatnonzero(view != UNSEEN)
        votes[seen, view[seen]] += 1
    others = votes.sum(axis=1) - 1
    weight = (votes * np.maximum(others, 0)[:, None]).sum(axis=0)
    chance = float(((weight / max(weight.sum(), 1)) ** 2).sum())
    values = []
    for view in labels:
        seen = np.flatnonzero(view != UNSEEN)
        pairs = int(others[seen].sum())
        if pairs >= _FEWEST:
            agreeing = int((votes[seen, view[seen]] - 1).sum())
            values.append(beyond_chance(agreeing / pairs, chance))
    return values


def label_iou(labels: UInt8[np.ndarray, "N"], truth: UInt8[np.ndarray, "N"], space: LabelSpace) -> float | None:
    """Return the mean IoU over the classes that dense labels show in one view; None if they show none.

    Pixels and points whose truth is not a class do not count.
    """
    counts = ConfusionMatrix(space).update(labels, truth).counts
    shown = counts.any(axis=1)
    return float(iou_of(counts)[shown].mean()) if shown.any() else None
