"""The intrinsics of a camera from any file people have: numbers, matrices, OpenCV's and ROS's YAML, JSON."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wsss_ros.files import decode, parse_json, parse_yaml
from wsss_ros.geometry.camera_models import Calibration, camera_of, centre_of_other_axes
from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput, Camera, Distortion

_EXPECTED = (
    "fx fy cx cy, a 3x3 or 4x4 matrix, or a mapping (JSON, YAML) with fx, fy, cx, cy or a camera matrix, in pixels"
)
_FOCAL = (
    *(("fx", "fy", "cx", "cy"), ("fl_x", "fl_y", "cx", "cy"), ("focal_x", "focal_y", "center_x", "center_y")),
    ("fx", "fy", "ppx", "ppy"),  # librealsense
)
_MATRICES = ("camera_matrix", "intrinsic_matrix", "K", "k", "intrinsic", "intrinsics", "matrix", "M1", "KR", "KL")
_SIZES = (("width", "height"), ("w", "h"), ("W", "H"), ("image_width", "image_height"), ("cols", "rows"))
_PAIRS = ("resolution", "image_size", "imageSize", "size")
_SCALES = ("depth_scale", "png_depth_scale", "DepthMapFactor", "depth_shift", "scale")  # "scale": Replica's
_COEFFICIENTS = ("distortion_coefficients", "dist_coeffs", "distortion_coeffs", "D", "d", "coeffs")
_RELATIVE = 5.0  # all four numbers are smaller where they are relative to the size of the images
_MIDDLE = (0.3, 0.7)  # where the principal point of most cameras is, of width and height
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class Intrinsics:
    """Focal lengths and centre (pixels) of images of ``size`` (width, height), None if the file does not say it."""

    fx: float
    fy: float
    cx: float
    cy: float
    source: str
    size: tuple[int, int] | None = None
    distortion: Distortion | None = None
    depth_scale: float | None = None

    def camera(self, width: int, height: int) -> Camera:
        """The camera of images of this size; scaled if the intrinsics are for another size that is known.

        Raises BadInput for a size of other proportions (a crop), and for a centre outside of the images.
        """
        values = (self.fx, self.fy, self.cx, self.cy)
        if self.size is None or self.size == (width, height):
            self._check_centre(width, height)
            return Camera(*values, width, height, self.distortion)
        own_width, own_height = self.size
        if abs(own_width * height - own_height * width) > 0.01 * own_width * height:
            raise BadInput(
                f"{self.source}: for {own_width}x{own_height} images, and these are {width}x{height}: other "
                "proportions, so they were cropped; expected the intrinsics of these images"
            )
        self._check_centre(own_width, own_height)
        _log.info("%s: scaled from %dx%d to %dx%d images", self.source, own_width, own_height, width, height)
        return Camera(*values, own_width, own_height, self.distortion).resized(width, height)

    def _check_centre(self, width: int, height: int) -> None:
        across, down = self.cx / width, self.cy / height
        if max(self.fx, self.cx, self.fy, self.cy) < _RELATIVE and width > 2 * _RELATIVE:
            pixels = f"{self.fx * width:.6g},{self.fy * height:.6g},{self.cx * width:.6g},{self.cy * height:.6g}"
            raise BadInput(
                f"{self.source}: {self.fx:g} {self.fy:g} {self.cx:g} {self.cy:g} are no pixels of {width}x{height} "
                f"images; relative to width and height they are {pixels}: give these"
            )
        if self.cx >= width or self.cy >= height:
            raise BadInput(
                f"{self.source}: centre ({self.cx:g}, {self.cy:g}) is outside the {width}x{height} images; expected "
                "intrinsics of images of this size, or size: the width and height that they are for"
            )
        if other := centre_of_other_axes(Camera(self.fx, self.fy, self.cx, self.cy, width, height)):
            _log.warning("%s: %s", self.source, other)
        elif not (_MIDDLE[0] < across < _MIDDLE[1] and _MIDDLE[0] < down < _MIDDLE[1]):
            _log.warning(
                "%s: centre (%g, %g) is far from the middle of the %dx%d images; if the intrinsics are for another "
                "size, give it (size: width and height)", self.source, self.cx, self.cy, width, height,
            )  # fmt: skip


def parse_intrinsics(text: str, source: str = "intrinsics") -> Intrinsics:
    """Intrinsics from numbers as text: 'fx fy cx cy', or the rows of a 3x3, 3x4 or 4x4 matrix, or 'w h fx fy cx cy'.

    Raises BadInput that names the ``source``.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    words = re.sub(r"[\[\](),;]", " ", "\n".join(lines)).split()
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise BadInput(f"{source}: {error}; expected {_EXPECTED}") from error
    if len(values) == 6:
        return _checked(values[2:], source, _size({"width": values[0], "height": values[1]}, source))
    if len(values) == 4:
        return _checked(values, source)
    return _of_matrix(values, source)


