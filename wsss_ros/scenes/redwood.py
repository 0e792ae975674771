"""Layout ``redwood``: folders of colour and depth images, and the poses in one file, as Redwood and Open3D write them.

``trajectory.log``: for each frame a row of three whole numbers and the four rows of the camera-to-world matrix
(http://redwood-data.org/indoor/fileformat.html). Rows of 12 or 16 numbers (KITTI and others) are read as well. Depth is
in millimetres. Intrinsics are in Open3D's JSON, whose matrix is stored by columns.
"""

from pathlib import Path

from wsss_ros.scenes.depth_files import MILLIMETRES
from wsss_ros.scenes.listing import (
    Listing,
    find_intrinsics,
    image_folders,
    list_folders,
    with_cameras,
    with_reading,
)
from wsss_ros.scenes.reading import Reading
from wsss_ros.scenes.trajectories import read_trajectory, row_width

EXPECTS = "trajectory.log with the folders color and depth (Redwood, Open3D), or a file with a matrix in each row"
_LOGS = ("trajectory.log", "scene/trajectory.log", "odometry.log")
_ROWS = ("traj.txt", "trajectory.txt", "poses.txt", "pose.txt", "groundtruth.txt")
_INTRINSICS = ("camera_primesense.json", "intrinsic.json")


def find(folder: Path) -> str:
    """What of this layout a folder has; empty if it does not fit."""
    path = _poses(folder)
    fits = path is not None and image_folders(folder) is not None
    return f"{path.relative_to(folder)} with folders of colour and depth" if fits and path else ""


def read(folder: Path, reading: Reading) -> Listing:
    """The frames of a folder. Raises BadInput naming the file."""
    path = _poses(folder)
    assert path is not None
    found = find_intrinsics(folder, reading, names=_INTRINSICS)
    listing = list_folders(folder, with_reading(read_trajectory(path), reading), reading)
    return with_cameras(listing, found, MILLIMETRES)


def _poses(folder: Path) -> Path | None:
    """The file with the poses, or None. A file of rows counts if its rows are matrices."""
    logs = [folder / name for name in _LOGS if (folder / name).is_file()] or sorted(folder.glob("*.log"))
    rows = [folder / name for name in _ROWS if (folder / name).is_file()]
    matrices = [path for path in rows if row_width(path) in (4, 12, 13, 16, 17)]
    found = [path for path in logs if row_width(path) in (3, 4, 5)] + matrices
    return found[0] if found else None
