"""A depth camera with a colour camera next to it: colour and labels on the depth camera's pixels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped, UInt8
from PIL import Image

from wsss_ros.labels import UNLABELLED
from wsss_ros.types import BadInput, Camera, Frame


@dataclass(frozen=True)
class Rig:
    """The depth camera and the colour camera, both at native size.

    ``color`` is None if the colour image is already registered to the depth image and has its size.
    """

    depth: Camera
    color: Camera | None = None


def view(
    rig: Rig,
    rgb: UInt8[np.ndarray, "h w 3"],
    depth_m: Float32[np.ndarray, "H W"],
    world_from_camera: Float64[np.ndarray, "4 4"],
    stamp_ns: int,
    name: str,
) -> Frame:
    """A frame on the depth camera's pixels. Sets ``depth_m`` to 0, in place, at pixels outside the colour image.

    Raises BadInput when the two cameras do not see the same area.
    """
    camera = rig.depth.resized(depth_m.shape[1], depth_m.shape[0])
    if rig.color is not None:
        rgb, seen = color_on_depth(rgb, rig.color, camera)
        depth_m *= seen
    return Frame(rgb, camera, depth_m, world_from_camera, stamp_ns, name)


def color_on_depth(
    rgb: UInt8[np.ndarray, "h w 3"], color: Camera, depth: Camera
) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Resample a colour image to the depth camera's pixels, averaged over areas; also returns which pixels it covers.

    This assumes that both cameras look in the same direction from the same position; ScanNet's do, within millimetres.
    A pixel then maps by the intrinsics alone: ``u' = fx'/fx (u - cx) + cx'``. Pixels outside the colour image repeat
    its edge. An image whose pixels agree within half a pixel is returned unchanged.
    Raises BadInput when the two cameras do not see the same area.
    """
    height, width = rgb.shape[:2]
    color = color.resized(width, height)
    u, v = _to_color(color, depth, np.arange(depth.width), np.arange(depth.height))
    if (width, height) == (depth.width, depth.height) and _agree(u) and _agree(v):
        return rgb, np.ones((height, width), bool)
    seen = np.outer((v >= -0.5) & (v <= height - 0.5), (u >= -0.5) & (u <= width - 0.5))
    edges = _to_color(color, depth, np.array([-0.5, depth.width - 0.5]), np.array([-0.5, depth.height - 0.5]))
    (left, right), (top, bottom) = (edge + 0.5 for edge in edges)
    border = int(np.ceil(max(0, -left, -top, right - width, bottom - height)))
    if border > max(width, height) or not seen.any():
        raise BadInput(f"colour {color} and depth {depth} do not see the same area; check their intrinsics files")
    image = Image.fromarray(np.pad(rgb, ((border, border), (border, border), (0, 0)), "edge") if border else rgb)
    x0, y0, x1, y1 = (float(edge) + border for edge in (left, top, right, bottom))
    resampled = image.resize((depth.width, depth.height), Image.Resampling.HAMMING, (x0, y0, x1, y1))
    return np.array(resampled), seen


def labels_on_depth(labels: UInt8[np.ndarray, "h w"], color: Camera, depth: Camera) -> UInt8[np.ndarray, "H W"]:
    """Labels of the colour camera's image, of any size, at the depth camera's pixels; 255 outside the colour image."""
    height, width = labels.shape
    pixels = _to_color(color.resized(width, height), depth, np.arange(depth.width), np.arange(depth.height))
    u, v = (np.rint(along).astype(np.int64) for along in pixels)
    seen = np.outer((v >= 0) & (v < height), (u >= 0) & (u < width))
    return np.where(seen, labels[np.ix_(v.clip(0, height - 1), u.clip(0, width - 1))], np.uint8(UNLABELLED))


def _agree(along: Float64[np.ndarray, "K"]) -> bool:
    return bool(np.abs(along - np.arange(len(along))).max() < 0.5)


def _to_color(
    color: Camera, depth: Camera, columns: Shaped[np.ndarray, "K"], rows: Shaped[np.ndarray, "L"]
) -> tuple[Float64[np.ndarray, "K"], Float64[np.ndarray, "L"]]:
    """The positions of the depth camera's columns and rows in the colour image."""
    u = (columns - depth.cx) * (color.fx / depth.fx) + color.cx
    v = (rows - depth.cy) * (color.fy / depth.fy) + color.cy
    return u, v
