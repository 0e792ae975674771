"""A contact sheet of what was checked: images with their depth, the cloud, photographs."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from wsss_ros.doctor.inputs import Checked
from wsss_ros.evaluation.pictures import heat, padded, render_cloud, scaled, sheet, stacked
from wsss_ros.geometry import transform
from wsss_ros.scenes.derived import cloud_of, upright_rotation
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.scenes.images import read_rgb
from wsss_ros.types import Cloud, Frame, Scene

_ACROSS, _FRAMES, _PICTURES, _WIDTH = 3, 6, 12, 200


def contact_sheet(checked: Checked) -> Image.Image | None:
    """The picture of what was checked: of the first scene, of the photographs or of the pictures; None without any."""
    if checked.scenes:
        return _of_scene(checked.scenes[0])
    if checked.photos is not None:
        photos = checked.photos
        return _grid([photos.rgb(index) for index in spread(len(photos), _PICTURES)])
    if checked.pictures:
        return _grid([read_rgb(checked.pictures[index]) for index in spread(len(checked.pictures), _PICTURES)])
    return None


def _of_scene(scene: Scene) -> Image.Image:
    """Frames with their depth, black where there is none, and the cloud from obliquely above."""
    frames = [scene.frame(index) for index in spread(len(scene), _FRAMES)] if len(scene) else []
    shown = [picture for frame in frames for picture in (frame.rgb, _depth(frame))]
    has_cloud = scene.cloud is not None or any(frame.depth_m is not None for frame in frames)
    pages = [_grid(shown, ("image", "depth"))] if shown else []
    return stacked([*pages, *([Image.fromarray(_cloud(scene))] if has_cloud else [])])


def _depth(frame: Frame) -> UInt8[np.ndarray, "H W 3"]:
    """Near depth dark, far depth bright, up to the farthest hundredth."""
    if frame.depth_m is None or not (frame.depth_m > 0).any():
        return np.zeros_like(frame.rgb)
    return heat((frame.depth_m / np.percentile(frame.depth_m[frame.depth_m > 0], 99)).astype(np.float32))


def _cloud(scene: Scene) -> UInt8[np.ndarray, "H W 3"]:
    cloud: Cloud = cloud_of(scene)
    finite = np.isfinite(cloud.xyz).all(axis=1)
    xyz: Float[np.ndarray, "N 3"] = cloud.xyz[finite].astype(np.float64)
    upright = transform(np.pad(upright_rotation(scene), (0, 1)) + np.diag([0, 0, 0, 1.0]), xyz - xyz.mean(axis=0))
    return render_cloud(upright, None if cloud.rgb is None else cloud.rgb[finite])


def _grid(pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], titles: Sequence[str] = ("",)) -> Image.Image:
    """Pictures of one width, in rows; white where a row is not full."""
    across = _ACROSS * len(titles)
    small = [scaled(picture, _WIDTH) for picture in pictures]
    rows = [list(small[start : start + across]) for start in range(0, len(small), across)]
    rows[-1] += [np.full_like(small[0], 255)] * (across - len(rows[-1]))
    return sheet(list(titles) * _ACROSS, padded(rows))
