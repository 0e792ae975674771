"""Layout ``arkitscenes``: Apple's ARKitScenes with ``lowres_wide``, ``lowres_depth`` and ``lowres_wide.traj``.

https://github.com/apple/ARKitScenes/blob/main/DATA.md: rows 'time rx ry rz tx ty tz' of ``lowres_wide.traj`` carry
world to camera (axis and angle in radians, metres); ``lowres_wide_intrinsics/*.pincam`` is 'width height fx fy cx cy'
of one frame; depth is in millimetres; images are named ID_TIME, in seconds. Camera axes are x right, y down, z forward,
and z of the world is up.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from wsss_ros.scenes.depth_files import MILLIMETRES, depth_size
from wsss_ros.scenes.frame_match import nearest
from wsss_ros.scenes.frame_names import SECOND_NS, keys_of_words, read_series
from wsss_ros.scenes.images import image_size
from wsss_ros.scenes.intrinsics import read_intrinsics_file
from wsss_ros.scenes.listing import (
    Listing,
    given_intrinsics,
    image_series,
    join,
    registered_rig,
    to_ours,
    with_cameras,
)
from wsss_ros.scenes.reading import Reading
from wsss_ros.scenes.trajectories import Trajectory, numbered_rows
from wsss_ros.types import BadInput

EXPECTS = "lowres_wide, lowres_depth and lowres_wide.traj (ARKitScenes)"
_POSES = "lowres_wide.traj"
_ROW = "rows 'time rx ry rz tx ty tz'"


def find(folder: Path) -> str:
    """What of this layout a folder has; empty if it does not fit."""
    fits = (folder / _POSES).is_file() and all((folder / name).is_dir() for name in ("lowres_wide", "lowres_depth"))
    return f"{_POSES}, lowres_wide and lowres_depth" if fits else ""


def read(folder: Path, reading: Reading) -> Listing:
    """The frames of a folder; each has its own camera, unless one is given. Raises BadInput naming the file."""
    images = image_series(folder / "lowres_wide", folder / "lowres_depth")
    listing = join(images, _trajectory(folder / _POSES, reading), reading, str(folder))
    given = given_intrinsics(reading)
    if given is not None:
        listing = with_cameras(listing, given, MILLIMETRES)
    else:
        listing = _with_pincams(folder, listing, reading)
    return replace(listing, world_up=(0.0, 0.0, 1.0))


def _with_pincams(folder: Path, listing: Listing, reading: Reading) -> Listing:
    """The frames with the cameras of their own ``.pincam``, of the nearest time; others are left out."""
    pincams = read_series((folder / "lowres_wide_intrinsics").glob("*.pincam"), "pincam")
    if not pincams.files:
        raise BadInput(f"{folder}: no lowres_wide_intrinsics/*.pincam; get them, or give --intrinsics fx,fy,cx,cy")
    times = [file.stamp_ns for file in listing.files], [key[0] for key in pincams.files]
    by_time = dict(nearest(*times, max_dt_ns=round(reading.max_dt_s * SECOND_NS)))
    files = []
    for file in listing.files:
        if (at := by_time.get(file.stamp_ns)) is not None:
            found = read_intrinsics_file(pincams.files[at,], reading.rectified)
            rig = registered_rig(found, image_size(file.color), depth_size(file.depth))
            files.append(replace(file, rig=rig))
    missing = listing.missing + Counter({"no .pincam": len(listing.files) - len(files)})
    return replace(listing, files=files, missing=+missing)


def _trajectory(path: Path, reading: Reading) -> Trajectory:
    rows, _ = numbered_rows(path, _ROW)
    poses = []
    for number, words in rows:
        try:
            values = np.array(words[1:], np.float64).reshape(2, 3)
        except ValueError as error:
            raise BadInput(f"{path}, line {number}: {len(words)} words; expected {_ROW}") from error
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = Rotation.from_rotvec(values[0]).as_matrix(), values[1]
        poses.append(to_ours(pose, reading, from_world=True) if np.isfinite(pose).all() else None)
    keys, is_time = keys_of_words([words[0] for _, words in rows], str(path))
    return Trajectory(str(path), poses, keys, is_time)
