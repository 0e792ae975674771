"""What the fusion needs of a frame: its camera as a pinhole, the pixels of its lens, its depth."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float64
from scipy import ndimage

from wsss_ros.fusion.kernels import View
from wsss_ros.geometry import check_camera, check_pose, invert
from wsss_ros.geometry.compiled import readonly
from wsss_ros.geometry.distortion import rays
from wsss_ros.geometry.projection import posed_depth, project
from wsss_ros.types import BadInput, Camera, Frame

_PROPORTIONS = 0.01  # by this share, the proportions of labels may differ from those of the image
_EDGE = 0.05  # a neighbouring pixel whose depth is smaller by this share belongs to something in front
_WIDEST = 4  # times the size of the image: the largest pinhole image for a lens


def camera_of(frame: Frame, size: tuple[int, ...]) -> Camera:
    """The camera of a frame for labels of ``size`` (rows, columns).

    Raises:
        BadInput: no camera, an uncalibrated one, or labels of other proportions than its image.
    """
    camera = frame.camera
    if camera is None:
        raise BadInput(f"frame '{frame.name}' has no camera; a fusion needs the camera and the pose of each frame")
    check_camera(camera)
    height, width = size
    if abs(width * camera.height - height * camera.width) > _PROPORTIONS * width * camera.height:
        raise BadInput(
            f"frame '{frame.name}': labels of {width}x{height} for an image of {camera.width}x{camera.height}; "
            "expected labels of the image's size, or of its proportions"
        )
    return camera if (camera.width, camera.height) == (width, height) else camera.resized(width, height)


def view_of(frame: Frame, camera: Camera, origin: Float64[np.ndarray, "3"]) -> View:
    """The view of a frame whose camera is ``camera``, for points relative to ``origin``.

    Raises:
        BadInput: the frame has no pose, or one that is not rigid.
    """
    pose = frame.world_from_camera
    if pose is None:
        raise BadInput(f"frame '{frame.name}' has no pose; a fusion needs the camera and the pose of each frame")
    check_pose(pose)
    moved = pose.astype(np.float64)
    moved[:3, 3] -= origin
    intrinsics = (float(camera.fx), float(camera.fy), float(camera.cx), float(camera.cy))
    return View(readonly(invert(moved)), readonly(moved[:3, 3]), intrinsics, _canvas(camera))


@lru_cache(maxsize=8)
def _canvas(camera: Camera) -> tuple[int, int, int, int]:
    if camera.distortion is None:
        return 0, 0, camera.width, camera.height
    shown = rays(camera)
    low = np.nanmin(shown, axis=(0, 1)) * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    high = np.nanmax(shown, axis=(0, 1)) * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    size = np.array([camera.width, camera.height])
    low, high = np.maximum(np.floor(low), -_WIDEST * size), np.minimum(np.ceil(high), (1 + _WIDEST) * size)
    u, v, width, height = (int(value) for value in (*low, *(high - low + 1)))
    return u, v, width, height


def lens_pixels(points: Float64[np.ndarray, "N 3"], camera: Camera, view: View) -> Float64[np.ndarray, "M 2"]:
    """Where a lens with distortion shows each point; without distortion the array is empty: a pinhole shows it."""
    if camera.distortion is None:
        return np.zeros((0, 2))
    return project(points, camera, np.linalg.inv(view.camera_from_world))[0]


def inverse_depth(frame: Frame, camera: Camera, margin_px: float) -> Float64[np.ndarray, "H W"]:
    """One over the depth of a frame at the pixels of ``camera``; 0 where it is missing.

    Within ``margin_px`` pixels of an edge, the pixels behind it get the depth of what is in front.

    Raises:
        BadInput: the frame has no depth, or one that is not of its camera's size.
    """
    depth_m = posed_depth(frame)[0]
    usable = np.isfinite(depth_m) & (depth_m > 0)
    inverse = np.divide(1.0, depth_m, out=np.zeros(depth_m.shape), where=usable)
    front = _dilated_edges(inverse, round(margin_px))
    inverse = np.where(front > inverse * (1 + _EDGE), front, inverse)
    if depth_m.shape == (camera.height, camera.width):
        return inverse
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.int64), old - 1)
        for new, old in zip((camera.height, camera.width), depth_m.shape, strict=True)
    )
    return inverse[rows[:, None], columns]


def _dilated_edges(inverse: Float[np.ndarray, "H W"], margin: int) -> Float64[np.ndarray, "H W"]:
    """The inverse depth in front of the nearest edges, in squares of ``margin`` pixels around them; 0 elsewhere."""
    edges = np.zeros(inverse.shape)
    if margin <= 0:
        return edges
    for a, b in (
        ((slice(1, None),), (slice(None, -1),)),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        for near, far in ((a, b), (b, a)):
            is_edge = (inverse[far] > 0) & (inverse[near] > inverse[far] * (1 + _EDGE))
            edges[near] = np.where(is_edge, inverse[near], edges[near])
    dilated: Float64[np.ndarray, "H W"] = ndimage.maximum_filter(edges, size=2 * margin + 1, mode="constant")
    return dilated
