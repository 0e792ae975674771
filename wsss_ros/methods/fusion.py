"""2D3DNet (Genova et al., 3DV 2021): a cloud network from the labels that an image network gives to posed images.

The labels of the images are voted onto the points of each scene twice: by many views for the input of the network, and
by few, sure ones for the labels that it learns (3.1, 3.2). So it learns to correct the mistakes of its input.
"""

import copy
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import interpolate

from wsss_ros import cam, geometry
from wsss_ros.fusion.network_input import FusionChoice, fuse_together, joined, settings_of
from wsss_ros.labels import UNLABELLED
from wsss_ros.losses import labelled_cross_entropy
from wsss_ros.methods.method import Method, PhaseConfig, PhaseData, unwrapped
from wsss_ros.networks import checkpoint
from wsss_ros.networks.classifier import normalise_images, takes_fused_labels, upsample
from wsss_ros.samples import selection
from wsss_ros.samples.derived_arrays import stored
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import Source, mixed, posed
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import CloudSamples, LabelledCloudBatch
from wsss_ros.types import KINDS, BadInput, Frame

_FORMAT = 2  # version of the stored labels
_IMAGES = 8  # that the image network labels at a time
_FRAME_NS = 1_000_000_000  # time between two frames of a prepared scene
_UNSEEN_NS = -(1 << 60)  # time of a point that no frame sees: no frame is near it
# The labels of the frames of a scene, compressed: those of all scenes are in memory while some scenes are chosen. Each
# frame has the class of the largest score at each pixel, and the same among the classes that the tags allow.
Packed = list[tuple[bytes, bytes]]
log = logging.getLogger("wsss_ros")


class FusionPhase(PhaseConfig):
    """The cloud network from labels of the image network, which does not learn in this phase."""

    method: Literal["fusion"]
    pseudo_truth: FusionChoice = Field(
        "pseudo_truth",
        description="Fusion of the labels to learn: its points without votes teach nothing. The settings of the input "
        "(cloud.fusion) give dense labels, which 2D3DNet compares with.",
    )
    image_tags: Literal["none", "scene", "image"] = Field(
        "none",
        description="The classes that a pixel may get in the labels to learn: all, the tags of its scene, or those of "
        "its image. The input never knows tags, as at inference.",
    )
    timed: bool = Field(
        False,
        description="Give the points times for the limit max_dt_s of pseudo_truth, as those of a LiDAR have: a point "
        "has the time of the frame that sees it from nearest, and consecutive frames are one second apart.",
    )
    long_side: int = Field(
        0, ge=0, description="Longer side at which the image network sees images, pixels; 0: as they are stored."
    )
    scenes: int = Field(0, ge=0, description="Scenes of each source to learn from; 0: all.")
    choice: Literal["diverse", "random"] = Field(
        "diverse",
        description="Which scenes: those of the images that show most classes often, as the image network labels them "
        "(3.3), or any.",
    )

    @property
    def networks(self) -> tuple[str, ...]:
        """Both kinds: the image network labels."""
        return KINDS

    @model_validator(mode="after")
    def _only_the_cloud_network_learns(self) -> "FusionPhase":
        if self.image is not None:
            raise ValueError("image: the image network labels and does not learn in this phase; remove its optimiser")
        return self


