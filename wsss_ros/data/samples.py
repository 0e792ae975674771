"""Training samples: images and clouds of scenes with nothing but their tags.

Dense truth is never read here. Images and clouds are decoded once and kept in memory.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from wsss_ros.data import augment
from wsss_ros.labels import LabelSpace
from wsss_ros.types import BadInput, Scene

log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class Batch:
    """What one training step sees; the parts that a method does not use are None."""

    images: Float[Tensor, "B 3 S S"] | None = None
    image_tags: Float[Tensor, "B C"] | None = None
    xyz: Float[Tensor, "B N 3"] | None = None
    rgb: Float[Tensor, "B N 3"] | None = None
    cloud_tags: Float[Tensor, "B C"] | None = None

    def to(self, device: torch.device) -> "Batch":
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return Batch(**moved)


def spread(count: int, wanted: int) -> list[int]:
    """``wanted`` indices spread evenly over ``count``; all of them where 0 or fewer are there."""
    if wanted in (0, count) or wanted > count:
        return list(range(count))
    return [round((i + 0.5) * count / wanted - 0.5) for i in range(wanted)]


class ImageSamples:
    """Tagged images of many scenes, ``frames_per_scene`` of each, all held as one array of ``size``.

    Images without a tag teach nothing in eq. 2's sense of "what is here" and are left out and counted.
    Raises BadInput when none is left.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        labels: LabelSpace,
        frames_per_scene: int,
        long_side: int = 512,
    ):
        images, tags = [], []
        self.untagged = 0
        for scene in scenes:
            for index in spread(len(scene), frames_per_scene):
                names = scene.image_tags(index)
                if not names:
                    self.untagged += 1
                    continue
                images.append(_at_most(scene.frame(index).rgb, long_side))
                tags.append(labels.multi_hot(names))
        if not images:
            raise BadInput(f"no tagged image in {len(scenes)} scenes; give tags (tags.csv) or other scenes")
        if self.untagged:
            log.warning("%d images without tags were left out", self.untagged)
        self.images, self.tags = images, torch.from_numpy(np.stack(tags))

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, chosen: Sequence[int] | np.ndarray, rng: np.random.Generator, settings) -> Batch:
        """Augmented views (data.augment) of the chosen images; ``settings`` is config.ImageAugment."""
        views = []
        for index in chosen:
            image = self.images[index]
            view = augment.random_view(rng, image.shape[2], image.shape[1], settings.long_side, settings.crop)
            views.append(augment.apply_views(image[None], [view], settings.crop))
        matrices = [augment.random_color_matrix(rng, *settings.jitter) for _ in chosen]
        colored = augment.apply_color_matrices(torch.cat(views), torch.from_numpy(np.stack(matrices)))
        return Batch(images=colored, image_tags=self.tags[list(chosen)])


class CloudSamples:
    """Tagged clouds of many scenes, upright and centred. Raises BadInput when none is left."""

    def __init__(self, scenes: Sequence[Scene], labels: LabelSpace):
        self.clouds, tags = [], []
        for scene in scenes:
            cloud = scene.cloud
            if scene.tags and cloud is not None and len(cloud):
                self.clouds.append((cloud.xyz - cloud.xyz.mean(axis=0, dtype=np.float64).astype(np.float32), cloud.rgb))
                tags.append(labels.multi_hot(scene.tags))
        if not self.clouds:
            raise BadInput(f"no tagged cloud in {len(scenes)} scenes; give scenes with a cloud and tags")
        self.tags = torch.from_numpy(np.stack(tags))

    def __len__(self) -> int:
        return len(self.clouds)

    def batch(self, chosen: Sequence[int] | np.ndarray, rng: np.random.Generator, settings) -> Batch:
        """Augmented sub-samples (data.augment) of the chosen clouds; ``settings`` is config.CloudAugment."""
        xyz, rgb = [], []
        for index in chosen:
            points, colors = self.clouds[index]
            kept = augment.sample_points(rng, len(points), settings.points)
            matrix = augment.random_cloud_matrix(rng, settings.rotation_deg, settings.flip)
            xyz.append(torch.from_numpy(points[kept] @ matrix.T))
            if colors is not None:
                rgb.append(torch.from_numpy(colors[kept]).float() / 255)
        colors = torch.stack(rgb) if len(rgb) == len(xyz) else None
        return Batch(xyz=torch.stack(xyz), rgb=colors, cloud_tags=self.tags[list(chosen)])


def _at_most(rgb: UInt8[np.ndarray, "H W 3"], long_side: int) -> UInt8[Tensor, "3 h w"]:
    image = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)
    scale = long_side / max(rgb.shape[:2])
    if scale >= 1:
        return image.contiguous()
    size = (round(rgb.shape[0] * scale), round(rgb.shape[1] * scale))
    shrunk = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
    return shrunk.round().to(torch.uint8)
