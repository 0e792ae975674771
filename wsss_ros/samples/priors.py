"""How common each tag is in each source of training data, as values that are added to averaged scores (eq. 1)."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from wsss_ros.cam import tag_log_odds
from wsss_ros.samples.mixture import Source, posed, weights_of

TagPriors = tuple[Float[Tensor, "C"], Float[Tensor, "C"]]  # of images and of clouds
_Tags = tuple[Float[np.ndarray, "_ C"], Float[np.ndarray, "_ C"]]  # tags, and which of them are known


class SourcePriors:
    """The log-odds of the tags of each source (``cam.tag_log_odds``), times ``share``.

    ``images`` and ``clouds`` have one row for each source; a source without clouds has a row of zeros. An image, or a
    cloud, gets the row of its own source. ``image_weights`` are the relative numbers of their images in a step.
    """

    def __init__(self, sources: Sequence[Source], share: float, image_weights: Sequence[float]):
        of_images, of_clouds = [_image_tags(source) for source in sources], [_cloud_tags(source) for source in sources]
        self.images, self.clouds = (share * _odds(tags) for tags in (of_images, of_clouds))
        cloud_weights = weights_of(sources, posed)
        self._mixed = share * _mix(of_images, image_weights), share * _mix(of_clouds, cloud_weights)

    def of_images(self, source: Int64[Tensor, "K"] | None, device: torch.device) -> Float[Tensor, "K C"]:
        """The rows of images with these sources; without sources, the row of the only one."""
        return _rows(self.images.to(device), source)

    def of_clouds(self, source: Int64[Tensor, "B"] | None, device: torch.device) -> Float[Tensor, "B C"]:
        """The rows of clouds with these sources; without sources, the row of the only one."""
        return _rows(self.clouds.to(device), source)

    def mixed(self) -> TagPriors:
        """The priors of images and of clouds of any source, for inference: the log-odds of the mixed frequencies."""
        return self._mixed


def _rows(priors: Float[Tensor, "S C"], source: Int64[Tensor, "K"] | None) -> Float[Tensor, "K C"]:
    return priors[:1] if source is None else priors[source]


def _odds(tags: Sequence[_Tags]) -> Float[Tensor, "S C"]:
    """The log-odds of each source; zeros for a source without rows."""
    return torch.stack([tag_log_odds(*map(torch.from_numpy, each)) for each in tags])


def _mix(tags: Sequence[_Tags], weights: Sequence[float]) -> Float[Tensor, "C"]:
    """The log-odds of the mean frequency of each class over the sources that judged it, by weight."""
    odds = _odds(tags)
    if len(tags) == 1:
        return odds[0]
    judged = torch.tensor([weights]).T * torch.from_numpy(np.stack([known.any(axis=0) for _, known in tags]))
    total = judged.sum(dim=0)
    return torch.logit(torch.where(total > 0, (judged * torch.sigmoid(odds)).sum(dim=0) / total, 0.5))


def _image_tags(source: Source) -> _Tags:
    """The tags of the tagged images of a source."""
    tagged = [images.image_tags.any(axis=1) for images in source.images]
    tags, known = (
        np.concatenate([getattr(images, name)[rows] for images, rows in zip(source.images, tagged, strict=True)])
        for name in ("image_tags", "image_known")
    )
    return tags, known


def _cloud_tags(source: Source) -> _Tags:
    """The tags of the clouds of a source; no rows for photographs."""
    if not source.scenes:
        none = np.zeros_like(source.images[0].image_tags[:0])
        return none, none
    tags, known = (np.stack([getattr(scene, name) for scene in source.scenes]) for name in ("tags", "known"))
    return tags, known
