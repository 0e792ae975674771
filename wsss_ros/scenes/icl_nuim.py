"""Layout ``icl_nuim``: the TUM-compatible form of ICL-NUIM's rendered rooms, with ``*.gt.freiburg``.

https://www.doc.ic.ac.uk/~ahanda/VaFRIC/iclnuim.html. The poses are in the left-handed, y-up world of the renderer, and
the images are stored from the top down. Both are made right-handed by a reflection of y: R' = Y R Y, t' = Y t. This is
the same as the negative fy that the page states for its own files. Frame numbers pair images and poses.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from wsss_ros.scenes.intrinsics import Intrinsics
from wsss_ros.scenes.listing import Listing, find_intrinsics, with_cameras
from wsss_ros.scenes.reading import Reading
from wsss_ros.scenes.trajectories import read_trajectory
from wsss_ros.scenes.tum import DEPTH_PER_METRE, list_images

EXPECTS = "'*.gt.freiburg' with the folders rgb and depth (ICL-NUIM)"
_PUBLISHED = Intrinsics(481.2, 480.0, 319.5, 239.5, "published for ICL-NUIM", (640, 480))
_Y = np.diag([1.0, -1.0, 1.0, 1.0])


def find(folder: Path) -> str:
    """What of this layout a folder has; empty if it does not fit."""
    poses = sorted(folder.glob("*.gt.freiburg"))
    return poses[0].name if poses else ""


def read(folder: Path, reading: Reading) -> Listing:
    """The frames of a folder; y points down in their world. Raises BadInput naming the file."""
    found = find_intrinsics(folder, reading, _PUBLISHED)
    trajectory = read_trajectory(sorted(folder.glob("*.gt.freiburg"))[0])
    poses = [None if pose is None else _Y @ pose @ _Y for pose in trajectory.poses]
    listing = list_images(folder, replace(trajectory, poses=poses), reading)
    return replace(with_cameras(listing, found, DEPTH_PER_METRE), world_up=(0.0, -1.0, 0.0))
