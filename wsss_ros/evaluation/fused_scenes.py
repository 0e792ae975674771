"""Clouds with the labels that an image network gives to their frames, for cloud networks that need them (2D3DNet)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from wsss_ros.config import build
from wsss_ros.fusion.network_input import FusedInput, fuse_together, joined
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import UNLABELLED
from wsss_ros.scenes.derived import cloud_of, up_of
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.types import BadInput, Cloud, Frame, Scene

MOST_FRAMES = 300  # of a scene that are labelled: with a camera that moves slowly, more say little new


def with_fused_labels(
    cloud: Cloud,
    frames: Iterable[Frame],
    images: ImageSegmenter,
    fusion: FusedInput,
    up: Sequence[float] = (0.0, 0.0, 1.0),
    turns: int = 0,
) -> Cloud:
    """The cloud with the labels of its frames as ``fused_label`` and ``fused_confidence``.

    Args:
        cloud: in the world frame.
        frames: with pose; others are left out. Each is labelled by the image network.
        images: the image network.
        fusion: how labels become inputs.
        up: the direction against gravity.
        turns: quarter turns that make the frames upright for the image network.

    Raises:
        BadInput: no frame has a camera and a pose, or the fusion refuses one.
    """
    finite = np.isfinite(cloud.xyz).all(axis=1)
    usable = _Posed(frames)
    labelled = ((frame, images(frame, turns=turns)[0]) for frame in usable)
    fused = fuse_together(cloud.xyz[finite], labelled, fusion.fusions, len(images.labels), None, up)
    if not usable.count:
        raise BadInput("no frame has a camera and a pose, which the fused labels of the cloud network need")
    label, confidence = np.full(len(cloud), UNLABELLED, np.uint8), np.zeros(len(cloud), np.float32)
    label[finite], confidence[finite] = joined(fused)
    return replace(cloud, fused_label=label, fused_confidence=confidence)


class _Posed:
    """The frames with camera and pose, and how many came."""

    def __init__(self, frames: Iterable[Frame]):
        self._frames, self.count = frames, 0

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            if frame.camera is not None and frame.world_from_camera is not None:
                self.count += 1
                yield frame


def fusion_of(clouds: CloudSegmenter, images: ImageSegmenter | None) -> FusedInput:
    """How labels of images are fused for a cloud network.

    Raises:
        BadInput: there is no image network, or one of other classes.
    """
    needs = f"cloud weights {clouds.version} take fused labels of images"
    if images is None:
        raise BadInput(f"{needs}; segment or score images and clouds together, or give other cloud weights")
    if images.labels.names != clouds.labels.names:
        raise BadInput(
            f"{needs} of '{clouds.labels.name}'; the image network knows '{images.labels.name}': give image weights of "
            "these classes"
        )
    return build(FusedInput, clouds.config.fusion, f"cloud weights {clouds.version}: fusion")


class FusedScene:
    """A scene whose cloud has fused labels; all else is that of the scene."""

    def __init__(self, scene: Scene, images: ImageSegmenter, fusion: FusedInput):
        self._scene, self._images, self._fusion = scene, images, fusion

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scene, name)

    def __len__(self) -> int:
        return len(self._scene)

    @property
    def cloud(self) -> Cloud:
        """The scene's cloud with fused labels. Raises BadInput as ``with_fused_labels`` does."""
        label, confidence = self._fused
        return replace(cloud_of(self._scene), fused_label=label, fused_confidence=confidence)

    @cached_property
    def _fused(self) -> tuple[UInt8[np.ndarray, "N"], Float32[np.ndarray, "N"]]:
        """The fused labels and their confidence, computed once; the cloud itself is decoded at each call."""
        frames = (self._scene.frame(index) for index in spread(len(self._scene), MOST_FRAMES))
        cloud = with_fused_labels(cloud_of(self._scene), frames, self._images, self._fusion, up_of(self._scene))
        return cloud.fused_label, cloud.fused_confidence


def fused_scenes(
    scenes: Sequence[Scene], clouds: CloudSegmenter | None, images: ImageSegmenter | None
) -> Sequence[Scene]:
    """The scenes as the cloud network needs them: unchanged, or each a ``FusedScene``.

    Raises:
        BadInput: as ``fusion_of`` does.
    """
    if clouds is None or not clouds.takes_fused_labels:
        return scenes
    fusion = fusion_of(clouds, images)
    return [FusedScene(scene, images, fusion) for scene in scenes]