class Fusion2d3d(Method[FusionPhase]):
    """The cloud network learns, by cross entropy, the labels of few sure views, from those of all views.

    The labels are computed at the start of the phase, or again when a run resumes; those of scenes with a folder are
    stored next to their arrays. So the method has no state.
    """

    Phase: ClassVar = FusionPhase
    phase: FusionPhase

    def __init__(self, phase: FusionPhase, data: PhaseData):
        if data.cloud.accumulated:
            raise BadInput("cloud.augment.accumulated: the method 'fusion' labels the clouds of scenes; set it to 0")
        super().__init__(phase, data)

    def make_samples(self) -> Samples:
        """Clouds, which get their labels when the phase starts."""
        self.parts: list[tuple[CloudSamples, Sequence[PreparedScene]]] = []  # and the scenes to choose from

        def made(source: Source) -> CloudSamples:
            count = min(self.phase.scenes or len(source.scenes), len(source.scenes))
            scenes = [_unlabelled(scene) for scene in source.scenes[:count]]
            samples = CloudSamples(scenes, self.data.cloud, truth=True)
            self.parts.append((samples, source.scenes))
            return samples

        return mixed(self.data.sources, made, posed, "posed scenes")

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """Start the phase: the image network labels all scenes, and the labels are fused."""
        super().start(networks, epoch)
        teacher = copy.deepcopy(unwrapped(networks["image"])).eval()
        weights = checkpoint.digest(teacher.state_dict())
        log.info("fusing the labels of %d scenes", sum(len(samples) for samples, _ in self.parts))
        for samples, scenes in self.parts:
            samples.scenes = self._to_learn(scenes, len(samples), teacher, weights)
            samples.names[:] = [scene.name for scene in samples.scenes]
        _check_labelled([scene.cloud_truth for samples, _ in self.parts for scene in samples.scenes])

    def losses(self, batch: LabelledCloudBatch) -> dict[str, Tensor]:
        """The cross entropy of the points that have a label."""
        features = batch.features(self.data.cloud_inputs, len(self.data.labels))
        scores = self.networks["cloud"](batch.xyz, features)[1].float()
        return {"fused_3d": labelled_cross_entropy(scores.transpose(1, 2), batch.cloud_truth)}

    def _to_learn(
        self, scenes: Sequence[PreparedScene], count: int, teacher: nn.Module, weights: str
    ) -> list[PreparedScene]:
        """``count`` of the scenes with their input and labels; the image network labels each scene once, if at all."""
        labels = cache(lambda place: self._label(scenes[place], teacher))
        chosen = self._chosen(scenes, count, labels, weights)
        return [self._labelled(scenes[place], partial(labels, place), weights) for place in chosen]

    def _chosen(
        self, scenes: Sequence[PreparedScene], count: int, labels: Callable[[int], Packed], weights: str
    ) -> Sequence[int]:
        """The scenes to learn from: all, or ``count`` of them, the same in each process and after each interruption."""
        if count == len(scenes):
            return range(count)
        if self.phase.choice == "random":
            drawn: list[int] = torch.randperm(len(scenes))[:count].tolist()  # the run has seeded torch
            return drawn
        described = _FORMAT, weights, self.phase.long_side, "presence"
        found = [
            stored(scene, "fused", partial(self._presence, scene, partial(labels, place)), *described)["presence"]
            for place, scene in enumerate(scenes)
        ]
        of_scene = np.repeat(np.arange(len(scenes)), [len(rows) for rows in found])
        order = of_scene[selection.diverse(np.concatenate(found), len(of_scene))]
        return list(dict.fromkeys(order.tolist()))[:count]

    def _presence(self, scene: PreparedScene, labels: Callable[[], Packed]) -> dict[str, np.ndarray]:
        """Which classes each image of a scene shows."""
        classes = len(self.data.labels)
        shown = [selection.presence(each, classes) for _, each in _labelled_frames(scene, labels(), 0)]
        return {"presence": np.stack(shown)}

    def _label(self, scene: PreparedScene, teacher: nn.Module) -> Packed:
        """The labels of the frames of a scene, by the image network."""
        packed = []
        for frame, scores in enumerate(image_scores(teacher, scene.images, self.phase.long_side)):
            free = _packed(_labels(scores, None))
            allowed = _allowed(scene, frame, self.phase.image_tags)
            packed.append((free, free if allowed is None else _packed(_labels(scores, allowed))))
        return packed

    def _labelled(self, scene: PreparedScene, labels: Callable[[], Packed], weights: str) -> PreparedScene:
        """The scene with its input and its labels to learn, each read where it is stored."""
        phase, described = self.phase, (_FORMAT, weights, self.phase.long_side)
        settings = settings_of(phase.pseudo_truth).model_dump(mode="json")
        of_truth = *described, settings, phase.image_tags, phase.timed
        truth = stored(scene, "fused", lambda: self._truth(scene, labels()), *of_truth)
        if not takes_fused_labels(self.data.cloud_inputs):
            return replace(_unlabelled(scene), **truth)
        fusions = [each.model_dump(mode="json") for each in self.data.fusion.fusions]
        given = stored(scene, "fused", lambda: self._input(scene, labels()), *described, fusions)
        return replace(scene, **given, **truth)

    def _input(self, scene: PreparedScene, labels: Packed) -> dict[str, np.ndarray]:
        """The fused label of each point and its share of the votes."""
        points, classes = np.asarray(scene.xyz), len(self.data.labels)
        labelled = _labelled_frames(scene, labels, 0)
        label, share = joined(fuse_together(points, labelled, self.data.fusion.fusions, classes, None, _up(scene)))
        return {"fused_label": label, "fused_confidence": share}

    def _truth(self, scene: PreparedScene, labels: Packed) -> dict[str, np.ndarray]:
        """The label that each point teaches."""
        stamps = nearest_stamps(scene) if self.phase.timed else None
        settings = [settings_of(self.phase.pseudo_truth)]
        points, classes = np.asarray(scene.xyz), len(self.data.labels)
        labelled = _labelled_frames(scene, labels, 1)
        return {"cloud_truth": fuse_together(points, labelled, settings, classes, stamps, _up(scene))[0].label}


