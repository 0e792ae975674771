"""Clouds and images of them in two views each: one for a student that learns, a gentler one for its teacher.

Both views of a cloud have the same points, and both views of an image are the same crop, so that the output of the
teacher at a point or pixel teaches the student there. Points and pixels have the number of their region.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from wsss_ros.geometry import transform
from wsss_ros.labels import LabelSpace
from wsss_ros.samples import augment, clouds
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.augment_tags import StructureRemoval, remove_structures, structure_classes
from wsss_ros.samples.augment_views import ViewSettings, cloud_view, image_views
from wsss_ros.samples.clouds import DrawnCloud
from wsss_ros.samples.labelled import CELL
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import PairBatch, PairSamples, Sample, random_crop, tags_and_colors

OUTSIDE = -2  # region of a cell of a crop that is outside of the image


@dataclass(frozen=True, kw_only=True)
class TeacherBatch(PairBatch):
    """A ``PairBatch`` for the student; ``teacher_xyz`` and ``teacher_images`` are the teacher's views of it.

    ``region`` is the region of each point, -1: none. ``image_region`` is that of each cell of 4 x 4 pixels of a crop,
    -1: none, -2: outside of the image. ``scene_tags`` and ``scene_known`` are those of the scenes; ``cloud_tags`` lack
    the classes whose points were removed.
    """

    scene_tags: Float[Tensor, "B C"]
    scene_known: Float[Tensor, "B C"]
    teacher_xyz: Float[Tensor, "B N 3"]
    region: Int64[Tensor, "B N"]
    teacher_images: Float[Tensor, "K 3 S S"]
    image_region: Int64[Tensor, "K s s"]

    def pixel_tags(self) -> Float[Tensor, "K C"]:
        """The classes that the pixels of each image may get: its tags, or those of its scene (``cam.pixel_tags``)."""
        return self.tags_of_pixels(self.scene_tags)


class TeacherPairs(PairSamples):
    """``PairSamples`` with a second view of each cloud and image, and with regions.

    Some clouds lose their floor or walls.

    Args:
        scenes: with regions; without, no point or pixel has one, and nothing is removed.
        image: augmentation of the images; its jitter is the student's.
        cloud: which points are drawn.
        views: how the views of student and teacher are made.
        removal: how often clouds lose a structure of the room.
        labels: the classes.
        tolerance_m: as of ``PairSamples``.
        max_links: as of ``PairSamples``.
        images: as of ``PairSamples``.
    """

    def __init__(
        self,
        scenes: Sequence[PreparedScene],
        image: ImageAugment,
        cloud: CloudAugment,
        views: ViewSettings,
        removal: StructureRemoval,
        labels: LabelSpace,
        tolerance_m: float = 0.05,
        max_links: int = 0,
        images: int = 1,
    ):
        super().__init__(scenes, image, cloud, tolerance_m, max_links, images=images)
        self.views, self.removal, self.structures = views, removal, structure_classes(labels)

    @property
    def _batch(self) -> type[PairBatch]:
        return TeacherBatch

    def _cloud_view(self, scene: PreparedScene, rng: np.random.Generator) -> tuple[Sample, DrawnCloud]:
        """The points that stay, in the views of student and teacher, and their tags."""
        drawn = clouds.draw(scene, self.cloud, rng)
        region = (_without(len(drawn.xyz)) if drawn.region is None else drawn.region).astype(np.int64)
        upright = transform(scene.upright_from_world, drawn.xyz)
        kept, tags = remove_structures(upright, region, np.asarray(drawn.tags), self.structures, self.removal, rng)
        rows = np.flatnonzero(kept)
        if len(rows) < len(kept):
            rows = rows[augment.sample_points(rng, len(rows), len(kept))]
        cloud, upright = replace(drawn.rows(rows), tags=tags), upright[rows]
        centred = upright - upright.mean(axis=0)
        student, teacher = (cloud_view(centred, view, rng) for view in (self.views.student, self.views.teacher))
        sample = {
            "xyz": torch.from_numpy(student.astype(np.float32)),
            "teacher_xyz": torch.from_numpy(teacher.astype(np.float32)),
            "region": torch.from_numpy(region[rows]),
            **tags_and_colors(cloud, self.cloud, rng),
            "scene_tags": torch.from_numpy(np.array(scene.tags)),
            "scene_known": torch.from_numpy(np.array(scene.known)),
        }
        return sample, cloud

    def _image_view(self, scene: PreparedScene, frame: int, rng: np.random.Generator) -> tuple[Sample, augment.View]:
        """A crop in the views of student and teacher, and the regions of its cells."""
        crop, view = random_crop(scene, frame, self.image, rng)
        student, teacher = image_views(crop[None], self.image.jitter, self.views.teacher_jitter, rng)
        size = scene.image(frame).shape[1:]
        region = _without(1, 1) if scene.frame_region is None else scene.frame_region[frame]
        cells = augment.apply_view_to_labels(region, size, view, self.image.crop, CELL, OUTSIDE)
        return {"images": student[0], "teacher_images": teacher[0], "image_region": torch.from_numpy(cells)}, view


def _without(*shape: int) -> Int32[np.ndarray, "*places"]:
    """Places without a region."""
    return np.full(shape, -1, np.int32)
