"""Training samples: augmented views of images, of clouds, and of both with the links between them.

All randomness comes from the generator that ``sample`` gets. So the samples of a run depend on its seed only, and not
on workers, devices or interruptions. Only supervised training reads dense truth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from wsss_ros import geometry
from wsss_ros.cam import pixel_tags
from wsss_ros.networks.classifier import FusedLabels, input_features
from wsss_ros.samples import augment, clouds
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.clouds import DrawnCloud
from wsss_ros.samples.photos import PreparedPhotos
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.types import BadInput

Sample = dict[str, Tensor]
# The parts of a pair that have one row for each image or link, and are therefore concatenated.
_OF_IMAGES = (
    *("images", "image_tags", "image_known", "image_source", "image_truth", "teacher_images", "image_region"),
    *("links_point", "links_uv", "links_count"),
)

_TAG_OTHERS = "tag frames that see it, or the scene alone"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The input of one training step; each kind of samples has its own subclass."""

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device. The copy does not block: pinned batches are copied while the device computes."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The batch in pinned memory, from which a GPU copies while the CPU works."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        def changed(value: Any) -> Any:
            if isinstance(value, Batch):
                return value._each(change)
            return change(value) if isinstance(value, Tensor) else value

        return type(self)(**{name: changed(value) for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class ImageBatch(Batch):
    """K crops of images, RGB in 0..1, and their tags as multi-hot rows; ``image_known`` is 0 for unknown classes.

    ``image_source`` is the number of the source of each image; None if there is only one source.
    """

    images: Float[Tensor, "K 3 S S"]
    image_tags: Float[Tensor, "K C"]
    image_known: Float[Tensor, "K C"]
    image_source: Int64[Tensor, "K"] | None = None

    def pixel_tags(self) -> Float[Tensor, "K C"]:
        """The classes that the pixels of each image may get: its tags."""
        return self.image_tags


@dataclass(frozen=True, kw_only=True)
class CloudBatch(Batch):
    """B clouds, upright and centred, metres; tags as multi-hot rows.

    Colours are in 0..1, NaN for the points of a cloud without colours; ``rgb`` is None if no cloud has any.
    ``cloud_known`` is 1 where the class was judged (present or absent), 0 where it is unknown. ``cloud_source`` is the
    number of the source of each cloud; None if there is only one source. ``fused_label`` and ``fused_confidence`` are
    those of ``types.Cloud``; None without.
    """

    xyz: Float[Tensor, "B N 3"]
    rgb: Float[Tensor, "B N 3"] | None = None
    cloud_tags: Float[Tensor, "B C"]
    cloud_known: Float[Tensor, "B C"]
    cloud_source: Int64[Tensor, "B"] | None = None
    fused_label: Int64[Tensor, "B N"] | None = None
    fused_confidence: Float[Tensor, "B N"] | None = None

    def features(self, inputs: tuple[str, ...], classes: int) -> Float[Tensor, "B N F"]:
        """The input features of a cloud network for ``classes`` classes (``networks.classifier.input_features``)."""
        fused = None
        if self.fused_label is not None:
            fused = FusedLabels.of(self.fused_label, self.fused_confidence, classes)
        return input_features(self.xyz, self.rgb, inputs, fused)


@dataclass(frozen=True, kw_only=True)
class PairBatch(ImageBatch, CloudBatch):
    """B clouds with K / B images of each, in the order of the clouds, and the links between both.

    Links are packed: the first ``links_count[0]`` rows belong to the first image and its cloud, and so on.
    ``links_point`` is the row in the cloud, ``links_uv`` the position in the crop (pixels, centres at whole numbers).
    ``photos`` are further images, without a cloud.
    """

    links_point: Int64[Tensor, "L"]
    links_uv: Float[Tensor, "L 2"]
    links_count: tuple[int, ...]
    photos: ImageBatch | None = None

    def pixel_tags(self) -> Float[Tensor, "K C"]:
        """The classes that the pixels of each image may get: its tags, or those of its cloud (``cam.pixel_tags``)."""
        return self.tags_of_pixels(self.cloud_tags)

    def tags_of_pixels(self, scene_tags: Float[Tensor, "B C"]) -> Float[Tensor, "K C"]:
        """The classes that the pixels of each image may get: its tags, or those of its scene (``cam.pixel_tags``)."""
        of_scenes = scene_tags.repeat_interleave(len(self.images) // len(self.xyz), dim=0)
        return pixel_tags(self.image_tags, self.image_known, of_scenes)

    def all_images(self) -> ImageBatch:
        """The images of the clouds, and after them the photographs."""
        names = ("images", "image_tags", "image_known", "image_source")
        own, photos = ({name: getattr(part, name) for name in names} for part in (self, self.photos or self))
        if self.photos is None:
            return ImageBatch(**own)
        both = {name: (own[name], photos[name]) for name in names}
        return ImageBatch(**{n: None if a is None or b is None else torch.cat([a, b]) for n, (a, b) in both.items()})


@dataclass(frozen=True, kw_only=True)
class LabelledCloudBatch(CloudBatch):
    """A ``CloudBatch`` with dense labels, 255 where unlabelled."""

    cloud_truth: Int64[Tensor, "B N"]


@dataclass(frozen=True, kw_only=True)
class LabelledBatch(PairBatch, LabelledCloudBatch):
    """A ``PairBatch`` with dense labels, 255 where unlabelled."""

    image_truth: Int64[Tensor, "K S S"]


def with_colors(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples, so that either all have ``rgb`` or none has: points without a colour are NaN where others have one.

    Some scenes may have no colours, and ``CloudAugment.drop_color`` takes them from some samples.
    """
    if all("rgb" not in sample for sample in samples):
        return samples
    return [{"rgb": torch.full_like(sample["xyz"], torch.nan), **sample} for sample in samples]


def stacked(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Stack each part of the samples, by its name."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


class ImageSamples:
    """The tagged images of scenes, or of collections of photographs. Raises BadInput when no image has a tag.

    Images without a tag are left out, because their classes are unknown; scene tags alone teach images only together
    with clouds (``PairSamples``). Photographs that were squeezed to a square are stretched at random.
    """

    def __init__(self, scenes: Sequence[PreparedScene | PreparedPhotos], settings: ImageAugment):
        self.scenes, self.settings = scenes, settings
        tagged = [(s, f) for s, scene in enumerate(scenes) for f in np.flatnonzero(scene.image_tags.any(axis=1))]
        if not tagged:
            raise BadInput(f"no tagged image in {len(scenes)} scenes; tag images (tags.csv, tags.json) or add others")
        self.items = [(s, int(f)) for s, f in tagged]
        self.names = [scenes[s].image_name(f) for s, f in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """An augmented image, and its tags."""
        return self.viewed(index, rng)[0]

    def item(self, index: int) -> tuple[PreparedScene | PreparedPhotos, int]:
        """The scene or collection of an image, and the number of the image in it."""
        scene, frame = self.items[index]
        return self.scenes[scene], frame

    def viewed(self, index: int, rng: np.random.Generator) -> tuple[Sample, augment.View, tuple[int, int]]:
        """An augmented image with its tags, the view of the crop, and the (height, width) of the stored image."""
        scene, frame = self.item(index)
        image, view = _image_view(scene, frame, self.settings, rng)
        height, width = scene.image(frame).shape[1:]
        return {"images": image, **_image_tags(scene, frame)}, view, (height, width)

    def collate(self, samples: Sequence[Sample]) -> ImageBatch:
        """The batch of the images of a step."""
        return ImageBatch(**stacked(samples))


class CloudSamples:
    """Tagged clouds, upright and centred. With ``truth`` the samples contain dense labels."""

    def __init__(self, scenes: Sequence[PreparedScene], settings: CloudAugment, truth: bool = False):
        self.scenes, self.settings, self.truth = scenes, settings, truth
        self.names = [scene.name for scene in scenes]

    def __len__(self) -> int:
        return len(self.scenes)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """An augmented cloud, and its tags."""
        sample, cloud = self._cloud_view(self.scenes[index], rng)
        if self.truth:
            sample["cloud_truth"] = torch.from_numpy(cloud.truth.astype(np.int64))
        return sample

    def collate(self, samples: Sequence[Sample]) -> CloudBatch:
        """The batch of the clouds of a step."""
        return self._batch(**stacked(with_colors(samples)))

    @property
    def _batch(self) -> type[CloudBatch]:
        return LabelledCloudBatch if self.truth else CloudBatch

    def _cloud_view(self, scene: PreparedScene, rng: np.random.Generator) -> tuple[Sample, DrawnCloud]:
        return _cloud_view(scene, self.settings, rng)


class PairSamples:
    """Clouds, each with ``images`` of its images and the links between points and pixels of the crops (eqs. 3-4).

    The images are the tagged ones. In a scene with scene tags alone they are all that may show one of its tags. A scene
    where none of them sees the cloud is left out and listed in ``left_out``. A scene with fewer than ``images`` images
    repeats some of them, in another crop. ``tolerance_m`` is the largest difference between a
    visible point's depth and the depth image, in metres. ``max_links`` limits the links of an image (0: no limit).
    With ``truth`` the samples contain dense labels. Raises BadInput when no scene is left.
    """

    def __init__(
        self,
        scenes: Sequence[PreparedScene],
        image: ImageAugment,
        cloud: CloudAugment,
        tolerance_m: float = 0.05,
        max_links: int = 0,
        truth: bool = False,
        images: int = 1,
    ):
        usable = [_usable_frames(scene) for scene in scenes]
        self.scenes = [scene for scene, frames in zip(scenes, usable, strict=True) if len(frames)]
        self.frames = [frames for frames in usable if len(frames)]
        if not self.scenes:
            raise BadInput(f"no tagged image sees its cloud in {len(scenes)} scenes; {_TAG_OTHERS}")
        self.names = [scene.name for scene in self.scenes]
        self.left_out = [
            (scene.name, f"no tagged image sees its cloud; {_TAG_OTHERS}")
            for scene, frames in zip(scenes, usable, strict=True)
            if not len(frames)
        ]
        self.image, self.cloud = image, cloud
        self.tolerance_m, self.max_links, self.truth, self.images = tolerance_m, max_links, truth, images

    def __len__(self) -> int:
        return len(self.scenes)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """An augmented cloud, augmented images of it, the tags of both, and the links between them."""
        scene, frames = self.scenes[index], self.frames[index]
        sample, cloud = self._cloud_view(scene, rng)
        chosen = np.resize(rng.choice(frames, min(self.images, len(frames)), replace=False), self.images)
        seen = [self._seen(scene, int(frame), cloud.xyz, rng) for frame in chosen]
        sample["links_count"] = torch.tensor([len(each["links_point"]) for each in seen])
        for name in seen[0]:
            join = torch.cat if name.startswith("links") else torch.stack
            sample[name] = join([each[name] for each in seen])
        if self.truth:
            sample["cloud_truth"] = torch.from_numpy(cloud.truth.astype(np.int64))
        return sample

    def collate(self, samples: Sequence[Sample]) -> PairBatch:
        """The batch of the clouds and images of a step. The parts that belong to images or links are concatenated."""
        samples = with_colors(samples)
        parts: dict[str, Any] = {
            name: (torch.cat if name in _OF_IMAGES else torch.stack)([sample[name] for sample in samples])
            for name in samples[0]
        }
        counts = tuple(parts.pop("links_count").tolist())
        return self._batch(**parts, links_count=counts)

    @property
    def _batch(self) -> type[PairBatch]:
        return LabelledBatch if self.truth else PairBatch

    def _cloud_view(self, scene: PreparedScene, rng: np.random.Generator) -> tuple[Sample, DrawnCloud]:
        return _cloud_view(scene, self.cloud, rng)

    def _seen(self, scene: PreparedScene, frame: int, xyz: np.ndarray, rng: np.random.Generator) -> Sample:
        """An augmented image, its tags, and its links to the points ``xyz`` (world, metres) of the sampled cloud."""
        images, view = self._image_view(scene, frame, rng)
        point, uv = self._links(scene, frame, xyz, view, rng)
        seen = {
            **images,
            **_image_tags(scene, frame),
            "links_point": torch.from_numpy(point),
            "links_uv": torch.from_numpy(uv.astype(np.float32)),
        }
        if self.truth:
            seen["image_truth"] = _truth_view(scene, frame, view, self.image.crop)
        return seen

    def _image_view(self, scene: PreparedScene, frame: int, rng: np.random.Generator) -> tuple[Sample, augment.View]:
        image, view = _image_view(scene, frame, self.image, rng)
        return {"images": image}, view

    def _links(
        self, scene: PreparedScene, frame: int, xyz: np.ndarray, view: augment.View, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The links: rows of the sampled cloud, and their positions (u, v) in the crop, pixels."""
        uv, depth = geometry.project(xyz, scene.camera(frame), scene.poses[frame])
        depth_m = scene.depth_mm[frame].astype(np.float32) / 1000
        seen = np.flatnonzero(geometry.visible(uv, depth, depth_m, self.tolerance_m))
        in_crop = view.uv_from_source(_scaled(uv[seen], scene, frame))
        inside = ((in_crop > -0.5) & (in_crop < self.image.crop - 0.5)).all(axis=1)
        seen, in_crop = seen[inside], in_crop[inside]
        if 0 < self.max_links < len(seen):
            chosen = rng.choice(len(seen), self.max_links, replace=False)
            seen, in_crop = seen[chosen], in_crop[chosen]
        return seen, in_crop


def _usable_frames(scene: PreparedScene) -> Int64[np.ndarray, "K"]:
    """The frames with tags that see the cloud; in a scene with scene tags alone, those that may show one of them."""
    shown = scene.image_tags if scene.image_tags.any() else scene.tags * (1 - scene.image_known)
    return np.flatnonzero(shown.any(axis=1) & (scene.links > 0))


def _image_view(
    scene: PreparedScene | PreparedPhotos, frame: int, settings: ImageAugment, rng: np.random.Generator
) -> tuple[Float[Tensor, "3 S S"], augment.View]:
    crop, view = random_crop(scene, frame, settings, rng)
    color = torch.from_numpy(augment.random_color_matrix(rng, *settings.jitter))
    return augment.apply_color_matrices(crop[None], color[None])[0], view


def random_crop(
    scene: PreparedScene | PreparedPhotos, frame: int, settings: ImageAugment, rng: np.random.Generator
) -> tuple[Float[Tensor, "3 S S"], augment.View]:
    """A random crop of an image, RGB in 0..1 without jitter, and the view of the crop."""
    image = torch.from_numpy(scene.image(frame).copy())
    stretch = augment.random_stretch(rng) if scene.is_squeezed(frame) else 1.0
    view = augment.random_view(rng, image.shape[2], image.shape[1], settings.long_side, settings.crop, stretch)
    return augment.apply_views(image[None], [view], settings.crop)[0], view


def _image_tags(scene: PreparedScene | PreparedPhotos, frame: int) -> Sample:
    """The tags of an image, and which classes are known in it."""
    return {name: torch.from_numpy(getattr(scene, name)[frame].copy()) for name in ("image_tags", "image_known")}


def _cloud_view(scene: PreparedScene, settings: CloudAugment, rng: np.random.Generator) -> tuple[Sample, DrawnCloud]:
    """An augmented cloud with its tags, and its points in the world frame."""
    cloud = clouds.draw(scene, settings, rng)
    xyz = torch.from_numpy(clouds.placed(cloud.xyz, scene, settings, rng).astype(np.float32))
    return {"xyz": xyz, **tags_and_colors(cloud, settings, rng)}, cloud


def tags_and_colors(cloud: DrawnCloud, settings: CloudAugment, rng: np.random.Generator) -> Sample:
    """The tags of a cloud, its colours in 0..1 if it has any and does not lose them, and its fused labels."""
    sample = {
        "cloud_tags": torch.from_numpy(np.array(cloud.tags)),
        "cloud_known": torch.from_numpy(np.array(cloud.known)),
    }
    dropped = settings.drop_color > 0 and rng.random() < settings.drop_color
    if cloud.rgb is not None and not dropped:
        sample["rgb"] = torch.from_numpy(cloud.rgb).float() / 255
    if cloud.fused_label is not None:
        sample["fused_label"] = torch.from_numpy(cloud.fused_label.astype(np.int64))
        sample["fused_confidence"] = torch.from_numpy(cloud.fused_confidence)
    return sample


def _scaled(uv: np.ndarray, scene: PreparedScene, frame: int) -> np.ndarray:
    """Map pixels of the source image to pixels of the stored image, which may be smaller."""
    height, width = scene.images.shape[2:]
    scale = np.array([width, height]) / scene.cameras[frame, 4:]
    return (uv + 0.5) * scale - 0.5


def _truth_view(scene: PreparedScene, frame: int, view: augment.View, crop: int) -> Int64[Tensor, "S S"]:
    """The true label of each pixel of the crop, by nearest neighbour; unlabelled outside the image."""
    height, width = scene.images.shape[2:]
    return torch.from_numpy(augment.apply_view_to_labels(scene.frame_truth[frame], (height, width), view, crop))
