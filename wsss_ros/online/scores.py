"""Scores of two networks on scenes that only have tags; the gate compares them, each network for itself.

*Tags* (of images, of clouds, and of the parts of clouds that images show): label-ranking average precision of the
averaged scores of eq. 1, with the tag prior of the training added, as in the classification loss. 1 when every tagged
class ranks above every other. A scene has one cloud and many parts, which therefore show more. Where only the scene has
tags, the images count as one: the mean over all of them is compared with the tags of the scene, and no part is scored.

*Consistency*: whether a network gives the same point the same class twice, beyond chance (``measures.consistency``).
Image network: in all pairs of views that show the point, found by depth and pose; each view chooses among its tags
(eq. 5), or without any among those of the scene. Cloud network: in a second random choice of points that is turned
about the vertical, among the tags of the scene. A network that gives all points one class scores 0.

*Labels*: the mean IoU of each view over the classes that its dense labels show; only of simulated scenes, whose labels
cost nothing. Tags do not tell where a class is: a network that loses much of its IoU may still rank them well.

*Agreement*: the share of linked points for which both networks choose the same class among the tags of that image. It
is reported and decides nothing: it also falls when one of the two networks gets better.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from scipy.spatial.transform import Rotation
from torch import Tensor

from wsss_ros import geometry
from wsss_ros.cam import seed_labels
from wsss_ros.geometry import local_origin, neighbors
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace
from wsss_ros.online.measures import UNSEEN, consistency, label_iou, tag_precision
from wsss_ros.scenes.derived import cloud_of, upright_rotation
from wsss_ros.scenes.frame_choice import spread, tagged_frames
from wsss_ros.types import KINDS, BadInput, Cloud, Scene

log = logging.getLogger("wsss_ros")
MEASURES = {
    "image_tags": "tags from images",
    "image_labels": "labels of images",
    "image_consistency": "consistency of images",
    "cloud_tags": "tags from clouds",
    "cloud_parts": "tags from parts of clouds",
    "cloud_labels": "labels of clouds",
    "cloud_consistency": "consistency of clouds",
}
_TURN = Rotation.from_euler("z", 20, degrees=True).as_matrix()  # of the second choice of points
_FEWEST_POINTS = 100  # of a part of a cloud
_SECOND_SHARE = 0.75  # of the points of a small cloud that the second choice has


@dataclass(frozen=True)
class Tagged:
    """The outputs of a network for a tagged image, cloud, or part of a cloud.

    Attributes:
        mean: Averaged scores, without the prior.
        tags: Multi-hot.
        known: The classes that are judged.
    """

    mean: Float32[np.ndarray, "C"]
    tags: Float32[np.ndarray, "C"]
    known: Float32[np.ndarray, "C"]


@dataclass(frozen=True)
class Observed:
    """What both networks say about one scene of N points.

    Attributes:
        name: Of the scene.
        images: The tagged frames that are scored. With scene tags alone: all scored frames, as one.
        clouds: The cloud; none without tags of the scene.
        parts: The parts of the cloud that the frames show.
        views: Labels of the image network for the points in each frame, among the tags of the frame, or of the scene
            without any. Frames with one tag are left out: their labels could only be equal.
        views_of_cloud: Labels of the cloud network for the same points among the same tags.
        resampled: Labels of the cloud network for two choices of points, among the tags of the scene.
        finite: Whether all scores of a network are finite, by kind.
        labels: The mean IoU of each frame by kind, for images and for the parts of the cloud; only of simulated scenes.
    """

    name: str
    images: list[Tagged]
    clouds: list[Tagged]
    parts: list[Tagged]
    views: Int[np.ndarray, "V N"]
    views_of_cloud: Int[np.ndarray, "V N"]
    resampled: Int[np.ndarray, "W N"]
    finite: dict[str, bool]
    labels: dict[str, list[float]]


@dataclass
class Scorer:
    """Two networks and how to score them.

    Attributes:
        priors: Added to the mean scores of images and of clouds.
        frames: Tagged frames of each scene that are scored; of a scene with scene tags alone, any frames.
        between: Called between two images, so that a round can wait there.
    """

    images: ImageSegmenter
    clouds: CloudSegmenter
    labels: LabelSpace
    priors: tuple[Float[Tensor, "C"], Float[Tensor, "C"]]
    frames: int
    visibility_m: float
    between: Callable[[], None] = lambda: None

    def score(self, scenes: Sequence[Scene], seen: dict[str, Observed] | None = None, simulated: bool = False) -> dict:
        """Return the scores over scenes with tags, see ``scores_of``.

        A scene that cannot be read is left out with a warning, for old and new weights alike. ``seen`` are scenes that
        these networks have observed, by name, and gets those that they observe now: they do not depend on the priors.
        The dense labels of ``simulated`` scenes are read.
        """
        seen, found = {} if seen is None else seen, []
        for scene in scenes:
            try:
                if scene.name not in seen:
                    seen[scene.name] = self.observe(scene, simulated)
                found.append(seen[scene.name])
            except BadInput as error:
                log.warning("%s is not scored: %s", scene.name, error)
        return scores_of(found, self.priors)

    @torch.inference_mode()
    def observe(self, scene: Scene, simulated: bool = False) -> Observed:
        """Run both networks on a scene. Raises BadInput when it cannot be read.

        The dense labels of a ``simulated`` scene are read.
        """
        whole = _finite(cloud_of(scene))
        cloud, upright = _chosen(whole, self.clouds.points, 0), upright_rotation(scene)
        tags, known = self.labels.multi_hot(scene.tags or ()), 1 - self.labels.multi_hot(scene.unknown)
        point_scores = self._point_scores(cloud, cloud, upright)
        clouds, resampled = [], np.full((0, len(cloud)), UNSEEN)
        if tags.any():
            clouds = [Tagged(point_scores.mean(dim=0).numpy(), tags, known)]
            second = _chosen(whole, min(self.clouds.points, round(_SECOND_SHARE * len(whole))), 1)
            again = self._point_scores(second, cloud, _TURN @ upright)
            resampled = np.stack([_among(scores, tags) for scores in (point_scores, again)])
        images, parts, views, views_of_cloud, finite = [], [], [], [], True
        ious: dict[str, list[float | None]] = {kind: [] for kind in KINDS}
        for index, own, known in self._frames_of(scene, tags):
            self.between()
            frame = scene.frame(index)
            scores = self.images.scores(frame.rgb)[0].cpu()
            mean = scores.mean(dim=(1, 2))
            images.append(Tagged(mean.numpy(), own, known))
            finite &= bool(mean.isfinite().all())  # it is not if one score is not
            links = geometry.link(cloud, frame, self.visibility_m)
            column, row = torch.from_numpy(np.rint(links.uv).astype(np.int64)).T
            truth = scene.frame_truth(index) if simulated else None
            if truth is not None:
                ious["image"].append(self._label_iou(scores.flatten(1).T, truth.reshape(-1)))
            if len(links) >= _FEWEST_POINTS:
                parts.append(Tagged(point_scores[links.point].mean(dim=0).numpy(), own, known))
                if truth is not None:
                    ious["cloud"].append(self._label_iou(point_scores[links.point], truth[row, column]))
            if own.sum() > 1:
                views.append(_at(links.point, _among(scores[:, row, column].T, own), len(cloud)))
                views_of_cloud.append(_at(links.point, _among(point_scores[links.point], own), len(cloud)))
        if images and not tagged_frames(scene):
            images, parts = [replace(clouds[0], mean=np.mean([each.mean for each in images], axis=0))], []
        return Observed(
            scene.name,
            images,
            clouds,
            parts,
            np.reshape(views, (-1, len(cloud))).astype(np.int64),
            np.reshape(views_of_cloud, (-1, len(cloud))).astype(np.int64),
            resampled,
            {"image": finite, "cloud": bool(point_scores.isfinite().all())},
            {kind: [value for value in own if value is not None] for kind, own in ious.items()},
        )

    def _label_iou(self, scores: Float[Tensor, "N C"], truth: UInt8[np.ndarray, "N"]) -> float | None:
        """The mean IoU of the classes that score highest."""
        return label_iou(scores.argmax(dim=1).numpy().astype(np.uint8), truth, self.labels)

    def _frames_of(self, scene: Scene, tags: Float32[np.ndarray, "C"]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """The frames to score, each with its tags and its known classes.

        With scene tags alone, these are any frames that may show one of ``tags``, and those that they may show.
        """
        tagged = tagged_frames(scene, self.frames)
        for index in tagged or spread(len(scene), self.frames):
            own, known = scene.image_tags(index), 1 - self.labels.multi_hot(scene.image_unknown(index))
            if own:
                yield index, self.labels.multi_hot(own), known
            elif (possible := tags if own is None else tags * (1 - known)).any():
                yield index, possible, known

    def _point_scores(self, chosen: Cloud, at: Cloud, rotation: Float[np.ndarray, "3 3"]) -> Float[Tensor, "N C"]:
        """Scores of the points of ``at`` where the network sees those of ``chosen``, turned by ``rotation``."""
        centre = at.xyz.mean(axis=0, dtype=np.float64)
        xyz = ((chosen.xyz - centre) @ rotation.T).astype(np.float32)
        scores = self.clouds.scores(xyz, chosen.rgb).cpu()
        if chosen is at:
            return scores
        origin = local_origin(at.xyz)
        known, asked = (torch.from_numpy((each.xyz - origin).astype(np.float32)) for each in (chosen, at))
        return neighbors.interpolate_at(asked, known, scores)


def scores_of(seen: Sequence[Observed], priors: tuple[Float[Tensor, "C"], Float[Tensor, "C"]]) -> dict:
    """Return the scores of scenes that both networks have seen.

    The mean of each measure over its values, None without any: ``MEASURES`` and ``agreement``; the numbers ``images``,
    ``clouds`` and ``links``; and ``values``, by measure and scene the list of values that the mean is taken of.
    """
    values: dict[str, dict[str, list[float]]] = {measure: {} for measure in MEASURES}
    agreed, links = 0.0, 0
    for scene in seen:
        for measure, own in _values(scene, *(prior.numpy() for prior in priors)).items():
            if own:
                values[measure][scene.name] = own
        linked = scene.views != UNSEEN
        agreed += float((scene.views == scene.views_of_cloud)[linked].sum()) if all(scene.finite.values()) else np.nan
        links += int(linked.sum())
    means = {measure: _mean(own) for measure, own in values.items()}
    counts = {"images": sum(len(scene.images) for scene in seen), "clouds": sum(len(scene.clouds) for scene in seen)}
    return means | {"agreement": agreed / links if links else None, **counts, "links": links, "values": values}


def _values(scene: Observed, image_prior: np.ndarray, cloud_prior: np.ndarray) -> dict[str, list[float]]:
    def precision(items: Sequence[Tagged], prior: np.ndarray) -> list[float]:
        return [tag_precision(each.mean + prior, each.tags, each.known) for each in items]

    found = {
        "image_tags": precision(scene.images, image_prior),
        "image_labels": scene.labels["image"],
        "cloud_labels": scene.labels["cloud"],
        "image_consistency": consistency(scene.views),
        "cloud_tags": precision(scene.clouds, cloud_prior),
        "cloud_parts": precision(scene.parts, image_prior),  # they have the tags of images
        "cloud_consistency": consistency(scene.resampled)[:1],  # both choices have the same pairs
    }
    for measure in ("image_labels", "cloud_labels", "image_consistency", "cloud_consistency"):
        if not scene.finite[network_of(measure)]:
            found[measure] = [float("nan")] * len(found[measure])
    return found


def network_of(measure: str) -> str:
    """Return the kind of the network that a measure judges."""
    return measure.partition("_")[0]


def _mean(values: dict[str, list[float]]) -> float | None:
    every = [value for own in values.values() for value in own]
    return float(np.mean(every)) if every else None


def _among(scores: Float[Tensor, "N C"], tags: Float32[np.ndarray, "C"]) -> Int[np.ndarray, "N"]:
    return seed_labels(scores, torch.from_numpy(tags)).numpy()


def _at(rows: Int[np.ndarray, "M"], labels: Int[np.ndarray, "M"], count: int) -> Int[np.ndarray, "N"]:
    """Return the labels at their rows of ``count``, ``UNSEEN`` elsewhere."""
    full = np.full(count, UNSEEN)
    full[rows] = labels
    return full


def _finite(cloud: Cloud) -> Cloud:
    kept = np.isfinite(cloud.xyz).all(axis=1)
    if not kept.any():
        raise BadInput("its cloud has no finite point")
    return Cloud(cloud.xyz[kept], None if cloud.rgb is None else cloud.rgb[kept])


def _chosen(cloud: Cloud, points: int, seed: int) -> Cloud:
    """Return at most ``points`` points, the same ones for the same seed."""
    if len(cloud) <= points:
        return cloud
    kept = np.sort(np.random.default_rng(seed).choice(len(cloud), max(points, 1), replace=False))
    return Cloud(cloud.xyz[kept], None if cloud.rgb is None else cloud.rgb[kept])
