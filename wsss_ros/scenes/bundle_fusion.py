"""Layout ``bundlefusion``: ``info.txt`` next to ``frame-000000.color.jpg``, as BundleFusion and 3RScan have it.

``info.txt`` has lines ``m_calibrationDepthIntrinsic = `` 4x4 by rows, the same of colour, ``m_depthShift`` (depth
values per metre) and the sizes of the images. Poses are camera to world; lost ones are -inf.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from wsss_ros.files import decode
from wsss_ros.scenes import plain_frames
from wsss_ros.scenes.images import read_bytes
from wsss_ros.scenes.intrinsics import Intrinsics, of_mapping
from wsss_ros.scenes.listing import Listing, first_file, given_intrinsics
from wsss_ros.scenes.posed_frames import sizes_of
from wsss_ros.scenes.reading import Reading
from wsss_ros.scenes.rig import Rig
from wsss_ros.types import BadInput

EXPECTS = "info.txt with m_calibrationDepthIntrinsic and 'frame-*.color.*' (BundleFusion, 3RScan)"
_NAMES = ("info.txt", "_info.txt")
_DEPTH = "m_calibrationDepthIntrinsic"


def find(folder: Path) -> str:
    """What of this layout a folder has; empty if it does not fit."""
    path = first_file(folder, _NAMES)
    fits = path is not None and _DEPTH in _lines(path) and any(folder.glob("frame-*.color.*"))
    return f"{path.name} and frame-*.color.*" if fits and path else ""


def read(folder: Path, reading: Reading) -> Listing:
    """The frames of a folder. Raises BadInput naming the file."""
    path = first_file(folder, _NAMES)
    assert path is not None
    info = _lines(path)
    own = _intrinsics(path, info, "depth")
    depth = given_intrinsics(reading) or own
    listing = plain_frames.read(folder, reading, depth)
    color_size, size = sizes_of(listing.files)
    color = None if reading.intrinsics else _intrinsics(path, info, "color")
    color_camera = None if color is None else color.camera(*color_size)
    rig = Rig(depth.camera(*size), color_camera)
    return replace(listing, rig=rig, integers_per_metre=own.depth_scale or listing.integers_per_metre)


def _lines(path: Path) -> dict[str, str]:
    text = decode(read_bytes(path, "'key = value' lines"))
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())}


def _intrinsics(path: Path, info: dict[str, str], kind: str) -> Intrinsics:
    """The camera of depth or color. Raises BadInput without it, and for cameras that are not at one place."""
    key = f"m_calibration{kind.capitalize()}Intrinsic"
    if key not in info:
        raise BadInput(f"{path}: no {key}; expected a 4x4 matrix")
    if extrinsic := info.get(key.replace("Intrinsic", "Extrinsic"), "").split():
        try:
            motion = np.array(extrinsic, np.float64).reshape(4, 4)
        except ValueError as error:
            raise BadInput(f"{path}: the extrinsic matrix of {kind}: {error}; expected 16 numbers") from error
        if not np.abs(motion - np.eye(4)).max() <= 0.1:
            raise BadInput(f"{path}: colour and depth are not at one place; expected depth registered to colour")
    given = {"width": f"m_{kind}Width", "height": f"m_{kind}Height", "depth_shift": "m_depthShift"}
    values = {name: info[of_file] for name, of_file in given.items() if of_file in info}
    return of_mapping(values | {"matrix": info[key].split()}, f"{path}, {key}")
