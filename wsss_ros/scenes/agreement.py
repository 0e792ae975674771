"""Whether depth and poses belong together: the depth of one frame, warped into another one, against its depth."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

from wsss_ros.geometry import invert, matrix_to_quaternion, project, quaternion_to_matrix, unproject
from wsss_ros.types import Camera

_LARGEST_M = 0.05  # median difference of depth and poses that belong together
_LARGEST_STEP_M = 10.0  # between two neighbouring frames
_SMALLEST_SHARE = 0.2  # of the points of one view that the other one sees, to compare them
_COMPARED_SHARE = 0.3  # of the points, where distant frames are compared
_WRONG_M = 0.08  # median difference in all distant frames, from which poses or depth are wrong
FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])  # between OpenCV's and OpenGL's camera axes
_OTHERWISE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "poses: camera_from_world": invert,
    "axes: opengl": lambda pose: pose @ FLIP_YZ,
    "poses: camera_from_world, axes: opengl": lambda pose: invert(pose) @ FLIP_YZ,
    "pose_scale: 0.001": lambda pose: np.vstack([pose[:3] * (1, 1, 1, 0.001), pose[3:]]),
}


def _w_first(pose: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """The pose of a quaternion that is stored as w x y z, and was read as x y z w."""
    w, x, y, z = matrix_to_quaternion(pose[:3, :3])
    turned = pose.copy()
    turned[:3, :3] = quaternion_to_matrix(np.array([x, y, z, w]))
    return turned


_QUATERNIONS = "# time tx ty tz qw qx qy qz"


class View(NamedTuple):
    """The depth image of a frame with its camera and pose."""

    depth_m: Float32[np.ndarray, "H W"]
    camera: Camera
    world_from_camera: Float64[np.ndarray, "4 4"]


class Agreement(NamedTuple):
    """The share of the points of one view that fall on depth of another, and the median of their differences (m)."""

    share: float
    median_m: float

    @property
    def good(self) -> bool:
        """Whether enough points are compared, and their depth is the same within 5 cm."""
        return self.share >= _SMALLEST_SHARE and self.median_m <= _LARGEST_M


def agreement(first: View, second: View, stride: int = 8) -> Agreement:
    """Warp every n-th pixel of the depth of one view into another, and compare it with the depth there."""
    points, _ = unproject(first.depth_m, first.camera, first.world_from_camera, stride)
    if not len(points):
        return Agreement(0.0, np.inf)
    uv, depth = project(points, second.camera, second.world_from_camera)
    height, width = second.depth_m.shape
    inside = (depth > 0) & (uv > -0.5).all(1) & (uv < (width - 0.5, height - 0.5)).all(1)
    u, v = np.rint(uv[inside]).astype(np.int64).T
    seen = second.depth_m[v, u]
    difference = np.abs(depth[inside] - seen)[seen > 0]
    return Agreement(len(difference) / len(points), float(np.median(difference)) if len(difference) else np.inf)


def doubts(pairs: Sequence[tuple[View, View]]) -> str:
    """What is wrong with the poses of pairs of neighbouring views, and what to do; empty where nothing is.

    Another direction of the poses, or other camera axes, are named if depth agrees with them in most pairs, and with
    the poses as they are in none.
    """
    if not pairs or any(agreement(*pair).good for pair in pairs):
        return ""
    for name, turn in _OTHERWISE.items():
        turned = [(_turned(first, turn), _turned(second, turn)) for first, second in pairs]
        if 2 * sum(agreement(*pair).good for pair in turned) > len(pairs):
            return (
                f"depth and poses do not agree in {len(pairs)} pairs of frames, but would with '{name}': say so in "
                "meta.yaml of the folder"
            )
    steps = [
        np.linalg.norm(second.world_from_camera[:3, 3] - first.world_from_camera[:3, 3]) for first, second in pairs
    ]
    if (step_m := float(np.median(steps))) > _LARGEST_STEP_M:
        return (
            f"the camera moves {step_m:.0f} m from one frame to the next; expected poses in metres: give pose_scale, "
            "the metres per unit of the poses (0.001 for millimetres)"
        )
    found = [agreement(*pair) for pair in pairs]
    if all(each.share >= 2 * _SMALLEST_SHARE and each.median_m > 4 * _LARGEST_M for each in found):
        median = float(np.median([each.median_m for each in found]))
        return (
            f"depth and poses do not agree: warped from one frame to the next, depth differs by {median:.2g} m; check "
            "depth_scale, intrinsics, pose_scale and the times of the poses"
        )
    return ""


def distant_doubts(pairs: Sequence[tuple[View, View]]) -> str | None:
    """As ``doubts``, for pairs of frames some way apart, which show what neighbours hide; None if too few overlap.

    Depth and poses are wrong if at least two pairs can be compared and depth differs in all of them.
    """
    found = [agreement(*pair) for pair in pairs]
    compared = [each for each in found if each.share >= _COMPARED_SHARE]
    if len(compared) < 2:
        return None
    if any(each.median_m <= _WRONG_M for each in compared):
        return ""
    for name, turn in {**_OTHERWISE, _QUATERNIONS: _w_first}.items():
        if sum(agreement(_turned(first, turn), _turned(second, turn)).good for first, second in pairs) >= 2:
            how = "as the first line of the poses" if turn is _w_first else "in meta.yaml of the folder"
            return f"depth and poses do not agree in frames some way apart, but would with '{name}': say so {how}"
    median_m = float(np.median([each.median_m for each in compared]))
    return (
        f"depth and poses do not agree: warped to frames some way apart, depth differs by {median_m:.2g} m; check "
        "depth_scale, intrinsics, pose_scale, the axes and the times of the poses"
    )


def _turned(view: View, turn: Callable[[np.ndarray], np.ndarray]) -> View:
    return view._replace(world_from_camera=turn(view.world_from_camera))