@torch.no_grad()
def image_scores(network: nn.Module, images: UInt8[np.ndarray, "F 3 h w"], long_side: int = 0) -> Iterator[Tensor]:
    """The class scores [C h w] of each image at its size, as ``ImageSegmenter`` computes them.

    Args:
        network: for images.
        images: RGB.
        long_side: of the images that the network sees, pixels; 0: as they are.
    """
    device = next(network.parameters()).device
    for first in range(0, len(images), _IMAGES):
        rgb = torch.from_numpy(np.array(images[first : first + _IMAGES])).to(device)
        height, width = rgb.shape[2:]
        scale = long_side / max(height, width) if long_side else 1.0
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        seen = normalise_images(rgb.float() / 255)
        if scale != 1.0:
            seen = interpolate(seen, size, mode="bilinear", align_corners=False, antialias=scale < 1)
        scores = network(seen.contiguous(memory_format=torch.channels_last))[1].float()
        yield from upsample(scores, (height, width))


def frames_of(scene: PreparedScene) -> Iterator[Frame]:
    """The stored frames of a scene; their times are one second apart."""
    for number in range(len(scene.poses)):
        depth_m = scene.depth_mm[number].astype(np.float32) / 1000
        rgb, name = scene.images[number].transpose(1, 2, 0), scene.image_name(number)
        yield Frame(rgb, scene.camera(number), depth_m, scene.poses[number], number * _FRAME_NS, name)


def nearest_stamps(scene: PreparedScene, tolerance_m: float = 0.05) -> Int64[np.ndarray, "N"]:
    """The time of the frame (``frames_of``) that sees each point from nearest, ns; far from all for an unseen point."""
    xyz = np.asarray(scene.xyz, np.float64)
    nearest, stamps = np.full(len(xyz), np.inf), np.full(len(xyz), _UNSEEN_NS, np.int64)
    for frame in frames_of(scene):
        uv, depth = geometry.project(xyz, frame.camera, frame.world_from_camera)
        distance: Float64[np.ndarray, "N"] = np.linalg.norm(xyz - frame.world_from_camera[:3, 3], axis=1)
        nearer = geometry.visible(uv, depth, frame.depth_m, tolerance_m) & (distance < nearest)
        nearest[nearer], stamps[nearer] = distance[nearer], frame.stamp_ns
    return stamps


def _allowed(scene: PreparedScene, frame: int, image_tags: str) -> Float32[np.ndarray, "C"] | None:
    """The classes that pixels of a frame may get, multi-hot; None for all."""
    if image_tags == "none":
        return None
    by_image = image_tags == "image" and scene.image_tags[frame].any()
    tags, known = (scene.image_tags[frame], scene.image_known[frame]) if by_image else (scene.tags, scene.known)
    allowed = np.maximum(tags, 1 - known)
    return allowed if allowed.any() else None


def _labels(scores: Tensor, allowed: Float32[np.ndarray, "C"] | None) -> UInt8[np.ndarray, "h w"]:
    """The class of each pixel with the largest score, among those allowed."""
    if allowed is None:
        return scores.argmax(0).to(torch.uint8).cpu().numpy()
    tags = torch.from_numpy(np.array(allowed)).to(scores.device)
    labels = cam.seed_labels(scores.flatten(1).T, tags).view(scores.shape[1:])
    return labels.to(torch.uint8).cpu().numpy()


def _unlabelled(scene: PreparedScene) -> PreparedScene:
    """The scene as it is before the phase labels it."""
    nothing = np.broadcast_to(np.uint8(UNLABELLED), len(scene.xyz))
    share = np.broadcast_to(np.float32(0), len(scene.xyz))
    return replace(scene, fused_label=nothing, fused_confidence=share, cloud_truth=nothing)


def _up(scene: PreparedScene) -> list[float]:
    return scene.upright_from_world[2, :3].tolist()


def _packed(labels: UInt8[np.ndarray, "h w"]) -> bytes:
    return zlib.compress(labels.tobytes(), 1)


def _labelled_frames(
    scene: PreparedScene, labels: Packed, which: Literal[0, 1]
) -> Iterator[tuple[Frame, UInt8[np.ndarray, "h w"]]]:
    """The frames of a scene, each with its labels: the free ones (0) or those that the tags allow (1)."""
    size = scene.images.shape[2:]
    for frame, packed in zip(frames_of(scene), labels, strict=True):
        yield frame, np.frombuffer(zlib.decompress(packed[which]), np.uint8).reshape(size)


def _check_labelled(labels: Sequence[UInt8[np.ndarray, "N"]]) -> None:
    """Raises BadInput if no point of any scene has a label to learn."""
    if not any((each != UNLABELLED).any() for each in labels):
        raise BadInput(
            f"no point of {len(labels)} scenes gets a label to learn (pseudo_truth); check poses and depth, or choose "
            "a larger depth_tolerance, a smaller dilation, or a larger max_dt_s"
        )
