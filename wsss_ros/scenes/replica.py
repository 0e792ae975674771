"""Layout ``replica``: Replica's rooms as iMAP and NICE-SLAM render them: ``results/frame*.jpg``, ``traj.txt``.

Each row of ``traj.txt`` is a camera-to-world matrix (x right, y down, z forward), one for each frame.
``cam_params.json``, here or in the folder above, has the camera and the depth values per metre (6553.5).
"""

import re
from pathlib import Path

from wsss_ros.scenes.depth_files import DEPTH_EXTENSIONS
from wsss_ros.scenes.frame_names import read_series
from wsss_ros.scenes.listing import IMAGES, Listing, find_intrinsics, join, with_cameras, with_endings, with_reading
from wsss_ros.scenes.reading import Reading
from wsss_ros.scenes.trajectories import read_trajectory

EXPECTS = "traj.txt with results/frame* and results/depth* (Replica)"
DEPTH_PER_METRE = 6553.5


def find(folder: Path) -> str:
    """What of this layout a folder has; empty if it does not fit."""
    fits = (folder / "traj.txt").is_file() and any((folder / "results").glob("depth*"))
    return "traj.txt and results/depth*" if fits else ""


def read(folder: Path, reading: Reading) -> Listing:
    """The frames of a folder. Raises BadInput naming the file."""
    found = find_intrinsics(folder, reading, names=("cam_params.json", "../cam_params.json"))
    entries = list((folder / "results").iterdir())
    colors = with_endings((path for path in entries if re.match(r"frame|rgb", path.name)), IMAGES)
    depths = with_endings((path for path in entries if path.name.startswith("depth")), DEPTH_EXTENSIONS)
    trajectory = with_reading(read_trajectory(folder / "traj.txt"), reading)
    series = read_series(colors, "colour"), read_series(depths, "depth")
    return with_cameras(join(series, trajectory, reading, str(folder)), found, DEPTH_PER_METRE)