def read_intrinsics_file(path: Path, rectified: bool = False) -> Intrinsics:
    """Read a file with intrinsics of any kind. Raises BadInput naming the file.

    With ``rectified`` the images have no distortion: that of the file is left out, and ROS's projection matrix is used.
    """
    text = decode(read_bytes(path, _EXPECTED))
    try:
        mapping = _mapping(path, text)
    except ValueError as error:
        raise BadInput(f"{path}: {' '.join(str(error).split())}; expected {_EXPECTED}") from error
    if isinstance(mapping, list):
        mapping = {"matrix": mapping}
    if not isinstance(mapping, dict):
        return parse_intrinsics(text, str(path))
    found = of_mapping(mapping, str(path), rectified)
    return replace(found, distortion=None) if rectified else found


def _mapping(path: Path, text: str) -> Any:
    """The content of JSON, YAML, and 'key = value' lines; other text stays text."""
    if path.suffix.lower() == ".json":
        return parse_json(text)
    if re.search(r"[A-Za-z_]\w*\s*[:=]", text) is None:
        return text
    # OpenCV writes '%YAML:1.0', which is not YAML, and a tag of its own.
    lines = ["" if line.startswith("%YAML") else line for line in text.splitlines()]
    plain = re.sub(r"!!opencv-matrix", "", "\n".join(lines))
    if ":" not in plain:
        plain = plain.replace("=", ": ")
    return parse_yaml(plain)


def of_mapping(mapping: dict, source: str, rectified: bool = False) -> Intrinsics:
    """Intrinsics from a mapping, or from the one camera inside it. Raises BadInput that names the ``source``."""
    mapping = _without_prefix(mapping)
    own = _of_keys(mapping, source, rectified)
    inner = [(key, value) for key, value in mapping.items() if isinstance(value, dict) and key not in _MATRICES]
    if own is None:
        found = [(key, _of_keys(_without_prefix(value), f"{source}, {key}", rectified)) for key, value in inner]
        cameras = [(key, camera) for key, camera in found if camera is not None]
        if len(cameras) != 1:
            names = ", ".join(str(key) for key, _ in cameras) or ", ".join(map(str, list(mapping)[:8])) or "nothing"
            count = f"{len(cameras)} cameras ({names})" if cameras else f"no camera in {names}"
            raise BadInput(f"{source}: {count}; expected {_EXPECTED}")
        own = cameras[0][1]
    scales = [part[name] for part in (mapping, *(value for _, value in inner)) for name in _SCALES if name in part]
    return replace(own, depth_scale=own.depth_scale or _scale(scales, source))


def _without_prefix(mapping: dict) -> dict:
    """ORB-SLAM writes 'Camera.fx' or 'Camera1.fx' for 'fx'."""
    return {re.sub(r"^Camera1?\.", "", str(key)): value for key, value in mapping.items()}


def _of_keys(mapping: dict, source: str, rectified: bool) -> Intrinsics | None:
    """The intrinsics that the keys of a mapping give; None if they give none."""
    size = _size(mapping, source)
    if "projection_matrix" in mapping and "camera_matrix" in mapping and size is not None:
        return _of_camera_info(mapping, source, size, rectified)
    distortion = _distortion(mapping, source)
    for names in _FOCAL:
        if all(name in mapping for name in names):
            return _checked(_each([mapping[name] for name in names], source), source, size, distortion)
    for name in _MATRICES:
        value = mapping.get(name)
        value = value.get("data") if isinstance(value, dict) and "data" in value else value
        if isinstance(value, dict) and name in ("intrinsic", "intrinsics"):
            inner = _of_keys(value, source, rectified)
            return None if inner is None else replace(inner, size=inner.size or size)
        if isinstance(value, list):
            values = _numbers(value, source)
            found = _checked(values, source) if len(values) == 4 else _of_matrix(values, source)
            return replace(found, size=size, distortion=distortion)
    return None


def _of_camera_info(mapping: dict, source: str, size: tuple[int, int], rectified: bool) -> Intrinsics:
    """A file of ROS's camera_info: matrices K, D, R and P, each as 'data'."""
    parts = {
        name: tuple(_numbers(value.get("data", []) if isinstance(value, dict) else value, source))
        for name in ("camera_matrix", "distortion_coefficients", "rectification_matrix", "projection_matrix")
        if (value := mapping.get(name)) is not None
    }
    d = parts.get("distortion_coefficients", ())
    model = str(mapping.get("distortion_model") or "plumb_bob")
    r = parts.get("rectification_matrix") or Calibration.r
    calibration = Calibration(*size, parts["camera_matrix"], d, model, r, parts["projection_matrix"])
    if len(calibration.k) != 9 or len(calibration.p) != 12:
        raise BadInput(f"{source}: {len(calibration.k)} and {len(calibration.p)} numbers; expected 9 of K and 12 of P")
    camera = camera_of(calibration, rectified)
    return _checked((camera.fx, camera.fy, camera.cx, camera.cy), source, size, camera.distortion)


