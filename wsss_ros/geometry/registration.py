"""Depth of one camera on the pixels of another: registration, as depth_image_proc's ``register`` does it."""

from functools import lru_cache
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32

from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.geometry.distortion import EQUIDISTANT, NONE, equidistant, lens_of, polynomial, rays
from wsss_ros.geometry.poses import check_pose
from wsss_ros.geometry.projection import check_camera
from wsss_ros.types import BadInput, Camera

# What aligns depth with colour in common drivers, as their documentation has it.
DRIVER_OPTIONS = (
    "RealSense: align_depth.enable:=true and the topic aligned_depth_to_color/image_raw; Azure Kinect: the topic "
    "depth_to_rgb/image_raw; OAK: stereo.i_align_depth:=true; Orbbec: depth_registration:=true"
)
# Of a colour pixel: closes the cracks between the pixels of a slanted surface. 0.5 is what the rounding of
# depth_image_proc comes to: objects grow by about half a pixel. In a generated office seen by a pair of cameras like a
# D435, 0.19 % of the pixels are wrong by more than 5 cm with 0.1, and 0.29 % with 0.5; both fill 99.9 %.
MARGIN = 0.1


def depth_on_color(
    depth_m: Float32[np.ndarray, "H W"],
    depth_camera: Camera | None,
    color_camera: Camera,
    frames: tuple[str, str],
    color_from_depth: Float[np.ndarray, "4 4"] | None = None,
) -> Float32[np.ndarray, "h w"]:
    """Depth on the pixels of the colour image: as it is if it is registered already, else registered.

    Depth is registered if it is in the frame of the colour image and has its camera. The size alone says nothing.

    Args:
        depth_m: metres, 0 where missing.
        depth_camera: of the depth image; None where no camera_info of it is known.
        color_camera: of the colour image.
        frames: the frame_id of the depth image and that of the colour image; an empty one is unknown, and taken to be
            the other one.
        color_from_depth: carries points from the frame of the depth image to that of the colour image, None where it
            is unknown. It is not needed where the frames are the same.

    Raises:
        BadInput: depth that is not registered, without what registration needs; the text says what is missing and
            which options of drivers align depth. Also as ``register`` does.
    """
    depth_frame, color_frame = frames
    same_frame = depth_frame == color_frame or not depth_frame or not color_frame
    same_size = depth_m.shape == (color_camera.height, color_camera.width)
    if same_frame and same_size and depth_camera in (None, color_camera):
        return depth_m
    if depth_camera is None:
        raise BadInput(
            f"depth not registered: depth of {depth_m.shape[1]}x{depth_m.shape[0]} in frame '{depth_frame}', color of "
            f"{color_camera.width}x{color_camera.height} in frame '{color_frame}', and no depth/camera_info came; "
            f"remap depth/camera_info, or let the driver align depth ({DRIVER_OPTIONS})"
        )
    if same_frame:
        color_from_depth = np.eye(4)
    if color_from_depth is None:
        raise BadInput(
            f"depth not registered: depth is in frame '{depth_frame}', color in frame '{color_frame}', and no "
            f"transform between them is known; publish it on /tf_static, or let the driver align depth "
            f"({DRIVER_OPTIONS})"
        )
    return register(depth_m, depth_camera, color_camera, color_from_depth)


def register(
    depth_m: Float[np.ndarray, "H W"],
    depth_camera: Camera,
    color_camera: Camera,
    color_from_depth: Float[np.ndarray, "4 4"],
    fill_holes: bool = True,
) -> Float32[np.ndarray, "h w"]:
    """The depth image as the colour camera sees it. Where several depth pixels fall on a pixel, the nearest wins.

    Args:
        depth_m: metres; a pixel that is not finite or not above 0 is missing.
        depth_camera: of the size of the depth image.
        color_camera: of the size of the result.
        color_from_depth: carries points from the optical frame of the depth camera to that of the colour camera.
        fill_holes: each depth pixel covers all colour pixels whose centre is in its square, so that a colour image
            with more pixels has no holes (depth_image_proc: ``fill_upsampling_holes``). Otherwise it covers one pixel.

    Returns:
        Metres along the optical axis of the colour camera, 0 where missing.

    Raises:
        BadInput: an uncalibrated camera, depth of another size than its camera, a transform that is not rigid.
    """
    check_camera(depth_camera)
    check_camera(color_camera)
    check_pose(color_from_depth)
    if depth_m.shape != (depth_camera.height, depth_camera.width):
        raise BadInput(
            f"depth image of {depth_m.shape[1]}x{depth_m.shape[0]} with a depth camera_info of "
            f"{depth_camera.width}x{depth_camera.height}; remap depth/camera_info to the one published with this image"
        )
    registered = np.full((color_camera.height, color_camera.width), np.inf, np.float32)
    lens = lens_of(color_camera.distortion)
    _register(
        readonly(depth_m),
        *_directions(depth_camera),
        readonly(color_from_depth.astype(np.float64)),
        tuple(map(float, (color_camera.fx, color_camera.fy, color_camera.cx, color_camera.cy))),
        lens.kind,
        lens.coefficients,
        lens.limit,
        lens.tilt,
        MARGIN if fill_holes else -1.0,
        registered,
    )
    return registered


