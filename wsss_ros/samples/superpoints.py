"""The superpoints of a prepared scene: regions of its cloud, and their hand-made features.

They are computed once and stored next to the arrays of the scene, for each choice of settings.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32

from wsss_ros.geometry import transform
from wsss_ros.geometry.regions import PRESETS, RegionSettings, regions
from wsss_ros.geometry.superpoints import HandMadeSettings, hand_made
from wsss_ros.labels import UNLABELLED
from wsss_ros.samples import cache as caches
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.scene_regions import RegionChoice, next_to
from wsss_ros.types import BadInput

_NAMES = ("region", "hand_made")  # of the stored arrays
_FORMAT = 1  # version of the stored arrays
_log = logging.getLogger("wsss_ros")


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
        return [_completed(scene, _true_regions(scene), settings) for scene in scenes]
    chosen = choice if isinstance(choice, RegionSettings) else PRESETS[choice]
    missing = [
        scene.name for scene in scenes if (place := _place(scene, chosen, settings)) is None or not place.is_dir()
    ]
    if missing:
        _log.info("finding the superpoints of %d scenes (%s)", len(missing), chosen.kind)
    return [_with_superpoints(scene, chosen, settings) for scene in scenes]


def _with_superpoints(scene: PreparedScene, chosen: RegionSettings, settings: HandMadeSettings) -> PreparedScene:
    place = _place(scene, chosen, settings)
    if place is not None and place.is_dir():
        region, features = (np.load(place / f"{name}.npy", mmap_mode="r") for name in _NAMES)
        return replace(scene, region=region, hand_made=features)
    colors = np.asarray(scene.rgb) if len(scene.rgb) else None
    found = _completed(scene, regions(np.asarray(scene.xyz), colors, chosen).astype(np.int32), settings)
    if place is not None:
        caches.store(place, lambda inner: _save(inner, found), "the superpoints of a scene")
    return found


def _place(scene: PreparedScene, chosen: RegionSettings, settings: HandMadeSettings) -> Path | None:
    return next_to(scene, "superpoints", _FORMAT, *(each.model_dump(mode="json") for each in (chosen, settings)))


def _save(folder: Path, scene: PreparedScene) -> None:
    for name in _NAMES:
        np.save(folder / f"{name}.npy", getattr(scene, name))


def _completed(scene: PreparedScene, region: Int32[np.ndarray, "N"], settings: HandMadeSettings) -> PreparedScene:
    upright = transform(scene.upright_from_world, np.asarray(scene.xyz))
    features: Float32[np.ndarray, "R E"] = hand_made(upright, scene.rgb if len(scene.rgb) else None, region, settings)
    return replace(scene, region=region, hand_made=features)


def _true_regions(scene: PreparedScene) -> Int32[np.ndarray, "N"]:
    if scene.cloud_truth is None:
        raise BadInput(f"{scene.name}: has no dense labels, which 'regions: truth' needs; choose other regions")
    return np.where(scene.cloud_truth == UNLABELLED, -1, scene.cloud_truth).astype(np.int32)
