"""Layout ``colmap``: a sparse model of COLMAP, ``cameras`` and ``images`` as ``.txt`` or ``.bin``, with depth images.

https://colmap.github.io/format.html: 'IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME' carries world to camera (x right, y
down, z forward); each is followed by a line of 2D points. Pixels are counted from the corner, so that the first one has
its centre at (0.5, 0.5). ``images/NAME`` has its depth in ``depth/``, with the same name and the extension of its kind.

Of a model in both forms the text is read. The scale is arbitrary unless it was set. Where ``points3D`` is there, its
points are compared with the depth, and a model of another scale is refused, with the ``pose_scale`` to give.
"""

from collections.abc import Iterator
from dataclasses import replace
from os.path import isfile  # no error for a name that no file can have
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64

from wsss_ros.files import decode
from wsss_ros.geometry import check_pose, quaternion_to_matrix
from wsss_ros.scenes import colmap_binary
from wsss_ros.scenes.depth_files import DEPTH_EXTENSIONS, MILLIMETRES, read_depth_m
from wsss_ros.scenes.frame_choice import spread_over
from wsss_ros.scenes.images import image_size, read_bytes
from wsss_ros.scenes.intrinsics import Intrinsics, of_mapping
from wsss_ros.scenes.listing import DEPTH_FOLDERS, Listed, Listing, from_listed, given_intrinsics, to_ours
from wsss_ros.scenes.reading import Reading
from wsss_ros.scenes.trajectories import numbered_rows
from wsss_ros.types import BadInput, Distortion

EXPECTS = "cameras.txt and images.txt, or .bin, here or in sparse/0 (COLMAP)"
_FOLDERS = (".", "sparse/0", "sparse")
_FOCALS = {"SIMPLE_PINHOLE": 1, "PINHOLE": 2, "SIMPLE_RADIAL": 1, "RADIAL": 1, "OPENCV": 2, "FULL_OPENCV": 2}
_FOCALS |= {"OPENCV_FISHEYE": 2}
_LENSES = {"SIMPLE_RADIAL": 1, "RADIAL": 2, "OPENCV": 4, "FULL_OPENCV": 8, "OPENCV_FISHEYE": 4}
_COMPARED = 5  # images whose points are compared with the depth
_FEWEST_POINTS = 20
_SCALE_TOLERANCE = 0.1
_IMAGE = "'IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME'"


def find(folder: Path) -> str:
    """What of this layout a folder has; empty if it does not fit."""
    images = _model(folder)
    return f"{images.relative_to(folder)}" if images else ""


def read(folder: Path, reading: Reading) -> Listing:
    """The frames of a folder. Raises BadInput naming the file."""
    images = _model(folder)
    assert images is not None
    given = given_intrinsics(reading)
    cameras = {} if given else _cameras(images.with_stem("cameras"))
    listed, points = [], {}
    for number, words, seen in colmap_binary.images(images) if _is_binary(images) else _images(images):
        where = _place(images, number)
        if given is None and words[8] not in cameras:
            raise BadInput(f"{where}: camera {words[8]} is not among the cameras; expected one of {', '.join(cameras)}")
        name = " ".join(words[9:]).replace("\\", "/")
        pose = to_ours(_pose(words, where), reading, from_world=True)
        listed.append(Listed(_image(folder, name), _depth(folder, name), pose, given or cameras[words[8]]))
        points[listed[-1].color] = seen
    listing = from_listed(listed, reading, str(images))
    _check_scale(images.with_stem("points3D"), listing, points, reading)
    return listing


def _model(folder: Path) -> Path | None:
    """The file with the images of a model that has cameras as well, or None."""
    for ending in (".txt", ".bin"):
        for name in _FOLDERS:
            path = folder / name / f"images{ending}"
            if path.is_file() and path.with_stem("cameras").is_file():
                return path
    return None


def _is_binary(path: Path) -> bool:
    return path.suffix == ".bin"


def _place(path: Path, number: int) -> str:
    return f"{path}, {'entry' if _is_binary(path) else 'line'} {number}"


def _cameras(path: Path) -> dict[str, Intrinsics]:
    """The cameras by their id. Raises BadInput naming the line or the entry."""
    found = {}
    rows = numbered_rows(path, "lines 'CAMERA_ID MODEL WIDTH HEIGHT PARAMS'")[0] if not _is_binary(path) else None
    for number, words in colmap_binary.cameras(path) if rows is None else rows:
        where = _place(path, number)
        try:
            model, (width, height), values = words[1], map(int, words[2:4]), list(map(float, words[4:]))
            focals, lens = _FOCALS[model], _LENSES.get(model, 0)
            fx, fy, (cx, cy) = values[0], values[focals - 1], values[focals : focals + 2]
            coefficients = values[focals + 2 :]
            if len(coefficients) != lens:
                raise ValueError(f"{len(values)} numbers of {model}")
        except KeyError as error:
            raise BadInput(
                f"{where}: camera model {error}; expected one of {', '.join(_FOCALS)}: undistort it"
            ) from error
        except (ValueError, IndexError) as error:
            raise BadInput(f"{where}: {error}; expected 'CAMERA_ID MODEL WIDTH HEIGHT PARAMS'") from error
        given = {"fx": fx, "fy": fy, "cx": cx - 0.5, "cy": cy - 0.5, "width": width, "height": height}
        found[words[0]] = replace(of_mapping(given, where), distortion=_lens(model, coefficients))
    return found