def prepare_registration() -> None:
    """Compile what ``register`` needs, or load it from the cache: so the first view does not wait for it."""
    camera = Camera(1.0, 1.0, 0.0, 0.0, 1, 1)
    register(np.ones((1, 1), np.float32), camera, camera, np.eye(4))


@lru_cache(maxsize=8)
def _directions(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float]]:
    """What a pixel shows at depth 1, in a form that is quick to read.

    With distortion a table [4 H W]: x, y, width and height of each pixel; else x of each column, y of each row, and
    the size of all pixels.
    """
    size = (1 / camera.fx, 1 / camera.fy)
    none, empty = readonly(np.zeros(0)), readonly(np.zeros((4, 0, 0), np.float32))
    if camera.distortion is None:
        right = (np.arange(camera.width) - camera.cx) / camera.fx
        down = (np.arange(camera.height) - camera.cy) / camera.fy
        return empty, readonly(right), readonly(down), size
    table = rays(camera)
    extent = sum(np.abs(np.gradient(table, axis=axis)) for axis in (0, 1))
    extent = np.where(np.isfinite(extent), extent, size)
    planes = np.moveaxis(np.concatenate([table, extent], axis=-1), -1, 0)
    return readonly(planes.astype(np.float32)), none, none, size


@compiled
@no_type_check
def _register(depth, table, right, down, size, pose, color, kind, c, limit, tilt, margin, registered):
    """Fill ``registered``, which is infinite at first."""
    height, width = depth.shape
    fx, fy, cx, cy = color
    x, y, z = np.empty(width), np.empty(width), np.empty(width)  # of a row: x and y at depth 1, before the lens
    half_u, half_v = np.empty(width), np.empty(width)
    left, last = np.empty(width, np.int32), np.empty(width, np.int32)  # the pixels that each depth pixel covers
    top, bottom = np.empty(width, np.int32), np.empty(width, np.int32)
    for row in range(height):
        if table.shape[1]:
            for i in range(width):
                x[i], y[i] = table[0, row, i], table[1, row, i]
                half_u[i], half_v[i] = table[2, row, i], table[3, row, i]
        else:
            for i in range(width):
                x[i], y[i], half_u[i], half_v[i] = right[i], down[row], size[0], size[1]
        _move(depth, row, pose, x, y, z, half_u, half_v)
        if kind != NONE:
            _bend(kind, c, limit, tilt, x, y, half_u, half_v)
        for i in range(width):
            x[i], y[i] = x[i] * fx + cx, y[i] * fy + cy
            half_u[i], half_v[i] = half_u[i] * fx, half_v[i] * fy
        _cover(x, y, z, half_u, half_v, margin, registered.shape, left, last, top, bottom)
        _paint(z, left, last, top, bottom, registered)
    for row in range(len(registered)):
        for i in range(registered.shape[1]):
            registered[row, i] = registered[row, i] if registered[row, i] < np.inf else 0


