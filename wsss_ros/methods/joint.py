"""Phase two of the joint learning paper: both networks teach each other where pixels and points meet, eqs. 3-12."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from wsss_ros.cam import class_balance, confidence, seed_labels
from wsss_ros.losses import classification_loss, image_to_point_loss, point_to_image_loss
from wsss_ros.methods.method import Method, PairedPhase, TaggedPhase, TagPriors, tag_priors
from wsss_ros.networks.classifier import image_mean, input_features, normalise_images, point_mean, sample_bilinear
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.samples import PairBatch, PairSamples


class JointPhase(PairedPhase, TaggedPhase):
    """Both networks with the losses between them (eqs. 3-12)."""

    method: Literal["joint"]
    warmup_epochs: int = Field(0, ge=0, description="First epochs without the 3D-to-2D loss.")
    image_to_point: float = Field(1.0, ge=0, description="Weight of the 2D-to-3D loss (eq. 7); 0 leaves it out.")
    point_to_image: float = Field(1.0, ge=0, description="Weight of the 3D-to-2D loss, lambda of eq. 12.")
    confidence: Literal["sigmoid", "logit", "none"] = Field(
        "sigmoid", description="Of the largest logit (eqs. 6, 10): its sigmoid, itself, or 1 for every pixel and point."
    )
    class_reduction: Literal["mean", "sum"] = Field("mean", description="Of eq. 7's cross entropy over classes.")
    centred_features: bool = Field(
        False,
        description="Take the (weighted) mean of the features that eq. 11 compares off before eqs. 8-9: correlations, "
        "not cosines.",
    )
    correlated: Literal["image", "batch"] = Field(
        "image",
        description="Between which links eq. 11 compares features: those of one image, as in the paper, or those of "
        "all images that a device has of a step, so that a floor becomes like other rooms' floors, too. Time grows "
        "with the square of their number; max_links bounds it.",
    )
    balanced_links: bool = Field(
        False,
        description="In eqs. 7 and 11 each class that the image network sees (eq. 5) weighs alike before confidence, "
        "however many links show it; else nearly all lie on walls and floors, eq. 7 wakes little else, and one feature "
        "for all fits eq. 11 best.",
    )
    seed_centring: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the mean of each class's map over the image that is taken off before eq. 5: eqs. 1-2 "
        "teach how high a map is on average, which says nothing of where its class is; 0 is the paper.",
    )
    max_links: int = Field(0, ge=0, description="Linked points of an image used in the joint losses; 0 for all.")

    def continued(self, epochs: int, batch: int) -> "JointPhase":
        """Without the warm-up: a trained cloud network has something to teach from the first step on."""
        return self.model_copy(update={"epochs": epochs, "batch": batch, "warmup_epochs": 0})


class Linked(NamedTuple):
    """Features ``z`` and scores ``a`` of both networks at the links of a cloud and its image.

    ``seeds`` are what the image network sees there, among the image's tags (eq. 5).
    """

    z2: Float[Tensor, "M D"]
    a2: Float[Tensor, "M C"]
    seeds: Int64[Tensor, "M"]
    z3: Float[Tensor, "M E"]
    a3: Float[Tensor, "M C"]


class Joint(Method[JointPhase]):
    """``networks["image"]`` and ``networks["cloud"]`` from tags of images and scenes and from each other.

    Gradients flow as in the paper's figure 2: the 2D-to-3D loss moves the cloud network alone, the 3D-to-2D loss the
    image network alone. Each joint loss is averaged over the batch's images, one whose crop has no link counting with
    zero, or eq. 11 is of all its images' links at once (``JointPhase.correlated``).
    """

    Phase: ClassVar = JointPhase
    phase: JointPhase

    def make_samples(self) -> Samples:
        """Clouds with images of each, and where they meet (eqs. 3-4)."""
        data, phase = self.data, self.phase
        links, images = phase.max_links, phase.images_per_cloud
        return PairSamples(data.scenes, data.image, data.cloud, data.visibility_m, links, images=images)

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """Count the tags, for ``tag_prior``."""
        super().start(networks, epoch)
        self.image_prior, self.cloud_prior = self.tag_priors()

    @property
    def warming_up(self) -> bool:
        """The first epochs go without the 3D-to-2D loss: the cloud network has nothing to teach yet."""
        return self.epoch < self.phase.warmup_epochs

    def losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Eq. 2 in both domains and the two joint losses, eq. 12."""
        image_features, image_scores = self.networks["image"](normalise_images(batch.images))
        inputs = input_features(batch.xyz, batch.rgb, self.data.cloud_inputs)
        cloud_features, cloud_scores = self.networks["cloud"](batch.xyz, inputs)
        image_mean_scores = image_mean(image_scores) + self.image_prior.to(image_scores.device)
        cloud_mean_scores = point_mean(cloud_scores) + self.cloud_prior.to(cloud_scores.device)
        terms = {
            "classification_2d": classification_loss(image_mean_scores, batch.image_tags),
            "classification_3d": classification_loss(cloud_mean_scores, batch.cloud_tags),
        }
        to_point, to_image = self.phase.image_to_point, self.phase.point_to_image * (not self.warming_up)
        if to_point or to_image:
            linked = list(self._linked(batch, image_features, image_scores, cloud_features, cloud_scores))
        if to_point:
            terms["image_to_point"] = to_point * torch.stack([self.image_to_point(at) for at in linked]).mean()
        if to_image:
            groups = [linked] if self.phase.correlated == "batch" else [[at] for at in linked]
            terms["point_to_image"] = to_image * torch.stack([self.point_to_image(group) for group in groups]).mean()
        return terms

    def tag_priors(self) -> TagPriors:
        """``tag_prior`` of the log-odds of the tags."""
        return tag_priors(self.data.scenes, self.phase.tag_prior)

    def image_to_point(self, at: Linked) -> Float[Tensor, ""]:
        """Eqs. 5-7: pseudo-labels and confidence of the image network teach the cloud network."""
        weight = self._weight(at.a2, at.seeds)
        return image_to_point_loss(at.a3, at.seeds, weight, self.phase.class_reduction)

    def point_to_image(self, views: Sequence[Linked]) -> Float[Tensor, ""]:
        """Eqs. 8-11: what the cloud network finds alike, the image network shall find alike, over all these views."""
        z2, z3, a3, seeds = (torch.cat([getattr(at, name) for at in views]) for name in ("z2", "z3", "a3", "seeds"))
        return point_to_image_loss(z2, z3.detach(), self._weight(a3, seeds), self.phase.centred_features)

    def _weight(self, scores: Float[Tensor, "M C"], seeds: Int64[Tensor, "M"]) -> Float[Tensor, "M"]:
        """Confidence in the network that teaches (eqs. 6 and 10), each class of ``seeds`` counting alike if wanted."""
        weight = confidence(scores.detach(), self.phase.confidence)
        return weight * class_balance(seeds) if self.phase.balanced_links else weight

    def _linked(self, batch: PairBatch, *maps: Tensor) -> Iterator[Linked]:
        """Both networks' outputs where they meet, eq. 4, one image and its cloud after the other."""
        image_features, image_scores, cloud_features, cloud_scores = maps
        crop, per_cloud = batch.images.shape[-1], len(batch.images) // len(batch.xyz)
        points, pixels = batch.links_point.split(batch.links_count), batch.links_uv.split(batch.links_count)
        for k, (point, uv) in enumerate(zip(points, pixels, strict=True)):
            scores = sample_bilinear(image_scores[k], uv, crop).float()
            centre = self.phase.seed_centring * image_scores[k].detach().float().mean(dim=(1, 2))
            yield Linked(
                sample_bilinear(image_features[k], uv, crop).float(),
                scores,
                seed_labels(scores.detach() - centre, batch.image_tags[k]),
                cloud_features[k // per_cloud, point].float(),
                cloud_scores[k // per_cloud, point].float(),
            )
