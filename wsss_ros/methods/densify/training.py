"""Densify: the cloud network learns from tags of scenes through primitives that are clustered again and again."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from wsss_ros.losses import exact
from wsss_ros.methods.densify.clustering import Primitives, find_primitives, primitive_of
from wsss_ros.methods.densify.matching import NONE, match, match_loss, naive_match, primitive_loss, primitive_means
from wsss_ros.methods.densify.phase import DensifyPhase
from wsss_ros.methods.densify.primitives import grouped, propagated
from wsss_ros.methods.linked import LinkedMethod
from wsss_ros.methods.method import from_first, unwrapped
from wsss_ros.networks.classifier import input_features, normalise_images
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import Source, mixed, posed
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import CloudBatch, PairBatch, PairSamples
from wsss_ros.samples.superpoint_samples import (
    SuperpointBatch,
    SuperpointClouds,
    SuperpointPairs,
    superpoint_count,
)
from wsss_ros.samples.superpoints import with_superpoints
from wsss_ros.types import BadInput


class Densify(LinkedMethod[DensifyPhase]):
    """``networks["cloud"]`` learns from tags of scenes: L_cam + L_us + L_match (eq. 1).

    An image network may learn with it. The state is the primitives, the primitive of each superpoint of all training
    scenes, and the group of each primitive. The clustering draws its random numbers from torch, which the run seeds.
    """

    Phase: ClassVar = DensifyPhase
    phase: DensifyPhase

    @classmethod
    def needs_truth(cls, phase: DensifyPhase) -> bool:
        """Whether the superpoints are those of the dense labels."""
        return phase.superpoints == "truth"

    def make_samples(self) -> Samples:
        """Clouds, with images of each if the image network takes part, and the superpoint of each point.

        Raises BadInput if no scene has a superpoint.
        """
        self.parts: list[SuperpointClouds | SuperpointPairs] = []
        alone = "image" not in self.phase.networks
        samples = mixed(self.data.sources, self._clouds_of, posed, "posed scenes") if alone else super().make_samples()
        if self.phase.clusters and not self._superpoints:
            raise BadInput(
                "no scene has a superpoint that is large enough; choose other 'superpoints', such as "
                "{kind: merged, on_voxels: true, drop_below: 5}"
            )
        return samples

    def pairs_of(self, source: Source) -> PairSamples:
        """The clouds of a source with images of each, and superpoints."""
        data, links, images = self.data, self.phase.max_links, self.phase.images_per_cloud
        start, scenes = self._superpoints, self._with_superpoints(source)
        pairs = SuperpointPairs(scenes, data.image, data.cloud, start, data.visibility_m, links, images)
        self.parts.append(pairs)
        return pairs

    def start(self, networks: dict[str, torch.nn.Module], epoch: int) -> None:
        """Start the phase, without primitives."""
        super().start(networks, epoch)
        device = next(networks["cloud"].parameters()).device
        nothing = torch.full((self._superpoints,), NONE, device=device)
        self.primitives = Primitives(torch.zeros(0, 0, device=device), nothing)
        self.group = nothing[:0]

    def prepare(self, epoch: int) -> None:
        """Cluster the superpoints of all scenes every so many epochs (section 3.2.1)."""
        super().prepare(epoch)
        every = self.phase.cluster_every
        if self.phase.clusters and (epoch % every == 0 if every else epoch == 0):
            self._cluster()

    def losses(self, batch: CloudBatch) -> dict[str, Tensor]:
        """The terms of eq. 1, and those of the image network if there is one."""
        assert isinstance(batch, SuperpointBatch)
        inputs = input_features(batch.xyz, batch.rgb, self.data.cloud_inputs)
        features, scores = self.networks["cloud"](batch.xyz, inputs)
        terms, phase = {}, self.phase
        if phase.classification:
            classes = scores.shape[2] if phase.classification_reduction == "sum" else 1
            terms["classification_3d"] = phase.classification * classes * self.cloud_classification(scores, batch)
        primitive = primitive_of(batch.superpoint, self.primitives.assignment)
        if phase.primitive:
            terms["primitives"] = phase.primitive * self._primitive_loss(features.flatten(0, 1), primitive.flatten())
        if phase.match and self.epoch >= phase.match_from:
            scenes = zip(features, scores, primitive, batch.cloud_tags, strict=True)
            mean_scores, matched = zip(*(self._matched(*scene) for scene in scenes), strict=True)
            terms["match"] = phase.match * match_loss(torch.cat(mean_scores), torch.cat(matched))
        if isinstance(batch, PairBatch):
            shown = batch.all_images()
            images = self.networks["image"](normalise_images(shown.images))
            if "image" in phase.optimisers:
                terms["classification_2d"] = self.image_classification(images[1], shown)
            terms |= self.link_losses(batch, images, (features, scores))
        return terms

    def state_dict(self) -> dict[str, Any]:
        """The primitives, the primitive of each superpoint, and the groups."""
        return {"centres": self.primitives.features, "assignment": self.primitives.assignment, "group": self.group}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        device = self.group.device
        self.primitives = Primitives(state["centres"].to(device), state["assignment"].to(device))
        self.group = state["group"].to(device)

    @property
    def _superpoints(self) -> int:
        return sum(superpoint_count(part.scenes) for part in self.parts)

    def _clouds_of(self, source: Source) -> SuperpointClouds:
        clouds = SuperpointClouds(self._with_superpoints(source), self.data.cloud, self._superpoints)
        self.parts.append(clouds)
        return clouds

    def _with_superpoints(self, source: Source) -> Sequence[PreparedScene]:
        if not self.phase.clusters:
            return source.scenes
        return with_superpoints(source.scenes, self.phase.superpoints, self.phase.hand_made)

    def _cluster(self) -> None:
        """Primitives from the features of the network at this time, and after the warm-up their groups."""
        after_warmup = self.epoch >= self.phase.hand_made_epochs
        network = unwrapped(self.networks["cloud"])
        scenes = [scene for part in self.parts for scene in part.scenes]
        points, inputs = self.data.cloud.points, self.data.cloud_inputs
        found = find_primitives(network, scenes, points, inputs, self.phase, with_hand_made=not after_warmup)
        self.primitives = Primitives(*map(from_first, found))
        if after_warmup and self.phase.groups:
            share = len(found.features) / self.phase.primitives  # there may be fewer primitives than asked for
            self.group = from_first(grouped(found.features, max(1, round(self.phase.groups * share))))

    def _primitive_loss(self, features: Float[Tensor, "M H"], primitive: Int64[Tensor, "M"]) -> Float[Tensor, ""]:
        """L_us (eq. 5), or that of GrowSP with ``similarity`` cosine."""
        if self.phase.similarity == "cosine":
            features = F.normalize(exact(features), dim=1) / self.phase.temperature
        return primitive_loss(features, self.primitives.features, primitive)

    def _matched(
        self,
        features: Float[Tensor, "N H"],
        scores: Float[Tensor, "N C"],
        primitive: Int64[Tensor, "N"],
        tags: Float[Tensor, "C"],
    ) -> tuple[Float[Tensor, "P C"], Int64[Tensor, "P"]]:
        """The mean score of each primitive in a scene, and the class that it is matched with (eqs. 6-8)."""
        mean_scores, number = primitive_means(exact(scores), primitive)
        if self.phase.matching == "naive":
            found = naive_match(mean_scores, tags)
        else:
            means, _ = primitive_means(exact(features.detach()), primitive)
            found = match(means, unwrapped(self.networks["cloud"]).get_parameter("head.weight"), tags)
        return mean_scores, propagated(found, self.group[number]) if len(self.group) else found
