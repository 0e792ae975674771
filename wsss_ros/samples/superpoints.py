"""The superpoints of a prepared scene: regions of its cloud, and their hand-made features.

They are computed once and stored next to the arrays of the scene, for each choice of settings.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32

from wsss_ros.geometry import transform
from wsss_ros.geometry.regions import PRESETS, RegionSettings
from wsss_ros.geometry.superpoints import HandMadeSettings, hand_made
from wsss_ros.labels import UNLABELLED
from wsss_ros.samples.derived_arrays import with_stored
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.scene_regions import RegionChoice, regions_of_points
from wsss_ros.types import BadInput

_FORMAT = 1  # version of the stored arrays


def with_superpoints(
    scenes: Sequence[PreparedScene], choice: RegionChoice = "densify", features: HandMadeSettings | None = None
) -> list[PreparedScene]:
    """The scenes with ``region`` and ``hand_made``; those of scenes with a folder are stored there.

    Unlike ``scene_regions.with_regions``, it does not find the regions of frames.

    Args:
        scenes: prepared.
        choice: settings of regions, the name of some (``geometry.regions.PRESETS``), or truth: the points of one class
            are one superpoint.
        features: settings of the hand-made features; None: the defaults.

    Raises:
        BadInput: truth is chosen, and a scene has no dense labels.
    """
    settings = features or HandMadeSettings()
    if choice == "truth":
        return [replace(scene, **_described(scene, _true_regions(scene), settings)) for scene in scenes]
    chosen = choice if isinstance(choice, RegionSettings) else PRESETS[choice]

    def found(scene: PreparedScene) -> dict[str, np.ndarray]:
        return _described(scene, regions_of_points(scene, chosen), settings)

    described = chosen.model_dump(mode="json"), settings.model_dump(mode="json")
    return with_stored(scenes, "superpoints", found, _FORMAT, *described)


def _described(scene: PreparedScene, region: Int32[np.ndarray, "N"], settings: HandMadeSettings) -> dict[str, Any]:
    """The superpoints of a scene with their hand-made features."""
    upright = transform(scene.upright_from_world, np.asarray(scene.xyz))
    features: Float32[np.ndarray, "R E"] = hand_made(upright, scene.rgb if len(scene.rgb) else None, region, settings)
    return {"region": region, "hand_made": features}


def _true_regions(scene: PreparedScene) -> Int32[np.ndarray, "N"]:
    if scene.cloud_truth is None:
        raise BadInput(f"{scene.name}: has no dense labels, which 'regions: truth' needs; choose other regions")
    return np.where(scene.cloud_truth == UNLABELLED, -1, scene.cloud_truth).astype(np.int32)