def _of_matrix(values: list[float], source: str) -> Intrinsics:
    """Intrinsics from a 3x3, 3x4 or 4x4 matrix by rows, or by columns as Open3D writes it."""
    shapes = {9: (3, 3), 12: (3, 4), 16: (4, 4)}
    if len(values) not in shapes:
        raise BadInput(f"{source}: {len(values)} words; expected a matrix of 9 or 16 numbers, or fx fy cx cy")
    k = np.reshape(values, shapes[len(values)])
    if k.shape[0] == k.shape[1] and not k[:2, 2].any() and k[2, :2].any():
        k = k.T
    if abs(k[0, 1]) > 1e-3 * abs(k[0, 0]) > 0 or k[1, 0] or k[2, 0] or k[2, 1]:
        raise BadInput(
            f"{source}: {k[:3, :3].tolist()} has skew or is not a camera matrix; expected fx 0 cx, 0 fy cy, 0 0 1"
        )
    return _checked([float(k[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))], source)


def _checked(
    values: Sequence[float], source: str, size: tuple[int, int] | None = None, distortion: Distortion | None = None
) -> Intrinsics:
    """Intrinsics from fx, fy, cx, cy. Raises BadInput for values that no camera has."""
    fx, fy, cx, cy = values
    if not (np.isfinite([fx, fy, cx, cy]).all() and min(fx, fy, cx, cy) > 0):
        got = f"fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g}"
        flipped = "; a negative fy is for images stored from the bottom up: give it as positive" if fy < 0 < fx else ""
        raise BadInput(f"{source}: {got} is not a camera; expected positive numbers of pixels{flipped}")
    return Intrinsics(fx, fy, cx, cy, source, size, distortion)


def _flat(value: Any) -> Iterator[Any]:
    for part in value if isinstance(value, list | tuple) else [value]:
        if isinstance(part, list | tuple):
            yield from _flat(part)
        else:
            yield part


def _numbers(value: Any, source: str) -> list[float]:
    try:
        return [float(part) for part in _flat(value)]
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{source}: {value!r}; expected numbers") from error


def _each(values: list[Any], source: str) -> list[float]:
    """The numbers of values of which each is one number."""
    if any(isinstance(value, list | tuple) for value in values):
        raise BadInput(f"{source}: {values!r}; expected one number each")
    return _numbers(values, source)


def _size(mapping: dict, source: str) -> tuple[int, int] | None:
    for names in _SIZES:
        if all(name in mapping for name in names):
            width, height = _each([mapping[name] for name in names], source)
            break
    else:
        pairs = [_numbers(mapping[name], source) for name in _PAIRS if name in mapping]
        if not pairs or len(pairs[0]) != 2:
            return None
        width, height = pairs[0]
    if not (0 < width < 1 << 16 and 0 < height < 1 << 16):
        raise BadInput(f"{source}: size {width:g}x{height:g}; expected width and height in pixels")
    return int(width), int(height)


def _distortion(mapping: dict, source: str) -> Distortion | None:
    """The distortion that the keys give; None without one or with zeros only."""
    for name in _COEFFICIENTS:
        if name in mapping:
            value = mapping[name]
            values = _numbers(value.get("data", []) if isinstance(value, dict) else value, source)
            break
    else:
        values = _each([mapping.get(name, 0.0) for name in ("k1", "k2", "p1", "p2", "k3")], source)
        if not values[4]:
            values = values[:4]
    if not any(values):
        return None
    model = str(mapping.get("distortion_model") or mapping.get("camera_model") or "").lower()
    if "equi" in model or "fisheye" in model:
        fisheye = values if any(name in mapping for name in _COEFFICIENTS) else _fisheye(mapping, source)
        return Distortion("equidistant", tuple(fisheye[:4]))
    return Distortion("polynomial", tuple(values))


def _fisheye(mapping: dict, source: str) -> list[float]:
    return _each([mapping.get(name, 0.0) for name in ("k1", "k2", "k3", "k4")], source)


def _scale(values: list[Any], source: str) -> float | None:
    """The depth scale of a file, in values per metre."""
    if not values:
        return None
    (scale,) = _each(values[:1], source)
    if not (np.isfinite(scale) and scale > 0):
        raise BadInput(f"{source}: depth scale {scale:g}; expected the depth values per metre, such as 1000")
    if scale < 1:
        raise BadInput(
            f"{source}: depth scale {scale:g} is metres per value; expected values per metre: give depth_scale: "
            f"{1 / scale:g}"
        )
    return scale