@compiled
@no_type_check
def _move(depth, row, pose, x, y, z, half_u, half_v):
    """Move a row of depth to the colour camera: x and y at depth 1, depth, half the size of a pixel at depth 1.

    ``half_u`` and ``half_v`` hold the complete size in the depth camera before. A missing pixel has depth NaN.
    """
    for i in range(len(x)):
        d = np.float64(depth[row, i])
        a, b = x[i], y[i]
        p = (pose[0, 0] * a + pose[0, 1] * b + pose[0, 2]) * d + pose[0, 3]
        q = (pose[1, 0] * a + pose[1, 1] * b + pose[1, 2]) * d + pose[1, 3]
        far = (pose[2, 0] * a + pose[2, 1] * b + pose[2, 2]) * d + pose[2, 3]
        inverse = np.divide(1.0, far)  # not "/", which checks for 0 and keeps the loop from being vectorised
        a, b = p * inverse, q * inverse
        scale = 0.5 * d * inverse
        across, along = scale * half_u[i], scale * half_v[i]
        half_u[i] = abs(pose[0, 0] - a * pose[2, 0]) * across + abs(pose[0, 1] - a * pose[2, 1]) * along
        half_v[i] = abs(pose[1, 0] - b * pose[2, 0]) * across + abs(pose[1, 1] - b * pose[2, 1]) * along
        x[i], y[i] = a, b
        z[i] = far if (d > 0) & (d < np.inf) & (far > 0) else np.nan


@compiled
@no_type_check
def _bend(kind, c, limit, tilt, x, y, half_u, half_v):
    """Move a row of points at depth 1, and their half sizes, to where the lens shows them; NaN where it does not."""
    if kind == EQUIDISTANT:
        farthest = np.tan(limit) ** 2
        for i in range(len(x)):
            shown = x[i] * x[i] + y[i] * y[i] <= farthest
            a, b, xx, xy, yx, yy = equidistant(x[i], y[i], c)
            x[i], y[i] = a if shown else np.nan, b
            across, along = half_u[i], half_v[i]
            half_u[i], half_v[i] = abs(xx) * across + abs(xy) * along, abs(yx) * across + abs(yy) * along
    else:
        for i in range(len(x)):
            a, b, xx, xy, yx, yy = polynomial(x[i], y[i], c)
            shown = (x[i] * x[i] + y[i] * y[i] <= limit * limit) & (xx * yy > xy * yx)
            w = np.divide(1.0, tilt[6] * a + tilt[7] * b + tilt[8])
            x[i] = (tilt[0] * a + tilt[1] * b + tilt[2]) * w if shown else np.nan
            y[i] = (tilt[3] * a + tilt[4] * b + tilt[5]) * w
            across, along = half_u[i], half_v[i]
            half_u[i], half_v[i] = abs(xx) * across + abs(xy) * along, abs(yx) * across + abs(yy) * along


@compiled
@no_type_check
def _cover(u, v, z, half_u, half_v, margin, shape, left, right, top, bottom):
    """The pixels of the colour image that each depth pixel of a row covers; right is -1 where there is none.

    Margin below 0: only the nearest pixel. The loop has no branches, so that it is vectorised.
    """
    fill, reach = margin >= 0, max(margin, 0.0)
    most_u, most_v = shape[1] - 1.0, shape[0] - 1.0
    for i in range(len(u)):
        across, along = half_u[i] + reach, half_v[i] + reach
        a, b = np.floor(u[i] + 0.5), np.floor(v[i] + 0.5)
        a, b = np.ceil(u[i] - across) if fill else a, np.ceil(v[i] - along) if fill else b
        c, d = np.floor(u[i] + across) if fill else a, np.floor(v[i] + along) if fill else b
        a, b, c, d = max(a, 0.0), max(b, 0.0), min(c, most_u), min(d, most_v)
        known = (z[i] > 0) & (a <= c) & (b <= d) & (abs(u[i]) < 1e6) & (abs(v[i]) < 1e6)  # false for NaN
        left[i], top[i] = np.int32(a if known else 0.0), np.int32(b if known else 0.0)
        right[i], bottom[i] = np.int32(c if known else -1.0), np.int32(d if known else -1.0)


@compiled
@no_type_check
def _paint(z, left, right, top, bottom, registered):
    """Write the depths of a row where they are nearer than what is there."""
    for i in range(len(z)):
        near = np.float32(z[i])
        for row in range(np.uint32(top[i]), np.uint32(bottom[i] + 1)):
            for column in range(np.uint32(left[i]), np.uint32(right[i] + 1)):
                if near < registered[row, column]:
                    registered[row, column] = near
