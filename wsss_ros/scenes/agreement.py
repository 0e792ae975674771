"""Whether depth and poses belong together: the depth of one frame, warped into another one, against its depth."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

from wsss_ros.geometry import invert, matrix_to_quaternion, project, quaternion_to_matrix, unproject
from wsss_ros.types import Camera

_LARGEST_M = 0.05  # median difference of depth and poses that belong together
_LARGEST_STEP_M = 10.0  # between two neighbouring frames
_USUAL_STEP_M, _LARGEST_SPAN_M = 3.0, 50.0  # of a camera in a room
_SMALLEST_SHARE = 0.2  # of the points of one view that the other one sees, to compare them
_COMPARED_SHARE = 0.3  # of the points, where distant frames are compared
_WRONG_M = 0.08  # median difference in all distant frames, from which poses or depth are wrong
FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])  # between OpenCV's and OpenGL's camera axes
_OTHERWISE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "poses: camera_from_world": invert,
    "axes: opengl": lambda pose: pose @ FLIP_YZ,
    "poses: camera_from_world, axes: opengl": lambda pose: invert(pose) @ FLIP_YZ,
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
    """The share of the points of one view that fall on depth of another, and the median of their differences.

    The difference is in metres, and as a share of the depth.
    """

    share: float
    median_m: float
    relative: float

    @property
    def good(self) -> bool:
        """Whether enough points are compared, and their depth is the same within 5 cm."""
        return self.share >= _SMALLEST_SHARE and self.median_m <= _LARGEST_M


def agreement(first: View, second: View, stride: int = 8) -> Agreement:
    """Warp every n-th pixel of the depth of one view into another, and compare it with the depth there."""
    points, _ = unproject(first.depth_m, first.camera, first.world_from_camera, stride)
    if not len(points):
        return Agreement(0.0, np.inf, np.inf)
    uv, depth = project(points, second.camera, second.world_from_camera)
    height, width = second.depth_m.shape
    inside = (depth > 0) & (uv > -0.5).all(1) & (uv < (width - 0.5, height - 0.5)).all(1)
    u, v = np.rint(uv[inside]).astype(np.int64).T
    seen = second.depth_m[v, u]
    difference, seen = np.abs(depth[inside] - seen)[seen > 0], seen[seen > 0]
    if not len(difference):
        return Agreement(0.0, np.inf, np.inf)
    return Agreement(len(difference) / len(points), float(np.median(difference)), float(np.median(difference / seen)))


def doubts(pairs: Sequence[tuple[View, View]], per_metre: float = 1000.0) -> str:
    """What is wrong with the poses of pairs of neighbouring views, and what to do; empty where nothing is.

    Another direction of the poses, or other camera axes, are named if depth agrees with them in most pairs, and with
    the poses as they are in none. ``per_metre`` are the depth values per metre with which the depth was read.
    """
    if not pairs:
        return ""
    found = [agreement(*pair) for pair in pairs]
    if any(each.good for each in found):
        return scale_doubt(pairs, per_metre)
    for name, turn in _OTHERWISE.items():
        turned = [(_turned(first, turn), _turned(second, turn)) for first, second in pairs]
        if 2 * sum(agreement(*pair).good for pair in turned) > len(pairs):
            return (
                f"depth and poses do not agree in {len(pairs)} pairs of frames, but would with '{name}': say so in "
                "meta.yaml of the folder"
            )
    if doubt := scale_doubt(pairs, per_metre) or _far_steps(pairs):
        return doubt
    if all(each.share >= 2 * _SMALLEST_SHARE and each.median_m > 4 * _LARGEST_M for each in found):
        median = float(np.median([each.median_m for each in found]))
        return (
            f"depth and poses do not agree: warped from one frame to the next, depth differs by {median:.2g} m; check "
            "depth_scale, intrinsics, pose_scale and the times of the poses"
        )
    return ""


def distant_doubts(pairs: Sequence[tuple[View, View]], per_metre: float = 1000.0) -> str | None:
    """As ``doubts``, for pairs of frames some way apart, which show what neighbours hide; None if too few overlap.

    Depth and poses are wrong if at least two pairs can be compared and depth differs in all of them.
    """
    if doubt := scale_doubt(pairs, per_metre):
        return doubt
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


# --- scale -----------------------------------------------------------------------------------------

_MISFIT = 0.03  # relative difference of depth from which other scales of the poses are tried
_FIT = 0.05  # relative difference of depth, at most, at the scale that is right
_BETTER = 0.5  # the difference at the right scale, relative to that at the scale of the files
_MOVED = 0.7  # and relative to that of a camera that does not move, which any small scale gives
_NEAR = 1.25  # factors below this are errors of the sensor and of the poses
_UNITS = {0.001: "millimetres", 0.01: "centimetres", 0.0254: "inches", 0.3048: "feet"}  # of poses
_SCALES = sorted({*_UNITS, *(2.0 ** (step / 2) for step in range(-8, 9))})
_PER_METRE = (1000.0, 5000.0, 4000.0, 6553.5, 512.0, 256.0, 500.0, 2000.0, 10000.0)  # usual depth values per metre


def scale_doubt(pairs: Sequence[tuple[View, View]], per_metre: float = 1000.0) -> str:
    """The factor by which the depth or the poses of pairs of views are too large or small; empty if none is.

    Another scale is named if depth agrees with it much better than with the poses as they are, and also better than
    with a camera that does not move. Which of the two is wrong is not known, unless the factor is that of a unit.
    """
    here = _misfit(pairs, 1.0)
    if here < _MISFIT or len(pairs) < 2:
        return ""
    factor = min(_SCALES, key=lambda scale: _misfit(pairs, scale))
    factor = min((factor * 1.05**step for step in range(-4, 5)), key=lambda scale: _misfit(pairs, scale))
    fit, still = _misfit(pairs, factor), _misfit(pairs, 0.0)
    if fit > min(_FIT, _BETTER * here, _MOVED * still) or 1 / _NEAR < factor < _NEAR:
        return ""
    sure = f"depth differs by {100 * fit:.1f} % from frame to frame then"
    sure += f", and by {100 * here:.0f} % as they are" if np.isfinite(here) else ", and as they are, no frames overlap"
    unit = next((unit for unit in _UNITS if 0.87 < factor / unit < 1.15), None)
    if unit is not None and unit < 0.1:
        return (
            f"depth and poses do not agree, but would with 'pose_scale: {unit:g}', poses in {_UNITS[unit]} ({sure}): "
            "say so in meta.yaml of the folder"
        )
    values = next((usual for usual in _PER_METRE if 0.87 < factor * per_metre / usual < 1.15), factor * per_metre)
    scale = unit or values / per_metre
    return (
        f"depth and poses are not of one scale: they agree if depth is {1 / scale:.2g} times as large "
        f"('depth_scale: {values:.4g}', and it is {per_metre:g}) or the poses {scale:.2g} times ('pose_scale: "
        f"{scale:.4g}'; {sure}): give the right one of the two"
    )


def _misfit(pairs: Sequence[tuple[View, View]], scale: float) -> float:
    """The relative difference of depth in pairs of views, whose translations are scaled; infinite without overlap."""
    scaled = lambda pose: np.vstack([pose[:3] * (1, 1, 1, scale), pose[3:]])  # noqa: E731
    found = [agreement(_turned(first, scaled), _turned(second, scaled)) for first, second in pairs]
    compared = [each.relative for each in found if each.share >= _SMALLEST_SHARE]
    return float(np.median(compared)) if 2 * len(compared) > len(pairs) else np.inf


def _far_steps(pairs: Sequence[tuple[View, View]]) -> str:
    """What to do about poses that no camera of a room has, in units that their span allows; empty for others."""
    places = np.array([[view.world_from_camera[:3, 3] for view in pair] for pair in pairs])
    step = float(np.median(np.linalg.norm(places[:, 1] - places[:, 0], axis=1)))
    if step <= _LARGEST_STEP_M:
        return ""
    span = float(np.ptp(places.reshape(-1, 3), axis=0).max())
    fits = [unit for unit in _UNITS if step * unit <= _USUAL_STEP_M and 0.3 <= span * unit <= _LARGEST_SPAN_M]
    offers = ", or ".join(f"{span * unit:.2g} m in {_UNITS[unit]} (pose_scale: {unit:g})" for unit in fits)
    return (
        f"the camera moves {step:.3g} m from one frame to the next, in {span:.3g} m; expected poses in metres: give "
        f"pose_scale, the metres per unit of the poses{f'; it moves in {offers}' if offers else ''}"
    )


def _turned(view: View, turn: Callable[[np.ndarray], np.ndarray]) -> View:
    return view._replace(world_from_camera=turn(view.world_from_camera))
