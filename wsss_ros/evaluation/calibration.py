"""Calibration of a network's confidence on scenes with truth.

The confidence of a label is the softmax of logits / temperature over the classes that may win (``inference``). Here the
temperature is fitted so that the confidence is the probability that the label is right (Guo et al., On calibration of
modern neural networks, 2017). The risk-coverage curve shows what unlabelling the labels of low confidence gives.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from scipy.optimize import minimize_scalar

from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.evaluation.offline import NoTruth
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.networks.classifier import upsample
from wsss_ros.scenes.derived import up_of
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.types import BadInput, Photos, Scene

LeftOut = list[tuple[str, str]]  # (name, reason)

BINS = 15  # of the reliability diagram and of the expected calibration error
PIXELS, POINTS = 2_000, 20_000  # drawn at random from each image and from each cloud
_RANGE = (0.02, 200.0)  # of temperatures
_LEAST = 1e-12  # probability of what the network excludes, so that its logarithm is finite
_CURVE_ROWS = 200  # of a risk-coverage curve in JSON


@dataclass(frozen=True)
class LabelledScores:
    """Class scores (logits) and true classes of N pixels or points. A class that may not win has the score -inf."""

    scores: Float64[np.ndarray, "N C"]
    truth: UInt8[np.ndarray, "N"]

    def labels(self) -> UInt8[np.ndarray, "N"]:
        """The classes with the largest scores."""
        return self.scores.argmax(axis=1).astype(np.uint8)

    def right(self) -> Bool[np.ndarray, "N"]:
        """Which labels are right."""
        return self.labels() == self.truth

    def confidence(self, temperature: float) -> Float64[np.ndarray, "N"]:
        """The softmax of scores / temperature at the label."""
        return 1 / np.exp(self._below_best() / temperature).sum(axis=1)

    def negative_log_likelihood(self, temperature: float) -> float:
        """The mean of -log p, where p is the softmax of scores / temperature at the true class.

        Where the true class may not win, its softmax is 0 at each temperature. What the network says there is that its
        label is wrong, with the probability p = 1 - confidence.
        """
        below = self._below_best()
        powers = np.exp(below / temperature)
        total = powers.sum(axis=1)
        of_truth = np.take_along_axis(below, self.truth[:, None].astype(np.int64), 1)[:, 0]
        may_win = np.isfinite(of_truth)
        wrong = np.log(np.maximum((total[~may_win] - 1) / total[~may_win], _LEAST))
        return -float((of_truth[may_win] / temperature - np.log(total[may_win])).sum() + wrong.sum()) / len(total)

    def _below_best(self) -> Float64[np.ndarray, "N C"]:
        return self.scores - self.scores.max(axis=1, keepdims=True)


def fit_temperature(known: LabelledScores) -> float:
    """The temperature with the smallest negative log likelihood; 1 where it makes no difference."""
    grid = np.log(np.geomspace(*_RANGE, 40))
    values = [known.negative_log_likelihood(np.exp(at)) for at in grid]
    if max(values) - min(values) < 1e-9:
        return 1.0
    best = int(np.argmin(values))
    bounds = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    found = minimize_scalar(lambda at: known.negative_log_likelihood(np.exp(at)), bounds=bounds, method="bounded")
    return float(np.exp(found.x))


@dataclass(frozen=True)
class Reliability:
    """Labels in bins of equal width of their confidence: how many, their mean confidence, the share that is right.

    An empty bin has nan.
    """

    count: Int64[np.ndarray, "B"]
    confidence: Float64[np.ndarray, "B"]
    accuracy: Float64[np.ndarray, "B"]

    @classmethod
    def of(cls, confidence: Float64[np.ndarray, "N"], right: Bool[np.ndarray, "N"], bins: int = BINS) -> "Reliability":
        """Sort labels into bins by their confidence in 0..1."""
        index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
        count = np.bincount(index, minlength=bins)
        sums = (np.bincount(index, weights=values, minlength=bins) for values in (confidence, right))
        return cls(count, *(np.divide(s, count, out=np.full(bins, np.nan), where=count > 0) for s in sums))

    def error(self) -> float:
        """The expected calibration error: the mean over all labels of |confidence - accuracy| of their bin, in 0..1."""
        return float(np.nansum(np.abs(self.confidence - self.accuracy) * self.count) / self.count.sum())


@dataclass(frozen=True)
class RiskCoverage:
    """What is left when labels with less confidence than a threshold are dropped, for each threshold, falling.

    ``coverage`` is the share of labels that is left, ``risk`` the share of these that is wrong.
    """

    threshold: Float64[np.ndarray, "K"]
    coverage: Float64[np.ndarray, "K"]
    risk: Float64[np.ndarray, "K"]

    @classmethod
    def of(cls, confidence: Float64[np.ndarray, "N"], right: Bool[np.ndarray, "N"]) -> "RiskCoverage":
        """The curve with one row for each different confidence."""
        order = np.argsort(-confidence, kind="stable")
        sorted_confidence, wrong = confidence[order], np.cumsum(~right[order])
        last = np.flatnonzero(np.append(np.diff(sorted_confidence) != 0, True))  # equal confidences stay together
        return cls(sorted_confidence[last], (last + 1) / len(right), wrong[last] / (last + 1))

    def recommended(self) -> float:
        """The threshold for ``min_confidence``: at it, right labels minus wrong labels is largest.

        Labels below it are more often wrong than right. 0, which drops nothing, if this is so for no part of the
        labels, and if it is so for all of them.
        """
        gain = self.coverage * (1 - 2 * self.risk)
        best = len(gain) - 1 - int(np.argmax(gain[::-1]))  # of equal gains the one that keeps most
        if best == len(gain) - 1 or gain[best] <= 0:
            return 0.0
        return float(np.floor(self.threshold[best] * 1000) / 1000)

    def rows(self) -> dict:
        """At most 200 rows of the curve for JSON, evenly spread; coverage and risk in percent."""
        at = np.unique(np.linspace(0, len(self.risk) - 1, _CURVE_ROWS).round().astype(int))
        shares = {"coverage": 100 * self.coverage[at], "risk": 100 * self.risk[at]}
        return {"threshold": self.threshold[at].round(5).tolist()} | {n: v.round(3).tolist() for n, v in shares.items()}


@dataclass(frozen=True)
class Calibration:
    """The calibration of one network: ``before`` is the temperature that it had."""

    known: LabelledScores
    labels: LabelSpace
    before: float
    temperature: float
    min_confidence: float

    @classmethod
    def of(cls, known: LabelledScores, labels: LabelSpace, before: float = 1.0) -> "Calibration":
        """Fit the temperature and choose the threshold."""
        temperature = fit_temperature(known)
        curve = RiskCoverage.of(known.confidence(temperature), known.right())
        return cls(known, labels, before, temperature, curve.recommended())

    def reliability(self, temperature: float) -> Reliability:
        """The reliability of the confidence at a temperature."""
        return Reliability.of(self.known.confidence(temperature), self.known.right())

    def curve(self, temperature: float) -> RiskCoverage:
        """The risk-coverage curve at a temperature."""
        return RiskCoverage.of(self.known.confidence(temperature), self.known.right())

    def scores_above(self, min_confidence: float) -> dict:
        """Coverage, risk and mIoU in percent, where labels with less confidence are unlabelled (misses in the mIoU)."""
        kept = self.known.confidence(self.temperature) >= min_confidence
        labels = np.where(kept, self.known.labels(), np.uint8(UNLABELLED))
        miou = ConfusionMatrix(self.labels).update(labels, self.known.truth).compute()["miou"]
        risk = float(100 * (1 - self.known.right()[kept].mean())) if kept.any() else None
        return {"coverage": float(100 * kept.mean()), "risk": risk, "miou": miou}

    def compute(self) -> dict:
        """Everything, ready for JSON. Errors, coverage, risk and mIoU are in percent, confidences in 0..1."""
        return {
            "temperature": self.temperature,
            "min_confidence": self.min_confidence,
            "samples": len(self.known.truth),
            "before": self._at(self.before),
            "after": self._at(self.temperature),
            "kept": {"all": self.scores_above(0.0), "min_confidence": self.scores_above(self.min_confidence)},
            "risk_coverage": self.curve(self.temperature).rows(),
        }

    def _at(self, temperature: float) -> dict:
        reliability = self.reliability(temperature)
        bins = {name: [None if np.isnan(v) else round(float(v), 5) for v in getattr(reliability, name)]
                for name in ("confidence", "accuracy")}  # fmt: skip
        return {
            "temperature": temperature,
            "ece": 100 * reliability.error(),
            "nll": self.known.negative_log_likelihood(temperature),
            "bins": {"count": reliability.count.tolist(), **bins},
        }


# --- scores of scenes ------------------------------------------------------------------------------


@dataclass(frozen=True)
class KnownClasses:
    """The classes that truth and network share.

    ``table`` maps labels of the truth to those of the network, others to 255. ``known`` says which classes of the
    network the truth has.
    """

    table: UInt8[np.ndarray, "256"]
    known: Bool[np.ndarray, "C"]

    @classmethod
    def between(cls, truth: LabelSpace, network: LabelSpace, unknown: Iterable[str] = ()) -> "KnownClasses":
        """Compare two label spaces. ``unknown`` names classes of the truth that its labels cannot tell.

        Raises BadInput when no class is left, and for an unknown name.
        """
        table = truth.table_to(network)
        table[[truth.index(name) for name in unknown]] = UNLABELLED
        known = np.isin(np.arange(len(network)), table)
        if not known.any():
            raise BadInput(f"truth of '{truth.name}' and a network of '{network.name}' share no known class")
        return cls(table, known)


def scores_of(
    segmenter: ImageSegmenter | CloudSegmenter,
    scenes: Iterable[Scene | Photos],
    classes: KnownClasses,
    frames: int = 0,
    progress: Callable[[str], None] = lambda scene: None,
) -> tuple[LabelledScores, LeftOut, LeftOut]:
    """Class scores of random labelled pixels of ``frames`` frames of each scene (0: all), or of points of its cloud.

    Photographs are for an image network. Classes that the truth does not know, and those that the network excludes from
    an image, may not win. Returns also (name, reason) of each scene without truth, and of each scene, frame and
    photograph that cannot be read. Raises BadInput when none is left.
    """
    parts: list[LabelledScores] = []
    left_out, unread = LeftOut(), LeftOut()
    for scene in scenes:
        try:
            if isinstance(segmenter, ImageSegmenter):
                parts += _of_images(segmenter, scene, classes, frames, unread)
            else:
                parts.append(_of_cloud(segmenter, scene, classes))
        except NoTruth as error:
            left_out.append((scene.name, str(error)))
        except (BadInput, OSError) as error:
            unread.append((scene.name, str(error)))
        progress(scene.name)
    if not parts:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in [*left_out, *unread][:3])
        raise BadInput(f"no scene has truth to calibrate with ({reasons or 'no scene'}); provide labelled scenes")
    return (
        LabelledScores(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("scores", "truth"))),
        left_out,
        unread,
    )


def _of_images(
    segmenter: ImageSegmenter,
    scene: Scene | Photos,
    classes: KnownClasses,
    frames: int,
    unread: LeftOut,
) -> list[LabelledScores]:
    """Scores of frames or of photographs. One that cannot be read is added to ``unread``."""
    parts = []
    for index in spread(len(scene), frames):
        try:
            parts += _of_image(segmenter, scene, index, classes)
        except (BadInput, OSError) as error:
            name = scene.names[index] if isinstance(scene, Photos) else f"{scene.name}, frame {index}"
            unread.append((name, str(error)))
    if not parts:
        raise NoTruth(f"none of its {len(scene)} frames has truth of a known class")
    return parts


@torch.inference_mode()
def _of_image(
    segmenter: ImageSegmenter, scene: Scene | Photos, index: int, classes: KnownClasses
) -> list[LabelledScores]:
    """An empty list without truth."""
    truth = scene.truth(index) if isinstance(scene, Photos) else scene.frame_truth(index)
    if truth is None:
        return []
    rgb = scene.rgb(index) if isinstance(scene, Photos) else scene.frame(index).rgb
    size = rgb.shape[:2]
    if size != truth.shape:
        raise BadInput(f"frame {index}: truth of another size than the image; expected a label for each pixel")
    maps = segmenter.maps(rgb)
    scores, present = upsample(maps, size)[0].flatten(1).T, segmenter.present_classes(maps, size)
    return _drawn(scores, truth.reshape(-1), classes, present, PIXELS)


def _of_cloud(segmenter: CloudSegmenter, scene: Scene | Photos, classes: KnownClasses) -> LabelledScores:
    if isinstance(scene, Photos):
        raise BadInput("photographs have no points; they calibrate an image network")
    truth, cloud = scene.cloud_truth(), scene.cloud
    if truth is None or cloud is None:
        raise NoTruth("its points have no truth")
    finite = np.isfinite(cloud.xyz).all(axis=1)
    parts = _drawn(segmenter.point_scores(cloud, up_of(scene)), truth[finite], classes, None, POINTS)
    if not parts:
        raise NoTruth("none of its points has truth of a known class")
    return parts[0]


def _drawn(
    scores: torch.Tensor, truth: np.ndarray, classes: KnownClasses, present: np.ndarray | None, count: int
) -> list[LabelledScores]:
    """``count`` random rows with truth, the same in each call; an empty list if there is none."""
    mapped = classes.table[truth]
    rows = np.flatnonzero(mapped != UNLABELLED)
    if not len(rows):
        return []
    rows = np.sort(np.random.default_rng(0).choice(rows, min(count, len(rows)), replace=False))
    may_win = classes.known if present is None else classes.known & (present > 0.5)
    if not may_win.any():
        may_win = classes.known
    values = scores[torch.from_numpy(rows).to(scores.device)].double().cpu().numpy()
    return [LabelledScores(np.where(may_win, values, -np.inf), mapped[rows])]
