"""Stage one of WSegPC: both networks from tags of scenes, cross-modal guidance, and consistency with regions."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from wsss_ros import cam
from wsss_ros.losses import classification_loss, exact, region_consistency_loss
from wsss_ros.methods.method import TaggedMethod, from_first, summed, unwrapped
from wsss_ros.methods.teacher_labels import centred
from wsss_ros.methods.wsegpc.guidance import PROJECTED, Distillation, Pairs, distillation_loss, scene_pairs
from wsss_ros.methods.wsegpc.mixing import random_mix
from wsss_ros.methods.wsegpc.phase import WsegpcPhase
from wsss_ros.networks.backbone import Backbone
from wsss_ros.networks.classifier import image_mean, input_features, normalise_images, upsample
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import Source, mixed, posed, weights_of
from wsss_ros.samples.priors import TagPriors
from wsss_ros.samples.scene_regions import with_regions
from wsss_ros.samples.teachers import OUTSIDE, TeacherBatch, TeacherPairs
from wsss_ros.types import KINDS

_OTHER = {"image": "cloud", "cloud": "image"}


class Wsegpc(TaggedMethod[WsegpcPhase]):
    """``networks["image"]`` and ``networks["cloud"]`` learn from tags, from each other and from their own averages.

    The averages of the weights over the steps (EMA) are the teachers of the consistency, and the result of the phase:
    at its end the networks get them. The state is these averages, the counters of the thresholds, and the number of
    steps; the projections of the features are modules of the method.
    """

    Phase: ClassVar = WsegpcPhase
    phase: WsegpcPhase

    @classmethod
    def needs_truth(cls, phase: WsegpcPhase) -> bool:
        """Whether the regions are those of the dense labels."""
        return phase.regions == "truth"

    def make_samples(self) -> Samples:
        """Clouds with several images of each in two views, the links between them, and regions."""
        return mixed(self.data.sources, self._samples_of, posed, "posed scenes")

    def make_modules(self, networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """The projections of section 3.2: from the features of a network that learns to the width of the other one's.

        Only the losses that compare features directly need them.
        """
        widths = {kind: cast(Backbone, network.backbone).out_channels for kind, network in networks.items()}
        return {
            kind: nn.Linear(widths[kind], widths[_OTHER[kind]])
            for kind in self._guided()
            if self._guidance_loss(kind) in PROJECTED
        }

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """Start the phase: the averages start as the networks are, the counters with zeros."""
        super().start(networks, epoch)
        self.steps = 0
        self.teachers = {kind: _averaged(unwrapped(networks[kind]), self.phase) for kind in KINDS}
        devices = {kind: next(teacher.parameters()).device for kind, teacher in self.teachers.items()}
        classes = len(self.data.labels)
        self.counters = {k: torch.zeros(classes, dtype=torch.int64, device=device) for k, device in devices.items()}

    def losses(self, batch: TeacherBatch) -> dict[str, Tensor]:
        """The terms of eq. 9 of the networks that learn: L_cls, alpha L_con and beta L_rpc of both domains."""
        mix = random_mix(len(batch.xyz)) if float(torch.rand(())) < self.phase.mix3d.share else None
        clouds = batch if mix is None else mix.clouds(batch)
        image_features, image_scores = self.networks["image"](normalise_images(batch.images))
        inputs = input_features(clouds.xyz, clouds.rgb, self.data.cloud_inputs)
        cloud_features, cloud_scores = self.networks["cloud"](clouds.xyz, inputs)

        terms, learns, ramp = {}, self.phase.optimisers, ramped(self.steps, self.phase.classification_warmup)
        if "image" in learns:
            terms["classification_2d"] = ramp * self._image_classification(image_scores, batch)
        if "cloud" in learns:
            terms["classification_3d"] = ramp * self.cloud_classification(cloud_scores, clouds)
        if mix is not None:
            cloud_features, cloud_scores = mix.own(cloud_features), mix.own(cloud_scores)
        if self._guided():
            limits = self.phase.min_links, self.phase.pairs
            maps, points = (image_features, image_scores), (cloud_features, cloud_scores)
            terms |= self._guidance(list(scene_pairs(batch, maps, points, *limits)))
        ramp = ramped(self.steps, self.phase.rpc_warmup)
        if self.phase.rpc_3d and "cloud" in learns:
            terms["rpc_3d"] = self.phase.rpc_3d * ramp * self._point_consistency(batch, cloud_scores, mix)
        if self.phase.rpc_2d and "image" in learns:
            terms["rpc_2d"] = self.phase.rpc_2d * ramp * self._pixel_consistency(batch, image_scores)
        return terms

    def after_step(self) -> None:
        """The averages follow the networks, over all of their weights and statistics."""
        self.steps += 1
        for kind in self.phase.optimisers:
            self.teachers[kind].update_parameters(unwrapped(self.networks[kind]))
            for buffer in self.teachers[kind].module.buffers():
                from_first(buffer)

    def finish(self) -> None:
        """Set the networks that learned to their averages, which give the pseudo-labels of stage two."""
        for kind in self.phase.optimisers:
            unwrapped(self.networks[kind]).load_state_dict(self.teachers[kind].module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, the averages and the counters."""
        teachers = {kind: teacher.state_dict() for kind, teacher in self.teachers.items()}
        return {"steps": self.steps, "teachers": teachers, "counters": self.counters}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore all three."""
        self.steps = state["steps"]
        for kind in KINDS:
            self.teachers[kind].load_state_dict(state["teachers"][kind])
            self.counters[kind].copy_(state["counters"][kind])

    def image_weights(self) -> list[float]:
        """As of all methods; photographs take no part."""
        return weights_of(self.data.sources, posed)

    def tag_priors(self) -> TagPriors:
        """As of all methods; images that learn from the tags of scenes have the priors of these."""
        of_images, of_clouds = super().tag_priors()
        return (of_clouds if self._by_scene else of_images), of_clouds

    @property
    def _by_scene(self) -> bool:
        """Whether the tags of scenes are all that images learn from."""
        return self.phase.image_tags == "scene"

    def _samples_of(self, source: Source) -> TeacherPairs:
        data, phase = self.data, self.phase
        augmentation = data.image, data.cloud, phase.views, phase.removal
        limits = data.visibility_m, phase.pairs_per_view, phase.images_per_cloud
        scenes = with_regions(source.scenes, phase.regions) if phase.needs_regions else source.scenes
        return TeacherPairs(scenes, *augmentation, data.labels, *limits)

    def _image_classification(self, scores: Float[Tensor, "K C h w"], batch: TeacherBatch) -> Float[Tensor, ""]:
        """L_cls of the images: of the mean over the pixels of all views of a scene, by its tags; or of each image."""
        if not self._by_scene:
            return self.image_classification(scores, batch)
        of_scenes = image_mean(scores).unflatten(0, (len(batch.xyz), -1)).mean(dim=1)
        mean = of_scenes + self.priors.of_clouds(batch.cloud_source, scores.device)
        return classification_loss(mean, batch.scene_tags, batch.scene_known)

    # Cross-modal guidance, section 3.2.

    def _guided(self) -> list[str]:
        """The kinds of networks that learn from the other one."""
        weights = {"image": self.phase.point_to_image, "cloud": self.phase.image_to_point}
        return [kind for kind in KINDS if kind in self.phase.optimisers and weights[kind] > 0]

    def _guidance_loss(self, kind: str) -> Distillation:
        return self.phase.point_to_image_loss if kind == "image" else self.phase.image_to_point_loss

    def _guidance(self, pairs: Sequence[Pairs]) -> dict[str, Tensor]:
        """Images guide points (L_con 3D), and points guide images (L_con 2D), with alpha and its warm-up."""
        weights = {"cloud": ("image_to_point", self.phase.image_to_point)}
        weights["image"] = ("point_to_image", self.phase.point_to_image)
        ramp = ramped(self.steps, self.phase.guidance_warmup)
        return {weights[kind][0]: weights[kind][1] * ramp * self._distilled(kind, pairs) for kind in self._guided()}

    def _distilled(self, kind: str, pairs: Sequence[Pairs]) -> Float[Tensor, ""]:
        """The loss of the network of this kind over all scenes; the other one teaches."""
        name, phase = self._guidance_loss(kind), self.phase
        learners, teachers = ([getattr(each, side) for each in pairs] for side in (kind, _OTHER[kind]))
        if name in PROJECTED:  # in one call: a module is called once in a step
            projected = exact(self.modules[kind](torch.cat([side.features for side in learners])))
            of_scenes = projected.split([len(side.features) for side in learners])
            learners = [side._replace(features=own) for side, own in zip(learners, of_scenes, strict=True)]
        sides = zip(learners, teachers, (each.tags for each in pairs), strict=True)
        total = torch.stack([distillation_loss(name, *side, phase.temperature) for side in sides])
        return total.sum() if phase.over_scenes == "sum" else total.mean()

    # Region-point consistency, section 3.3.

    def _point_consistency(self, batch: TeacherBatch, student: Float[Tensor, "B N C"], mix: Any) -> Float[Tensor, ""]:
        """L_rpc of points (eq. 8): they learn the class of their region, as the teacher sees it."""
        mix = mix if self.phase.mix3d.networks == "both" else None
        xyz, rgb = batch.teacher_xyz, batch.rgb
        if mix is not None:
            xyz, rgb = mix.points(xyz), None if rgb is None else mix.joined(rgb)
        with torch.no_grad():
            scores = exact(self.teachers["cloud"](xyz, input_features(xyz, rgb, self.data.cloud_inputs))[1])
            scores = scores if mix is None else mix.own(scores)
            scenes = zip(scores, batch.cloud_tags, self._regions(batch.region), batch.cloud_known, strict=True)
            probability = torch.cat([self._regional(*scene) for scene in scenes])
        return region_consistency_loss(student.flatten(0, 1), probability, self._threshold("cloud", probability))

    def _pixel_consistency(self, batch: TeacherBatch, student: Float[Tensor, "K C h w"]) -> Float[Tensor, ""]:
        """L_rpc of pixels, for cells of 4 x 4 of them."""
        size, inside = batch.image_region.shape[1:], batch.image_region != OUTSIDE
        tags, known = self._pixel_tags(batch)
        with torch.no_grad():
            scores = exact(self.teachers["image"](normalise_images(batch.teacher_images))[1])
            cells = upsample(scores, size).movedim(1, -1)
            images = zip(cells, tags, self._regions(batch.image_region), known, inside, strict=True)
            probability = torch.cat([self._regional(a[m], t, r[m], k) for a, t, r, k, m in images])
        own = upsample(exact(student), size).movedim(1, -1)[inside]
        return region_consistency_loss(own, probability, self._threshold("image", probability))

    def _regional(self, scores: Float[Tensor, "M C"], *tags_and_regions: Tensor) -> Float[Tensor, "M C"]:
        """The probabilities of the region of each point or pixel of a scene or image (eqs. 2-3)."""
        return cam.regional_probabilities(centred(scores, self.phase.centring), *tags_and_regions)

    def _regions(self, region: Int64[Tensor, "*places"]) -> Int64[Tensor, "*places"]:
        """The regions, or none: each point for itself (table 8)."""
        return region if self.phase.consistency == "region" else torch.full_like(region, -1)

    def _pixel_tags(self, batch: TeacherBatch) -> tuple[Float[Tensor, "K C"], Float[Tensor, "K C"]]:
        """The classes that the pixels of each image may get, and which of the classes are known."""
        if not self._by_scene:
            return batch.pixel_tags(), batch.image_known
        tags, known = (
            rows.repeat_interleave(len(batch.images) // len(rows), dim=0)
            for rows in (batch.scene_tags, batch.scene_known)
        )
        return tags, known

    def _threshold(self, kind: str, probability: Float[Tensor, "M C"]) -> Float[Tensor, "C"]:
        """The threshold of each class, from the points or pixels of all processes (eqs. 5-6)."""
        eta = self.phase.eta
        if self.phase.threshold == "fixed":
            return probability.new_full((probability.shape[1],), eta)
        if self.phase.threshold == "adaptive":
            return cam.adaptive_threshold(summed(cam.class_counts(probability)), eta)
        threshold = cam.adaptive_threshold(self.counters[kind], eta)
        self.counters[kind] += summed(cam.class_counts(probability, threshold))
        return threshold


def ramped(steps: int, warmup: int) -> float:
    """The linear warm-up of a weight after a number of steps: it rises to 1 in ``warmup`` steps."""
    return min(1.0, (steps + 1) / warmup) if warmup else 1.0


def _averaged(network: nn.Module, phase: WsegpcPhase) -> AveragedModel:
    """A copy of a network that follows the averages of its weights, for evaluation only."""

    def average(averages: Any, weights: Any, steps: Tensor | int) -> None:
        n = int(steps)
        decay = min(phase.ema_decay, (1 + n) / (10 + n)) if phase.ema_warmup else phase.ema_decay
        get_ema_multi_avg_fn(decay)(averages, weights, steps)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True).eval().requires_grad_(False)
