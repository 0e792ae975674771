"""The fusion of 2D3DNet (sections 3.1 and 3.2, algorithm 1): labels of posed images become votes of points."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64, UInt8

from wsss_ros.fusion.kernels import KernelSteps, View
from wsss_ros.fusion.settings import FusionSettings
from wsss_ros.fusion.torch_steps import TorchSteps
from wsss_ros.fusion.views import camera_of, inverse_depth, lens_pixels, view_of
from wsss_ros.fusion.votes import winners
from wsss_ros.geometry import neighbors
from wsss_ros.geometry.surfels import surfels
from wsss_ros.geometry.voxels import local_origin
from wsss_ros.labels import UNLABELLED
from wsss_ros.types import BadInput, Frame


class Fused(NamedTuple):
    """The result of a fusion: the label of each of N points (255: unlabelled) and its votes for the C classes."""

    label: UInt8[np.ndarray, "N"]
    votes: Float32[np.ndarray, "N C"]


def fuse(
    points: Float[np.ndarray, "N 3"],
    frames: Iterable[Frame],
    labels_2d: Iterable[UInt8[np.ndarray, "H W"]],
    settings: FusionSettings,
    classes: int = 0,
    stamps_ns: Int64[np.ndarray, "N"] | None = None,
    viewpoints: Float[np.ndarray, "N 3"] | None = None,
    up: Sequence[float] = (0.0, 0.0, 1.0),
    device: str = "cpu",
) -> Fused:
    """Vote the labels of frames onto points (algorithm 1). Frames and labels are read one by one.

    Args:
        points: in the world frame, metres.
        frames: with camera and pose, and with depth where ``settings.visibility`` is depth.
        labels_2d: the labels of each frame, 255 where a pixel has none.
        settings: which frames vote, and with which weight.
        classes: number of classes C; 0: the largest label that comes, plus 1.
        stamps_ns: the time of each point. Without it, no frame is too early or too late for a point.
        viewpoints: from where each point was measured, so that it has a front and a back; NaN where it is unknown.
            Without it no point is seen from behind.
        up: the direction against gravity, for points without a plane.
        device: cpu, where compiled kernels fuse, or a GPU, where torch does.

    Raises:
        BadInput: as ``Fusion`` and ``Fusion.add`` do.
    """
    fusion = Fusion(points, settings, classes, stamps_ns, viewpoints, up, device)
    for frame, labels in zip(frames, labels_2d, strict=True):
        fusion.add(frame, labels)
    return fusion.result()


class Fusion:
    """A fusion that takes one frame after the other; the arguments are those of ``fuse``.

    Attributes:
        frames: number of frames that were added.

    Raises BadInput for points, stamps or viewpoints that are not usable.
    """

    def __init__(
        self,
        points: Float[np.ndarray, "N 3"],
        settings: FusionSettings,
        classes: int = 0,
        stamps_ns: Int64[np.ndarray, "_N"] | None = None,
        viewpoints: Float[np.ndarray, "_N 3"] | None = None,
        up: Sequence[float] = (0.0, 0.0, 1.0),
        device: str = "cpu",
    ) -> None:
        if not np.isfinite(points).all():
            raise BadInput(f"the cloud of {len(points)} points has NaN or infinite coordinates; remove these first")
        for name, given in (("stamps_ns", stamps_ns), ("viewpoints", viewpoints)):
            if given is not None and len(given) != len(points):
                raise BadInput(f"{len(given)} {name} for {len(points)} points; expected one for each point")
        self.settings, self.frames, self._classes = settings, 0, classes
        self._origin = local_origin(points)
        self._points = points.astype(np.float64) - self._origin
        discs = cache(lambda: surfels(points, settings.surfels, up))
        stamps_ns = np.zeros(0, np.int64) if stamps_ns is None else stamps_ns
        front = np.zeros_like(self._points) if viewpoints is None else _towards(discs().normal, points, viewpoints)
        own = self._points, discs, front, stamps_ns
        self._steps = KernelSteps(*own) if torch.device(device).type == "cpu" else TorchSteps(*own, device)
        self.votes = np.zeros((len(points), classes), np.float32)

    @property
    def votes(self) -> Float32[np.ndarray, "N C"]:
        """The votes of each point for each class. A caller may replace them, to continue an earlier fusion."""
        return self._steps.votes

    @votes.setter
    def votes(self, votes: Float32[np.ndarray, "N C"]) -> None:
        self._steps.votes = votes

    def add(self, frame: Frame, labels: UInt8[np.ndarray, "H W"]) -> int:
        """Add the votes of one frame; returns how many points it voted for.

        Labels may have another size than the image: they are then those of the resized image.

        Raises:
            BadInput: the frame has no camera or pose, or no depth where the settings need it; the pose is not rigid;
                the labels have other proportions than the image, or a label is not a class. The votes are then
                unchanged.
        """
        settings = self.settings
        camera = camera_of(frame, labels.shape)
        view = view_of(frame, camera, self._origin)
        measured = settings.visibility == "depth"
        image = inverse_depth(frame, camera, settings.dilation) if measured else self._drawn(view, frame.stamp_ns)
        self._make_room(labels, frame.name)
        limits = (settings.max_distance_m, settings.max_dt_s, settings.depth_tolerance)
        lens = lens_pixels(self._points, camera, view)
        given = self._steps.vote(view, lens, image, measured, labels, limits, frame.stamp_ns)
        self.frames += 1
        return given

    def result(self) -> Fused:
        """The labels by the votes so far. Points without votes get what ``settings.fill`` says."""
        votes = self.votes
        label = winners(votes)
        if self.settings.fill == "nearest":
            label = nearest_labels(self._points.astype(np.float32), label)
        return Fused(label, votes)

    def depth_image(self, frame: Frame) -> Float64[np.ndarray, "h w"]:
        """The depth of the surfels that a frame looks at, metres, without its lens; 0 where there is none.

        Raises:
            BadInput: the frame has no camera or pose, or one that is not usable.
        """
        inverse = self._drawn(view_of(frame, camera_of(frame, frame.rgb.shape[:2]), self._origin), frame.stamp_ns)
        return np.divide(1.0, inverse, out=np.zeros_like(inverse), where=inverse > 0)

    def _drawn(self, view: View, stamp_ns: int) -> Float64[np.ndarray, "h w"]:
        """The depth image of the discs that are near the frame in time."""
        settings = self.settings
        return self._steps.draw(view, (settings.dilation, settings.max_distance_m, settings.surfel_max_dt_s), stamp_ns)

    def _make_room(self, labels: UInt8[np.ndarray, "H W"], name: str) -> None:
        """A column for each class. Raises BadInput for a label that is not a class."""
        largest = int(labels.max(initial=0, where=labels != UNLABELLED))
        if self._classes and largest >= self._classes:
            raise BadInput(
                f"frame '{name}' has the label {largest}; expected labels below {self._classes}, the number of "
                f"classes, or {UNLABELLED}: are these ids of a data set? (LabelSpace.from_ids)"
            )
        if not self._classes and largest >= (votes := self.votes).shape[1]:
            self.votes = np.pad(votes, ((0, 0), (0, largest + 1 - votes.shape[1])))


def nearest_labels(points: Float32[np.ndarray, "N 3"], label: UInt8[np.ndarray, "N"]) -> UInt8[np.ndarray, "N"]:
    """The labels, with that of the nearest labelled point for each unlabelled one; unchanged if none is labelled."""
    labelled, missing = np.flatnonzero(label != UNLABELLED), np.flatnonzero(label == UNLABELLED)
    if not len(labelled) or not len(missing):
        return label
    found, _ = neighbors.knn(torch.from_numpy(points[labelled]), torch.from_numpy(points[missing]), 1)
    filled = label.copy()
    filled[missing] = label[labelled[found[:, 0].numpy()]]
    return filled


def _towards(
    normal: Float64[np.ndarray, "N 3"], points: Float[np.ndarray, "N 3"], viewpoints: Float[np.ndarray, "N 3"]
) -> Float64[np.ndarray, "N 3"]:
    """The normals, turned to the viewpoints; 0 where the viewpoint is NaN."""
    side = np.sign(((viewpoints - points) * normal).sum(axis=1))
    return normal * np.nan_to_num(side)[:, None]
