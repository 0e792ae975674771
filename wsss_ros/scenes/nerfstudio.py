"""Layout ``nerfstudio``: ``transforms.json``, whose frames have a pose, an image and a depth image.

https://docs.nerf.studio/quickstart/data_conventions.html: ``transform_matrix`` carries camera to world with OpenGL's
camera axes (x right, y up, z back), pixels are counted from the corner of the image, so that the first one has its
centre at (0.5, 0.5), and depth images of whole numbers are in millimetres, unless the file has
``depth_unit_scale_factor`` or instant-ngp's ``integer_depth_scale``. Units of poses are taken as metres.
"""

import math
from dataclasses import replace
from os.path import isfile  # no error for a name that no file can have
from pathlib import Path
from typing import Any

import numpy as np

from wsss_ros.files import decode, parse_json
from wsss_ros.geometry import check_pose
from wsss_ros.scenes.depth_files import MILLIMETRES
from wsss_ros.scenes.images import image_size, read_bytes
from wsss_ros.scenes.intrinsics import Intrinsics, of_mapping
from wsss_ros.scenes.listing import IMAGES, Listed, Listing, from_listed, given_intrinsics, to_ours
from wsss_ros.scenes.reading import Reading
from wsss_ros.types import BadInput

EXPECTS = "transforms.json (nerfstudio)"
_FILE = "transforms.json"
_CAMERA = ("fl_x", "fl_y", "cx", "cy", "w", "h", "k1", "k2", "k3", "k4", "p1", "p2", "camera_model", "camera_angle_x")
_DEPTH_UNITS = ("depth_unit_scale_factor", "integer_depth_scale")  # of nerfstudio and of instant-ngp
_MODELS = ("", "PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "OPENCV_FISHEYE", "SIMPLE_RADIAL", "RADIAL")


def find(folder: Path) -> str:
    """What of this layout a folder has; empty if it does not fit."""
    return _FILE if (folder / _FILE).is_file() else ""


def read(folder: Path, reading: Reading) -> Listing:
    """The frames of a folder. Raises BadInput naming the file and the frame."""
    path = folder / _FILE
    try:
        content = parse_json(decode(read_bytes(path, "nerfstudio's transforms.json")))
    except ValueError as error:
        raise BadInput(f"{path}: cannot be read as JSON ({error}); expected nerfstudio's transforms.json") from error
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise BadInput(f"{path}: no list 'frames'; expected nerfstudio's transforms.json")
    given = given_intrinsics(reading)
    listed = [_listed(folder, content, frame, f"{path}, frame {at}", reading, given) for at, frame in enumerate(frames)]
    return replace(from_listed(listed, reading, str(path)), integers_per_metre=_depth_per_metre(content, str(path)))


def _depth_per_metre(content: dict, where: str) -> float:
    """The depth values per metre: from the metres of one value, if the file has them, else those of millimetres."""
    name = next((name for name in _DEPTH_UNITS if content.get(name) is not None), None)
    if name is None:
        return MILLIMETRES
    metres = _number(content[name], f"{where}, {name}")
    if not 0 < metres <= 1:
        raise BadInput(f"{where}: {name} {metres:g}; expected the metres of one value of depth, such as 0.001")
    return 1 / metres


def _listed(folder: Path, content: dict, frame: Any, where: str, reading: Reading, given: Intrinsics | None) -> Listed:
    if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
        raise BadInput(f"{where}: no 'file_path'; expected the path of an image")
    try:
        pose = np.array(frame.get("transform_matrix"), np.float64)
        if pose.shape == (3, 4):
            pose = np.vstack([pose, (0, 0, 0, 1)])
        check_pose(pose)
    except (TypeError, ValueError) as error:  # BadInput is a ValueError
        raise BadInput(f"{where}: transform_matrix: {error}") from error
    color = _image(folder / frame["file_path"].replace("\\", "/"))
    depth = frame.get("depth_file_path")
    return Listed(
        color,
        folder / depth.replace("\\", "/") if isinstance(depth, str) else None,
        to_ours(pose, reading, opengl=True),
        given or _intrinsics(content | {key: frame[key] for key in _CAMERA if key in frame}, color, where, reading),
    )


def _image(path: Path) -> Path:
    """The image, whose extension may be left out."""
    return (
        path
        if path.suffix.lower() in IMAGES
        else next((found for e in IMAGES if isfile(found := Path(f"{path}{e}"))), path)
    )


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{where}: {error}; expected a number") from error
    if not math.isfinite(number):
        raise BadInput(f"{where}: {number}; expected a finite number")
    return number


def _intrinsics(values: dict, color: Path, where: str, reading: Reading) -> Intrinsics:
    """The camera of a frame; its centre in our pixels, from the centre of the first pixel."""
    values = {key: values[key] for key in _CAMERA if values.get(key) is not None}
    model = str(values.get("camera_model", ""))
    if model not in _MODELS:
        raise BadInput(f"{where}: camera_model '{model}'; expected one of {', '.join(_MODELS[1:])}")
    for key in values.keys() - {"camera_model"}:
        values[key] = _number(values[key], f"{where}, {key}")
    if "camera_angle_x" in values and "fl_x" not in values:
        width, height = (int(values["w"]), int(values["h"])) if {"w", "h"} <= values.keys() else image_size(color)
        angle = values["camera_angle_x"]
        if not 0 < angle < math.pi:
            raise BadInput(f"{where}: camera_angle_x {angle:g}; expected the angle across the image in radians")
        values["fl_x"] = 0.5 * width / math.tan(0.5 * angle)
        values |= {"w": width, "h": height, "cx": width / 2, "cy": height / 2}
    if "fl_x" not in values:
        raise BadInput(f"{where}: no intrinsics (fl_x, fl_y, cx, cy, w, h); add them, or give --intrinsics fx,fy,cx,cy")
    values.setdefault("fl_y", values["fl_x"])
    if {"w", "h"} <= values.keys():
        values.setdefault("cx", values["w"] / 2)
        values.setdefault("cy", values["h"] / 2)
    for key in {"cx", "cy"} & values.keys():
        values[key] -= 0.5
    if reading.rectified:
        values = {key: value for key, value in values.items() if key[0] not in "kp"}
    return of_mapping(values, where, reading.rectified)
