"""From points to pixels and back: projection, visibility, links between a cloud and a frame.

Pixels are ``(u, v)`` with the centre of the top-left pixel at (0, 0). Missing depth is 0. All in float64.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from wsss_ros.geometry.distortion import distort, rays
from wsss_ros.geometry.poses import check_pose, invert, transform
from wsss_ros.types import BadInput, Camera, Cloud, Frame, Links


def check_camera(camera: Camera) -> None:
    """Check that the camera can project.

    Raises:
        BadInput: values that are not finite, or a focal length that is not above 0.
    """
    values = (camera.fx, camera.fy, camera.cx, camera.cy)
    if not np.isfinite(values).all() or camera.fx <= 0 or camera.fy <= 0:
        raise BadInput(f"uncalibrated camera: fx fy cx cy = {values}; expected finite values and focal lengths above 0")


def posed_depth(frame: Frame) -> tuple[Float32[np.ndarray, "H W"], Camera, Float64[np.ndarray, "4 4"]]:
    """The depth, the camera and the pose of a frame, checked.

    Raises:
        BadInput: one of them is missing (the message names it), depth and camera differ in size, the camera is
            uncalibrated, or the pose is not rigid.
    """
    depth_m, camera, pose = frame.depth_m, frame.camera, frame.world_from_camera
    if depth_m is None or camera is None or pose is None:
        parts = {"depth": depth_m, "camera": camera, "pose": pose}
        missing = " and no ".join(name for name, part in parts.items() if part is None)
        raise BadInput(f"frame '{frame.name}' has no {missing}; expected depth, camera and pose")
    check_camera(camera)
    _check_depth_size(depth_m, camera)
    check_pose(pose)
    return depth_m, camera, pose


def project(
    points_world: Float[np.ndarray, "N 3"], camera: Camera, world_from_camera: Float[np.ndarray, "4 4"]
) -> tuple[Float64[np.ndarray, "N 2"], Float64[np.ndarray, "N"]]:
    """Project points into the image (joint paper, eq. 3).

    Returns:
        The sub-pixel position ``(u, v)`` of each point, NaN where the depth is not above 0 or the lens does not show
        the point, and its depth along the optical axis in metres.

    Raises:
        BadInput: an uncalibrated camera.
    """
    check_camera(camera)
    camera_from_world = invert(world_from_camera)
    x, y, depth = camera_from_world[:3, :3] @ points_world.T + camera_from_world[:3, 3:]
    ahead = np.where(depth > 0, depth, np.nan)
    uv = np.empty((len(depth), 2))
    uv[:, 0], uv[:, 1] = x / ahead, y / ahead
    if camera.distortion is not None:
        uv = distort(camera.distortion, uv)
    uv[:, 0] = uv[:, 0] * camera.fx + camera.cx
    uv[:, 1] = uv[:, 1] * camera.fy + camera.cy
    return uv, depth


def unproject(
    depth_m: Float[np.ndarray, "H W"],
    camera: Camera,
    world_from_camera: Float[np.ndarray, "4 4"] | None = None,
    stride: int = 1,
    max_depth_m: float = np.inf,
) -> tuple[Float64[np.ndarray, "M 3"], Int64[np.ndarray, "M"]]:
    """One point for each pixel with depth, row by row.

    Args:
        depth_m: depth image; a pixel that is not finite or not above 0 gives no point, nor one that the lens does not
            show.
        camera: of the size of the depth image.
        world_from_camera: without it the points are in the camera frame.
        stride: take every ``stride``-th pixel of a row and every ``stride``-th row.
        max_depth_m: pixels that are farther away give no point.

    Returns:
        The points in metres, and the flat index ``v * W + u`` of each point's pixel in the depth image.

    Raises:
        BadInput: an uncalibrated camera, or one of another size than the depth image.
    """
    check_camera(camera)
    _check_depth_size(depth_m, camera)
    depth_m = depth_m[::stride, ::stride]
    height, width = depth_m.shape
    farthest = min(max_depth_m, np.finfo(depth_m.dtype).max)
    index = np.flatnonzero((depth_m > 0) & (depth_m <= farthest))
    z = depth_m.ravel()[index].astype(np.float64)
    v, u = np.divmod(index.astype(np.int32), np.int32(width))
    points = np.empty((len(z), 3))
    if camera.distortion is None:
        right = (np.arange(width) - camera.cx / stride) / (camera.fx / stride)
        down = (np.arange(height) - camera.cy / stride) / (camera.fy / stride)
        points[:, 0], points[:, 1], points[:, 2] = right[u] * z, down[v] * z, z
    else:
        points[:, :2] = rays(camera)[v * stride, u * stride] * z[:, None]
        points[:, 2] = z
        shown = np.isfinite(points[:, 0])
        points, index, u, v = points[shown], index[shown], u[shown], v[shown]
    if world_from_camera is not None:
        points = transform(world_from_camera, points)
    if stride > 1:
        index = v.astype(np.int64) * (stride * camera.width) + u * stride
    return points, index


def visible(
    uv: Float[np.ndarray, "N 2"],
    depth: Float[np.ndarray, "N"],
    depth_image: Float[np.ndarray, "H W"],
    tolerance: float = 0.05,
) -> Bool[np.ndarray, "N"]:
    """Whether the camera saw each of the projected points.

    A point is visible when it is in front of the camera, inside the image, and the depth at its nearest pixel is not
    missing and differs from the point's depth by at most ``tolerance``.

    Args:
        uv: positions, as ``project`` gives them.
        depth: depths of the points along the optical axis, metres.
        depth_image: what the camera measured, metres.
        tolerance: metres.
    """
    height, width = depth_image.shape
    inside = np.flatnonzero(_inside(uv, depth, width, height))
    column, row = np.floor(uv[inside] + 0.5).astype(np.int32).T
    seen = depth_image[row, column].astype(np.float64)
    result = np.zeros(len(uv), bool)
    result[inside] = (seen > 0) & (np.abs(seen - depth[inside]) <= tolerance)
    return result


def link(cloud: Cloud, frame: Frame, tolerance: float = 0.05) -> Links:
    """Which points of the cloud are visible in the frame, and at which sub-pixel positions.

    Args:
        cloud: in the world frame.
        frame: with depth, camera and pose.
        tolerance: metres, see ``visible``.

    Raises:
        BadInput: depth, camera or pose is missing or not sound.
    """
    depth_m, camera, world_from_camera = posed_depth(frame)
    uv, depth = project(cloud.xyz, camera, world_from_camera)
    point = np.flatnonzero(visible(uv, depth, depth_m, tolerance))
    return Links(point=point, uv=uv[point])


def _inside(uv: np.ndarray, depth: np.ndarray, width: int, height: int) -> np.ndarray:
    u, v = uv[:, 0], uv[:, 1]
    return (depth > 0) & (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)


def _check_depth_size(depth_m: np.ndarray, camera: Camera) -> None:
    if depth_m.shape != (camera.height, camera.width):
        height, width = depth_m.shape
        raise BadInput(
            f"depth image of {width}x{height} with a camera of {camera.width}x{camera.height}; "
            "expected depth registered to the colour image, of the camera's size"
        )
