"""Arrays that are derived from a prepared scene: computed once for each choice of settings, stored next to its own."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wsss_ros.samples import cache as caches
from wsss_ros.samples.prepared import PreparedScene

_log = logging.getLogger("wsss_ros")


def stored(
    scene: PreparedScene, what: str, compute: Callable[[], dict[str, np.ndarray]], *described: Any
) -> dict[str, Any]:
    """Arrays by name: mapped from where they are stored, else computed and stored. A scene in memory stores nothing.

    Where they cannot be stored they stay in memory, which is reported.

    Args:
        scene: prepared.
        what: is stored; a part of the folder's name.
        compute: makes the arrays.
        described: JSON values that say how the arrays are computed, and the version of their format.

    Raises:
        BadInput: the arrays cannot be stored, and there is too little memory for them.
    """
    return caches.arrays(_place(scene, what, described), compute, f"the {what} of a scene")


def with_stored(
    scenes: Sequence[PreparedScene],
    what: str,
    compute: Callable[[PreparedScene], dict[str, np.ndarray]],
    *described: Any,
) -> list[PreparedScene]:
    """The scenes with these arrays as their fields; logs for how many they are computed. Arguments as of ``stored``."""
    missing = sum(not caches.is_stored(_place(scene, what, described)) for scene in scenes)
    if missing:
        _log.info("finding the %s of %d scenes", what, missing)
    return [replace(scene, **stored(scene, what, partial(compute, scene), *described)) for scene in scenes]


def _place(scene: PreparedScene, what: str, described: tuple[Any, ...]) -> Path | None:
    """The folder of the arrays, next to that of the scene's own; None for a scene in memory."""
    file = getattr(scene.xyz, "filename", None)
    if file is None:
        return None
    folder = Path(file).parent
    return folder.with_name(f"{folder.name}-{what}-{caches.key_of(*described)}")
