"""Scores of two networks on scenes that only have tags; the gate compares them.

Tags from images and from clouds: label-ranking average precision of the averaged scores of eq. 1, with the tag prior
of the training added, as in the classification loss. 1 when every tagged class ranks above every other.

Agreement: the share of linked points for which image network (at the point's pixel) and cloud network choose the same
class, among the tagged classes of that image (eq. 5): these are what the joint loss teaches across the links, and a
class that is not tagged already lowers the average precision. Images with one tag do not count: both networks could
only agree. Agreement does not show when both networks make the same mistake; the scores of the tags show that.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from wsss_ros import geometry
from wsss_ros.cam import seed_labels
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.derived import cloud_of, upright_rotation
from wsss_ros.scenes.frame_choice import tagged_frames
from wsss_ros.types import BadInput, Cloud, Frame, Scene

log = logging.getLogger("wsss_ros")


def tag_precision(scores: Float[np.ndarray, "C"], tags: Float[np.ndarray, "C"]) -> float:
    """Return the label-ranking average precision of one image or cloud; NaN when a score is not finite.

    For each tagged class it is the share of tagged ones among the classes that score at least as much; this is
    averaged over the tagged classes.
    """
    if not np.isfinite(scores).all():
        return float("nan")
    tagged = tags > 0.5
    at_least = scores[None] >= scores[tagged][:, None]
    return float(((at_least & tagged).sum(axis=1) / at_least.sum(axis=1)).mean())


@dataclass
class _Tally:
    images: list[float] = field(default_factory=list)
    clouds: list[float] = field(default_factory=list)
    agreed: float = 0.0
    links: int = 0

    def add(self, other: "_Tally") -> None:
        self.images += other.images
        self.clouds += other.clouds
        self.agreed, self.links = self.agreed + other.agreed, self.links + other.links

    def result(self) -> dict:
        return {
            "image_tags": float(np.mean(self.images)) if self.images else None,
            "cloud_tags": float(np.mean(self.clouds)) if self.clouds else None,
            "agreement": self.agreed / self.links if self.links else None,
            "images": len(self.images),
            "clouds": len(self.clouds),
            "links": self.links,
        }


@dataclass
class Scorer:
    """Two networks and how to score them.

    Attributes:
        priors: Added to the mean scores of images and of clouds.
        frames: Tagged frames of each scene that are scored.
        between: Called between two images, so that a round can wait there.
    """

    images: ImageSegmenter
    clouds: CloudSegmenter
    labels: LabelSpace
    priors: tuple[Float[Tensor, "C"], Float[Tensor, "C"]]
    frames: int
    visibility_m: float
    between: Callable[[], None] = lambda: None

    @torch.inference_mode()
    def score(self, scenes: Sequence[Scene]) -> dict:
        """Return the scores over scenes with tags, as in ``records.Decision``; None where there is nothing to measure.

        A scene that cannot be read is left out with a warning, for old and new weights alike.
        """
        tally = _Tally()
        for scene in scenes:
            try:
                tally.add(self._scored(scene))
            except BadInput as error:
                log.warning("%s is not scored: %s", scene.name, error)
        return tally.result()

    def _scored(self, scene: Scene) -> _Tally:
        tally = _Tally()
        cloud = _thinned(cloud_of(scene), self.clouds.points)
        upright = (cloud.xyz - cloud.xyz.mean(axis=0, dtype=np.float64)) @ upright_rotation(scene).T
        point_scores = self.clouds.scores(upright.astype(np.float32), cloud.rgb).cpu()
        tags = self.labels.multi_hot(scene.tags or ())
        if tags.any():
            tally.clouds.append(tag_precision((point_scores.mean(dim=0) + self.priors[1]).numpy(), tags))
        for index in tagged_frames(scene, self.frames):
            self.between()
            tags = self.labels.multi_hot(scene.image_tags(index))
            self._score_image(scene.frame(index), tags, cloud, point_scores, tally)
        return tally

    def _score_image(
        self,
        frame: Frame,
        tags: Float32[np.ndarray, "C"],
        cloud: Cloud,
        point_scores: Float[Tensor, "N C"],
        tally: _Tally,
    ) -> None:
        scores = self.images.scores(frame.rgb)[0].cpu()
        tally.images.append(tag_precision((scores.mean(dim=(1, 2)) + self.priors[0]).numpy(), tags))
        if tags.sum() < 2:
            return
        links = geometry.link(cloud, frame, self.visibility_m)
        column, row = torch.from_numpy(np.rint(links.uv).astype(np.int64)).T
        seen = scores[:, row, column].T
        tally.agreed += agreeing_links(seen, point_scores[torch.from_numpy(links.point)], tags)
        tally.links += len(links)


def agreeing_links(
    image_scores: Float[Tensor, "M C"], point_scores: Float[Tensor, "M C"], tags: Float32[np.ndarray, "C"]
) -> float:
    """Return the number of links for which both networks choose the same tagged class; NaN for scores not finite."""
    if not (image_scores.isfinite().all() and point_scores.isfinite().all()):
        return float("nan")
    present = torch.from_numpy(tags)
    return float((seed_labels(image_scores, present) == seed_labels(point_scores, present)).sum())


def _thinned(cloud: Cloud, points: int) -> Cloud:
    """Return at most ``points`` of the finite points, the same ones each time."""
    kept = np.flatnonzero(np.isfinite(cloud.xyz).all(axis=1))
    if not len(kept):
        raise BadInput("its cloud has no finite point")
    if len(kept) > points:
        kept = np.sort(np.random.default_rng(0).choice(kept, points, replace=False))
    return Cloud(cloud.xyz[kept], None if cloud.rgb is None else cloud.rgb[kept])