def _lens(model: str, coefficients: list[float]) -> Distortion | None:
    kind: Literal["polynomial", "equidistant"] = "equidistant" if model == "OPENCV_FISHEYE" else "polynomial"
    if not any(coefficients):
        return None
    values = [*coefficients, 0.0, 0.0] if model in ("SIMPLE_RADIAL", "RADIAL") else coefficients
    return Distortion(kind, tuple([values[0], 0.0, 0.0, 0.0] if model == "SIMPLE_RADIAL" else values))


def _images(path: Path) -> Iterator[tuple[int, list[str], str]]:
    """The words of each image's line with its number, and the line of its 2D points, which may be empty."""
    lines = decode(read_bytes(path, f"lines {_IMAGE}")).splitlines()
    rows = [(number, line) for number, line in enumerate(lines, start=1) if not line.lstrip().startswith("#")]
    at = 0
    while at < len(rows):
        number, line = rows[at]
        words = line.split()
        if not words:
            at += 1
            continue
        if len(words) < 10:
            raise BadInput(f"{path}, line {number}: {len(words)} words; expected {_IMAGE}, then a line of 2D points")
        yield number, words, rows[at + 1][1] if at + 1 < len(rows) else ""
        at += 2


def _pose(words: list[str], where: str) -> Float64[np.ndarray, "4 4"]:
    """camera_from_world of a line."""
    pose = np.eye(4)
    try:
        w, x, y, z, *translation = map(float, words[1:8])
        pose[:3, :3], pose[:3, 3] = quaternion_to_matrix(np.array([x, y, z, w])), translation
        check_pose(pose)
    except ValueError as error:  # BadInput is a ValueError
        raise BadInput(f"{where}: {error}; expected {_IMAGE}") from error
    return pose


def _image(folder: Path, name: str) -> Path:
    return next((path for path in (folder / "images" / name, folder / name) if isfile(path)), folder / "images" / name)


def _depth(folder: Path, name: str) -> Path | None:
    """The depth image of an image, by its name with or without the extension of the image."""
    for place in DEPTH_FOLDERS:
        for stem in (Path(name).with_suffix(""), Path(name)):
            for extension in DEPTH_EXTENSIONS:
                path = folder / place / f"{stem}{extension}"
                if isfile(path):
                    return path
    return None


# --- the scale -------------------------------------------------------------------------------------


def _check_scale(path: Path, listing: Listing, points: dict[Path, str], reading: Reading) -> None:
    """Raises BadInput, with the factor, where the points of the model are not at the depth of the images."""
    if not path.is_file():
        return
    binary = _is_binary(path)
    rows = colmap_binary.points(path) if binary else numbered_rows(path, "lines 'POINT3D_ID X Y Z ...'")[0]
    world = {words[0]: words[1:4] for _, words in rows}
    ratios: list[float] = []
    for file in spread_over(listing.files, _COMPARED):
        try:
            ratios += _ratios(file, points[file.color], world, reading)
        except BadInput:
            raise
        except ValueError as error:
            raise BadInput(f"{path}, points of {file.color.name}: {error}; expected numbers") from error
    if len(ratios) < _FEWEST_POINTS:
        return
    factor = float(np.median(ratios))
    if abs(factor - 1) > _SCALE_TOLERANCE:
        raise BadInput(
            f"{path}: its {len(ratios)} points that were compared are at 1/{factor:.3g} of the depth of the images, so "
            f"poses and depth have different units; give pose_scale: {factor * reading.pose_scale:.4g} if depth is in "
            "metres, or the right depth_scale"
        )


def _ratios(file, seen: str, world: dict[str, list[str]], reading: Reading) -> list[float]:
    """Depth of the image over depth of the model, for the points that a frame sees. Raises ValueError for words."""
    triples = zip(*[iter(seen.split())] * 3, strict=False)
    rows = np.array([[u, v, *world[name]] for u, v, name in triples if name in world], np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)] if len(rows) else rows
    if not len(rows):
        return []
    depth_m = read_depth_m(file.depth, reading.depth_scale, MILLIMETRES)
    width, height = image_size(file.color)
    across, down = depth_m.shape[1] / width, depth_m.shape[0] / height
    camera_from_world = np.linalg.inv(file.pose)
    found = []
    for u, v, *xyz in rows:
        column, row = int(u * across), int(v * down)
        z = camera_from_world[2, :3] @ np.multiply(xyz, reading.pose_scale) + camera_from_world[2, 3]
        if 0 <= column < depth_m.shape[1] and 0 <= row < depth_m.shape[0] and z > 0 and depth_m[row, column] > 0:
            found.append(float(depth_m[row, column] / z))
    return found
