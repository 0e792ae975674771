"""A contact sheet of what was checked: images with their depth, the cloud, photographs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from wsss_ros.doctor.inputs import Checked
from wsss_ros.evaluation.pictures import heat, padded, render_cloud, scaled, sheet, stacked
from wsss_ros.scenes.derived import cloud_of, upright_rotation
from wsss_ros.scenes.frame_choice import spread, spread_over
from wsss_ros.scenes.images import read_photo
from wsss_ros.types import BadInput, Frame, Scene

_ACROSS, _FRAMES, _PICTURES, _WIDTH = 3, 6, 12, 200
_FUSED = 60  # frames of which a cloud is made for a scene without its own
Item = TypeVar("Item")
Shown = TypeVar("Shown")


def contact_sheet(checked: Checked) -> Image.Image | None:
    """The picture of what was checked: of the first scene, of the photographs or of the pictures.

    Images that cannot be read are left out; None if nothing is left.
    """
    if checked.scenes:
        return _of_scene(checked.scenes[0])
    files = checked.pictures if checked.photos is None else checked.photos.files
    shown = list(_readable(read_photo, spread_over(files, _PICTURES)))
    return _grid(shown) if shown else None


def _readable(read: Callable[[Item], Shown], items: Iterable[Item]) -> Iterator[Shown]:
    for item in items:
        with suppress(BadInput):
            yield read(item)


def _of_scene(scene: Scene) -> Image.Image | None:
    """Frames with their depth, black where there is none, and the cloud from obliquely above."""
    frames = list(_readable(scene.frame, spread(len(scene), _FRAMES)))
    shown = [picture for frame in frames for picture in (frame.rgb, _depth(frame))]
    pages = [_grid(shown, ("image", "depth"))] if shown else []
    if (drawn := _cloud(scene)) is not None:
        pages.append(Image.fromarray(drawn))
    return stacked(pages) if pages else None


def _depth(frame: Frame) -> UInt8[np.ndarray, "H W 3"]:
    """Near depth dark, far depth bright, up to the farthest hundredth."""
    if frame.depth_m is None or not (frame.depth_m > 0).any():
        return np.zeros_like(frame.rgb)
    return heat((frame.depth_m / np.percentile(frame.depth_m[frame.depth_m > 0], 99)).astype(np.float32))


def _cloud(scene: Scene) -> UInt8[np.ndarray, "H W 3"] | None:
    """The cloud, as the scene has it where its upward direction is not found; None without points."""
    cloud = cloud_of(scene, _readable(scene.frame, spread(len(scene), _FUSED)))
    finite = np.isfinite(cloud.xyz).all(axis=1)
    if not finite.any():
        return None
    xyz: Float[np.ndarray, "N 3"] = cloud.xyz[finite].astype(np.float64)
    xyz -= xyz.mean(axis=0)
    with suppress(BadInput):
        xyz = xyz @ upright_rotation(scene).T
    return render_cloud(xyz, None if cloud.rgb is None else cloud.rgb[finite])


def _grid(pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], titles: Sequence[str] = ("",)) -> Image.Image:
    """Pictures of one width, in rows; white where a row is not full."""
    across = _ACROSS * len(titles)
    small = [scaled(picture, _WIDTH) for picture in pictures]
    rows = [list(small[start : start + across]) for start in range(0, len(small), across)]
    rows[-1] += [np.full_like(small[0], 255)] * (across - len(rows[-1]))
    return sheet(list(titles) * _ACROSS, padded(rows))
