"""Two networks that learn from each other at pixel-point links: the losses of the joint paper, eqs. 3-12.

Methods that use them are subclasses: ``joint``, and ``densify`` with an image network.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from wsss_ros.cam import class_balance, confidence, seed_labels
from wsss_ros.losses import image_to_point_loss, point_to_image_loss
from wsss_ros.methods.method import PairedPhase, TaggedMethod, TaggedPhase
from wsss_ros.networks.classifier import sample_bilinear
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import PairsWithPhotos, Source, mixed, photographs, posed, weights_of
from wsss_ros.samples.samples import ImageSamples, PairBatch, PairSamples
from wsss_ros.types import BadInput


class LinkedPhase(PairedPhase, TaggedPhase):
    """The options of the losses between both networks (eqs. 3-12)."""

    warmup_epochs: int = Field(0, ge=0, description="First epochs without the 3D-to-2D loss.")
    image_to_point: float = Field(1.0, ge=0, description="Weight of the 2D-to-3D loss (eq. 7); 0 leaves it out.")
    point_to_image: float = Field(1.0, ge=0, description="Weight of the 3D-to-2D loss, lambda of eq. 12.")
    confidence: Literal["sigmoid", "logit", "none"] = Field(
        "sigmoid",
        description="Confidence (eqs. 6, 10) of a pixel or point: the sigmoid of its largest logit, this logit, or 1.",
    )
    class_reduction: Literal["mean", "sum"] = Field(
        "mean", description="How the cross entropy of eq. 7 is reduced over the classes."
    )
    centred_features: bool = Field(
        False,
        description="Subtract the (weighted) mean from the features before eqs. 8-9, so that eq. 11 compares "
        "correlations and not cosines.",
    )
    correlated: Literal["image", "batch"] = Field(
        "image",
        description="The links whose features eq. 11 compares: those of one image, as in the paper, or those of all "
        "images in a device's part of a step, so that floors of different rooms become similar, too. The time grows "
        "with the square of the number of links; max_links limits it.",
    )
    balanced_links: bool = Field(
        False,
        description="In eqs. 7 and 11 give each class of the pseudo-labels (eq. 5) the same total weight before "
        "confidence, independent of its number of links. Without it nearly all links are on walls and floors: eq. 7 "
        "teaches little else, and eq. 11 is smallest when all features are equal.",
    )
    seed_centring: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Subtract this share of each class's mean score over the image before eq. 5: eqs. 1-2 train the "
        "mean of a map, which does not tell where the class is; 0 is the paper.",
    )
    photos_per_cloud: int = Field(
        0,
        ge=0,
        description="Photographs without poses in a step, for each of its clouds. They are drawn at random by the "
        "weights of their sources, and enter eq. 2 of the image network only.",
    )
    max_links: int = Field(0, ge=0, description="Most links of an image that the joint losses use; 0 for all.")


Maps = tuple[Tensor, Tensor]  # features and scores of a network


class Linked(NamedTuple):
    """Features ``z`` and scores ``a`` of both networks at the M links of an image and its cloud; 2: image, 3: cloud.

    ``seeds`` are the pseudo-labels that the image network gives the links, among the image's tags (eq. 5); without
    any, among those of the scene.
    """

    z2: Float[Tensor, "M D"]
    a2: Float[Tensor, "M C"]
    seeds: Int64[Tensor, "M"]
    z3: Float[Tensor, "M E"]
    a3: Float[Tensor, "M C"]


L = TypeVar("L", bound=LinkedPhase)


class LinkedMethod(TaggedMethod[L]):
    """A method whose networks learn from each other at the links between pixels and points.

    Gradients flow as in the paper's figure 2: the 2D-to-3D loss trains the cloud network only, the 3D-to-2D loss the
    image network only. Each joint loss is the mean over the images of the batch, where an image whose crop has no link
    has the loss 0. With ``LinkedPhase.correlated`` "batch", eq. 11 is computed once over the links of all images.
    """

    def make_samples(self) -> Samples:
        """Clouds with images of each, and the links between them (eqs. 3-4); photographs, if configured."""
        data, phase = self.data, self.phase
        pairs = mixed(data.sources, self.pairs_of, posed, "posed scenes")
        if not phase.photos_per_cloud:
            return pairs
        if not any(map(photographs, data.sources)):
            raise BadInput("photos_per_cloud: no source has photographs; add one to data.sources, or set it to 0")
        photos = mixed(data.sources, lambda source: ImageSamples(source.images, data.image), photographs)
        return PairsWithPhotos(pairs, photos, phase.photos_per_cloud)

    def pairs_of(self, source: Source) -> PairSamples:
        """The clouds of a source, with images of each."""
        data, links, images = self.data, self.phase.max_links, self.phase.images_per_cloud
        return PairSamples(source.scenes, data.image, data.cloud, data.visibility_m, links, images=images)

    @property
    def warming_up(self) -> bool:
        """Whether this epoch is one of the first, without the 3D-to-2D loss: the cloud network cannot teach yet."""
        return self.epoch < self.phase.warmup_epochs

    def link_losses(self, batch: PairBatch, images: Maps, points: Maps) -> dict[str, Tensor]:
        """The two joint losses of eq. 12, with their weights; without those of weight 0.

        Args:
            batch: clouds with images of each.
            images: features and scores of the images, [K D h w] and [K C h w].
            points: features and scores of the points, [B N E] and [B N C].
        """
        terms: dict[str, Tensor] = {}
        to_point, to_image = self.phase.image_to_point, self.phase.point_to_image * (not self.warming_up)
        if to_point or to_image:
            linked = list(self._linked(batch, *images, *points))
        if to_point:
            terms["image_to_point"] = to_point * torch.stack([self.image_to_point(at) for at in linked]).mean()
        if to_image:
            groups = [linked] if self.phase.correlated == "batch" else [[at] for at in linked]
            terms["point_to_image"] = to_image * torch.stack([self.point_to_image(group) for group in groups]).mean()
        return terms

    def image_weights(self) -> list[float]:
        """The images of each source in a step, for each of all clouds: views of clouds, and photographs."""
        sources, phase = self.data.sources, self.phase
        shares = zip(weights_of(sources, posed), weights_of(sources, photographs), strict=True)
        return [phase.images_per_cloud * linked + phase.photos_per_cloud * alone for linked, alone in shares]

    def image_to_point(self, at: Linked) -> Float[Tensor, ""]:
        """Eqs. 5-7: pseudo-labels and confidence of the image network teach the cloud network."""
        weight = self._weight(at.a2, at.seeds)
        return image_to_point_loss(at.a3, at.seeds, weight, self.phase.class_reduction)

    def point_to_image(self, views: Sequence[Linked]) -> Float[Tensor, ""]:
        """Eqs. 8-11 over the links of all ``views``: similarities of the cloud network teach the image network."""
        z2, z3, a3, seeds = (torch.cat([getattr(at, name) for at in views]) for name in ("z2", "z3", "a3", "seeds"))
        return point_to_image_loss(z2, z3.detach(), self._weight(a3, seeds), self.phase.centred_features)

    def _weight(self, scores: Float[Tensor, "M C"], seeds: Int64[Tensor, "M"]) -> Float[Tensor, "M"]:
        """The confidence of the teaching network (eqs. 6, 10), balanced over the classes of ``seeds`` if configured."""
        weight = confidence(scores.detach(), self.phase.confidence)
        return weight * class_balance(seeds) if self.phase.balanced_links else weight

    def _linked(self, batch: PairBatch, *maps: Tensor) -> Iterator[Linked]:
        """The outputs of both networks at the links (eq. 4), for one image after the other."""
        image_features, image_scores, cloud_features, cloud_scores = maps
        crop, per_cloud = batch.images.shape[-1], len(batch.images) // len(batch.xyz)
        points, pixels = batch.links_point.split(batch.links_count), batch.links_uv.split(batch.links_count)
        tags = batch.pixel_tags()
        for k, (point, uv) in enumerate(zip(points, pixels, strict=True)):
            scores = sample_bilinear(image_scores[k], uv, crop).float()
            centre = self.phase.seed_centring * image_scores[k].detach().float().mean(dim=(1, 2))
            yield Linked(
                sample_bilinear(image_features[k], uv, crop).float(),
                scores,
                seed_labels(scores.detach() - centre, tags[k]),
                cloud_features[k // per_cloud, point].float(),
                cloud_scores[k // per_cloud, point].float(),
            )
