"""The regions of a prepared scene: of the points of its cloud, and of the pixels of each frame by their depth.

They are computed once and stored next to the arrays of the scene, for each choice of settings.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Int32

from wsss_ros.geometry.regions import PRESETS, RegionSettings, regions
from wsss_ros.labels import UNLABELLED
from wsss_ros.samples.clouds import frame_points
from wsss_ros.samples.derived_arrays import with_stored
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.types import BadInput

RegionChoice = Literal["wypr", "growing", "vccs", "both", "densify", "densify_s3dis", "truth"] | RegionSettings
_CELLS = 100  # of the longer side of a frame: its regions are found on so many columns or rows
_FORMAT = 1  # version of the stored arrays


def with_regions(scenes: Sequence[PreparedScene], choice: RegionChoice) -> list[PreparedScene]:
    """The scenes with ``region`` and ``frame_region``; those of scenes with a folder are stored there.

    Args:
        scenes: prepared.
        choice: settings, the name of some (``geometry.regions.PRESETS``), or truth: the points of one class are one
            region, which is an upper bound of what regions can give.

    Raises:
        BadInput: truth is chosen, and a scene has no dense labels.
    """
    if choice == "truth":
        return [_with_truth(scene) for scene in scenes]
    settings = choice if isinstance(choice, RegionSettings) else PRESETS[choice]
    found = partial(_found, settings=settings)
    return with_stored(scenes, "regions", found, _FORMAT, settings.model_dump(mode="json"))


def _found(scene: PreparedScene, settings: RegionSettings) -> dict[str, np.ndarray]:
    """The regions of the points and of the frames."""
    of_frames = [_of_frame(scene, frame, settings) for frame in range(len(scene.poses))]
    return {"region": regions_of_points(scene, settings), "frame_region": np.stack(of_frames)}


def regions_of_points(scene: PreparedScene, settings: RegionSettings) -> Int32[np.ndarray, "N"]:
    """The regions of the points of a scene, -1: none."""
    colors = np.asarray(scene.rgb) if len(scene.rgb) else None
    return regions(np.asarray(scene.xyz), colors, settings).astype(np.int32)


def _of_frame(scene: PreparedScene, frame: int, settings: RegionSettings) -> Int32[np.ndarray, "rows columns"]:
    """The regions of the pixels of a frame, found as those of a cloud; -1 where there is no depth."""
    height, width = scene.depth_mm.shape[1:]
    step = max(1, -(-max(height, width) // _CELLS))
    xyz, rgb, pixel = frame_points(scene, frame, step)
    found = np.full((-(-height // step), -(-width // step)), -1, np.int32)
    found[pixel // width // step, pixel % width // step] = regions(xyz, rgb, settings)
    return found


def _with_truth(scene: PreparedScene) -> PreparedScene:
    if scene.cloud_truth is None or scene.frame_truth is None:
        raise BadInput(f"{scene.name}: has no dense labels, which 'regions: truth' needs; choose other regions")
    step = max(1, -(-max(scene.frame_truth.shape[1:]) // _CELLS))
    of_points, of_frames = (
        np.where(truth == UNLABELLED, -1, truth).astype(np.int32)
        for truth in (scene.cloud_truth, scene.frame_truth[:, ::step, ::step])
    )
    return replace(scene, region=of_points, frame_region=of_frames)
