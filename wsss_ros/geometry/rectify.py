"""Frames of a camera with lens distortion as frames of a pinhole camera."""

from dataclasses import replace
from functools import lru_cache
from typing import no_type_check

import numpy as np
from jaxtyping import Float64

from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.geometry.distortion import distort
from wsss_ros.types import Camera, Frame


def rectified(frame: Frame) -> Frame:
    """The frame as a camera without distortion sees it, of the same size, focal lengths and centre.

    Colours are interpolated bilinearly, depth is that of the nearest pixel. Pixels that the lens did not show are black
    and have no depth. A frame without distortion is returned as it is.
    """
    camera = frame.camera
    if camera is None or camera.distortion is None:
        return frame
    source = _source(camera)
    rgb = np.zeros_like(frame.rgb)
    _bilinear(readonly(frame.rgb), source, rgb)
    depth_m = None
    if frame.depth_m is not None:
        depth_m = np.zeros_like(frame.depth_m)
        _nearest(readonly(frame.depth_m), source, depth_m)
    return replace(frame, rgb=rgb, depth_m=depth_m, camera=replace(camera, distortion=None))


@lru_cache(maxsize=2)
def _source(camera: Camera) -> Float64[np.ndarray, "H W 2"]:
    """Where each pixel of the rectified image is in the raw image, as (u, v)."""
    v, u = np.mgrid[: camera.height, : camera.width]
    plane = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy], axis=-1)
    shown = distort(camera.distortion, plane.reshape(-1, 2)) * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    return readonly(shown.reshape(plane.shape))


@compiled
@no_type_check
def _nearest(image, source, result):
    height, width = image.shape
    for row in range(height):
        for column in range(width):
            u, v = source[row, column, 0], source[row, column, 1]
            if -0.5 <= u < width - 0.5 and -0.5 <= v < height - 0.5:
                result[row, column] = image[int(np.floor(v + 0.5)), int(np.floor(u + 0.5))]


@compiled
@no_type_check
def _bilinear(image, source, result):
    height, width, channels = image.shape
    for row in range(height):
        for column in range(width):
            u, v = source[row, column, 0], source[row, column, 1]
            if not (-0.5 <= u < width - 0.5 and -0.5 <= v < height - 0.5):
                continue
            u, v = min(max(u, 0.0), width - 1.0), min(max(v, 0.0), height - 1.0)
            left, top = int(u), int(v)
            right, bottom, across, down = min(left + 1, width - 1), min(top + 1, height - 1), u - left, v - top
            for k in range(channels):
                above = image[top, left, k] * (1 - across) + image[top, right, k] * across
                below = image[bottom, left, k] * (1 - across) + image[bottom, right, k] * across
                result[row, column, k] = np.uint8(above * (1 - down) + below * down + 0.5)
