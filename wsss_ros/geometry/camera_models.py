"""The camera of an image from a sensor_msgs/CameraInfo, as REP-104 defines it, and what is odd about a calibration.

Without ROS: a ``Calibration`` has the fields of the message. Raw images have the matrix K and the distortion D;
rectified images (topics ``image_rect*``) have the matrix P and no distortion.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from wsss_ros.geometry.distortion import MOST_COEFFICIENTS, undistort
from wsss_ros.types import BadInput, Camera, Distortion

# The first names are those of ROS; drivers and calibrators (Kalibr, librealsense) also write the others.
_POLYNOMIAL = ("plumb_bob", "rational_polynomial", "radtan", "brown_conrady")
_EQUIDISTANT = ("equidistant", "fisheye", "kannala_brandt", "kannala_brandt4")
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
Region = tuple[int, int, int, int]  # x_offset, y_offset, width, height, in pixels of the full image
MOST_STRETCH = 1.1  # pixels of real cameras are square within a few per cent
WIDEST_DEG, NARROWEST_DEG = 170.0, 1.0  # fields of view of real lenses without a fisheye model
MOST_SKEW = 1.0  # of K, in pixels; axes of real sensors are square
LEAST_SHOWN = {"polynomial": 0.9, "equidistant": 0.5}  # of the pixels; the circle of a fisheye leaves the corners
MOST_BENT = 2.0  # a lens model moves the border of the picture by less than this factor
_LEAST_TOLERANCE = 0.04  # of the middle of the picture, from which exchanged centres are told from off-centre ones


@dataclass(frozen=True)
class Calibration:
    """The fields of a sensor_msgs/CameraInfo. ``roi`` is x_offset, y_offset, width, height; all 0: the full image.

    ``width`` and ``height`` are those of the calibrated, full image. The picture has the size of the region of
    interest, or of the full image, divided by the binning.
    """

    width: int
    height: int
    k: tuple[float, ...]
    d: tuple[float, ...] = ()
    model: str = "plumb_bob"
    r: tuple[float, ...] = _IDENTITY
    p: tuple[float, ...] = (0.0,) * 12
    binning_x: int = 0
    binning_y: int = 0
    roi: Region = (0, 0, 0, 0)
    do_rectify: bool = False

    @property
    def binning(self) -> tuple[int, int]:
        """How many pixels of a row and of a column make one pixel of the picture."""
        return self.binning_x or 1, self.binning_y or 1

    @property
    def region(self) -> Region:
        """The region of interest, the full image by default."""
        x, y, width, height = self.roi
        return x, y, width or self.width - x, height or self.height - y

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return self.region[2] // self.binning[0], self.region[3] // self.binning[1]

    @property
    def is_distorted(self) -> bool:
        """Whether raw pictures have distortion."""
        return any(abs(value) > 1e-9 for value in self.d)


def is_rectified_topic(topic: str) -> bool:
    """Whether a topic has rectified images, by its name: ``image_rect``, ``image_rect_color``, ``color/rect/image``."""
    return any(part == "rect" or part.startswith("image_rect") for part in topic.split("/"))


@lru_cache(maxsize=32)
def camera_of(calibration: Calibration, rectified: bool = False, size: tuple[int, int] | None = None) -> Camera:
    """The camera of a picture.

    The principal point moves with the region of interest, then all is divided by the binning, as image_geometry does.
    Without a name of the distortion model its coefficients are those of OpenCV's polynomial. Another unknown model is
    left out. A K that was never set (the identity) leaves P. ``findings`` reports all three.

    Args:
        calibration: of the camera.
        rectified: the picture is rectified: P instead of K and D.
        size: width and height of the picture.

    Raises:
        BadInput: an uncalibrated camera (K[0] = 0), values that are not finite, or a picture of another size.
    """
    rectified = rectified or _has_p_only(calibration)
    _check_calibrated(calibration, rectified)
    region = _region(calibration, rectified, size)
    across, down = calibration.binning
    picture = region[2] // across, region[3] // down
    if size not in (None, picture):
        raise _other_size(calibration, picture, size)
    fx, fy, cx, cy = _intrinsics(calibration, rectified)
    distortion = None if rectified else distortion_of(calibration)
    return Camera(fx / across, fy / down, (cx - region[0]) / across, (cy - region[1]) / down, *picture, distortion)


def distortion_of(calibration: Calibration) -> Distortion | None:
    """The distortion of raw pictures; None without one, and for a model that is not known."""
    model = _model(calibration)
    if not model or not calibration.is_distorted:
        return None
    return Distortion(model, calibration.d[: MOST_COEFFICIENTS[model]])


def distortion_fields(distortion: Distortion | None) -> tuple[str, tuple[float, ...]]:
    """The fields distortion_model and D of a CameraInfo: the inverse of ``distortion_of``."""
    given = () if distortion is None else distortion.coefficients
    fisheye = distortion is not None and distortion.model == "equidistant"
    count = 4 if fisheye else next(count for count in (5, 8, 12, 14) if count >= len(given))
    model = "equidistant" if fisheye else "plumb_bob" if count == 5 else "rational_polynomial"
    return model, (*given, *(0.0,) * (count - len(given)))


def findings(calibration: Calibration, rectified: bool = False) -> list[str]:
    """What is odd about a calibration, one sentence each with its numbers and what to do; nothing where all is well.

    Raises:
        BadInput: as ``camera_of``.
    """
    camera = camera_of(calibration, rectified)
    p_only = not rectified and _has_p_only(calibration)
    fx, fy, _, _ = _intrinsics(calibration, rectified or p_only)
    found = []
    if max(fx / fy, fy / fx) > MOST_STRETCH:
        found.append(
            f"camera_info: fx {fx:.1f} is far from fy {fy:.1f}; was the image stretched after the calibration? "
            "Calibrate at the size of the image"
        )
    if not (-0.5 <= camera.cx <= camera.width - 0.5 and -0.5 <= camera.cy <= camera.height - 0.5):
        found.append(
            f"camera_info: the principal point {camera.cx:.1f}, {camera.cy:.1f} is outside the picture of "
            f"{camera.width} x {camera.height}; is it the calibration of another size or region of interest?"
        )
    if other := centre_of_other_axes(camera):
        found.append(f"camera_info: {other}")
    if p_only:
        text = "camera_info: K is the identity, so it was never set; P is used, as if the images were rectified: "
        return [*found, text + "is that so?"]
    found += _findings_of_p(calibration) if rectified else _findings_of_d(calibration)
    return found + _findings_of_lens(camera)


def frame_finding(info_frame: str, image_frame: str) -> str:
    """What is odd where a camera_info is in another frame than its images, or "". An empty frame is unknown."""
    info_frame, image_frame = info_frame.removeprefix("/"), image_frame.removeprefix("/")
    if not info_frame or not image_frame or info_frame == image_frame:
        return ""
    return (
        f"camera_info frame: got '{info_frame}' for images in '{image_frame}'; is it the calibration of another "
        "camera? Name the camera_info published with these images"
    )


def centre_of_other_axes(camera: Camera) -> str:
    """The doubt about a principal point that is near the middle of the picture if cx and cy are exchanged, else empty.

    Pictures whose width and height are nearly the same do not show it.
    """
    cx, cy, middle = camera.cx, camera.cy, ((camera.width - 1) / 2, (camera.height - 1) / 2)
    tolerance = abs(middle[0] - middle[1]) / 2
    if max(abs(cx - middle[1]), abs(cy - middle[0])) >= tolerance or tolerance < _LEAST_TOLERANCE * max(middle):
        return ""
    return (
        f"the principal point cx {cx:g}, cy {cy:g} is far from the middle of the {camera.width}x{camera.height} "
        f"picture, and near it as cx {cy:g}, cy {cx:g}: exchange the two, and fx and fy too if the pictures were turned"
    )


def _findings_of_p(calibration: Calibration) -> list[str]:
    fx, tx = calibration.p[0], calibration.p[3]
    if fx <= 0:
        return ["camera_info: P is empty although the images are rectified (image_rect); K is used in its place"]
    if abs(tx / fx) > 1e-6:
        return [
            f"camera_info: P has Tx = {tx:.2f}, a second camera of a stereo pair, {abs(tx / fx):.3f} m from the first; "
            "its points are right only if its frame_id is its own optical frame"
        ]
    return []


def _findings_of_d(calibration: Calibration) -> list[str]:
    found = []
    if calibration.is_distorted and not _model(calibration):
        model, count = calibration.model, len(calibration.d)
        known = ", ".join((*_POLYNOMIAL, _EQUIDISTANT[0]))
        found.append(
            f"camera_info: distortion_model '{model}' with {count} coefficients is not known and is ignored; expected "
            f"{known} (at most 14, 14, 4 coefficients), or give rectified images"
        )
    elif calibration.is_distorted and not calibration.model:
        found.append(
            f"camera_info: distortion_model is empty, with {len(calibration.d)} coefficients; they are read as those "
            "of plumb_bob or rational_polynomial: name the model in the driver"
        )
    if calibration.d and not calibration.is_distorted and _model(calibration) == "equidistant":
        found.append(
            f"camera_info: distortion_model '{calibration.model}' with D all 0 is read as no distortion, as image_proc "
            "reads it; a real fisheye needs its calibration"
        )
    if abs(calibration.k[1]) > MOST_SKEW:
        found.append(f"camera_info: the skew K[1] = {calibration.k[1]:.2f} is ignored, as REP-104 has none")
    if _turn_deg(calibration) > 0.1:
        found.append(
            f"camera_info: R turns by {_turn_deg(calibration):.1f} degrees, a stereo pair; raw images are used without "
            "R: the frame_id must be the optical frame of the camera itself"
        )
    return found


def _findings_of_lens(camera: Camera) -> list[str]:
    """Whether the numbers can be those of the lens: its field of view, what it shows, and how far it moves pixels."""
    lens, degrees = camera.distortion, 2 * math.degrees(math.atan(camera.width / 2 / camera.fx))
    fisheye = lens is not None and lens.model == "equidistant"
    if not fisheye and not NARROWEST_DEG < degrees < WIDEST_DEG:
        return [
            f"camera_info: fx {camera.fx:.4g} for a picture of {camera.width} pixels is a field of view of "
            f"{degrees:.1f} degrees; is it in pixels, and of this camera?"
        ]
    if lens is None:
        return []
    shown, bent = _lens_at_pixels(camera)
    advice = f"D = {[float(f'{value:.4g}') for value in lens.coefficients]}; is its order k1 k2 p1 p2 k3, of this lens?"
    if shown < LEAST_SHOWN[lens.model]:
        return [f"camera_info: at {100 * (1 - shown):.0f} % of the pixels the lens shows nothing, by {advice}"]
    if not fisheye and not 1 / MOST_BENT < bent < MOST_BENT:
        return [f"camera_info: the lens moves the border of the picture by a factor of {bent:.2g}, by {advice}"]
    return []


def _lens_at_pixels(camera: Camera) -> tuple[float, float]:
    """The share of the pixels that show something, and by how much the lens moves the border of the picture."""
    u, v = (np.linspace(0, side - 1, 33) for side in (camera.width, camera.height))
    plane = np.stack(np.meshgrid((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy), axis=-1)
    seen = undistort(camera.distortion, plane.reshape(-1, 2)).reshape(plane.shape)
    at, before = (np.concatenate([grid[0], grid[-1], grid[:, 0], grid[:, -1]]) for grid in (seen, plane))
    ratio = np.linalg.norm(at, axis=1) / np.linalg.norm(before, axis=1).clip(1e-9)
    known = ratio[np.isfinite(ratio)]
    return float(np.isfinite(seen[..., 0]).mean()), float(np.median(known)) if len(known) else 1.0


def _model(calibration: Calibration) -> Literal["polynomial", "equidistant"] | None:
    """The model in ``Distortion``; None for one that is not known. Zeros behind its coefficients do not count."""
    name = calibration.model.lower().replace("-", "_").replace(" ", "_")
    model: Literal["polynomial", "equidistant"] = "equidistant" if name in _EQUIDISTANT else "polynomial"
    if name and name not in _POLYNOMIAL + _EQUIDISTANT:
        return None
    return None if any(calibration.d[MOST_COEFFICIENTS[model] :]) else model


def _has_p_only(calibration: Calibration) -> bool:
    """Whether K was never set (the identity) and P was: drivers of rectified images leave K so."""
    return tuple(calibration.k) == _IDENTITY and calibration.p[0] > 1


def _turn_deg(calibration: Calibration) -> float:
    return math.degrees(math.acos(min(1.0, max(-1.0, (np.trace(_turn(calibration)) - 1) / 2))))


def _intrinsics(calibration: Calibration, rectified: bool) -> tuple[float, float, float, float]:
    """The focal lengths and the centre of the full image: fx fy cx cy."""
    k, p = calibration.k, calibration.p
    if rectified and p[0] > 0:
        return p[0], p[5], p[2], p[6]
    return k[0], k[4], k[2], k[5]


def _check_calibrated(calibration: Calibration, rectified: bool) -> None:
    """Raises BadInput unless what the images need is there: P, or K where P is empty, else K and D."""
    fx, fy, cx, cy = _intrinsics(calibration, rectified)
    if not np.isfinite((fx, fy, cx, cy)).all() or fx <= 0 or fy <= 0:
        raise BadInput(f"camera_info uncalibrated: fx {fx}, fy {fy}, cx {cx}, cy {cy}; calibrate the camera")
    if (fx, fy, cx, cy) == (1, 1, 0, 0):
        raise BadInput("camera_info uncalibrated: K is the identity, and P is not set; calibrate the camera")
    if calibration.width <= 0 or calibration.height <= 0:
        raise BadInput(f"camera_info size: {calibration.width} x {calibration.height} pixels; calibrate the camera")
    if not rectified and not np.isfinite(calibration.d).all():
        raise BadInput(f"camera_info uncalibrated: distortion D = {list(calibration.d)}; calibrate the camera")


def _region(calibration: Calibration, rectified: bool, size: tuple[int, int] | None) -> Region:
    """The part of the full image that the picture shows.

    A rectified picture of a region may have the size of the region, as image_proc makes it, or that of the region's
    rectified part, as REP-104 describes it; its size decides.
    """
    region, (across, down) = calibration.region, calibration.binning
    if size is None or not (rectified and calibration.do_rectify) or size == calibration.picture_size:
        return region
    inside = rectified_region(calibration)
    return inside if size == (inside[2] // across, inside[3] // down) else region


def rectified_region(calibration: Calibration) -> Region:
    """The largest upright rectangle of the rectified image that the region of interest fills (REP-104)."""
    x, y, width, height = calibration.region
    edge = {
        "left": np.array([(x, v) for v in range(y, y + height)]),
        "right": np.array([(x + width - 1, v) for v in range(y, y + height)]),
        "top": np.array([(u, y) for u in range(x, x + width)]),
        "bottom": np.array([(u, y + height - 1) for u in range(x, x + width)]),
    }
    shown = {side: _rectify_pixels(calibration, pixels) for side, pixels in edge.items()}
    left, top = math.ceil(shown["left"][:, 0].max()), math.ceil(shown["top"][:, 1].max())
    right, bottom = math.floor(shown["right"][:, 0].min()), math.floor(shown["bottom"][:, 1].min())
    return left, top, max(right - left + 1, 0), max(bottom - top + 1, 0)


def _rectify_pixels(calibration: Calibration, pixels: np.ndarray) -> np.ndarray:
    """Where pixels of the full raw image are in the full rectified image."""
    k, (fx, fy, cx, cy) = calibration.k, _intrinsics(calibration, rectified=True)
    plane = undistort(distortion_of(calibration), (pixels - (k[2], k[5])) / (k[0], k[4]))
    turned = np.column_stack([plane, np.ones(len(plane))]) @ _turn(calibration).T
    return turned[:, :2] / turned[:, 2:] * (fx, fy) + (cx, cy)


def _turn(calibration: Calibration) -> np.ndarray:
    return np.reshape(calibration.r, (3, 3)) if any(calibration.r) else np.eye(3)


def _other_size(calibration: Calibration, picture: tuple[int, int], size: tuple[int, int]) -> BadInput:
    about = f"{calibration.width} x {calibration.height}"
    if any(calibration.roi):
        about += f", region of interest {calibration.region}"
    if calibration.binning != (1, 1):
        about += f", binning {calibration.binning}"
    if picture != (calibration.width, calibration.height):
        about += f", so pictures of {picture[0]} x {picture[1]},"
    return BadInput(
        f"camera_info size: {about} for an image of {size[0]} x {size[1]}; remap color/camera_info to the one "
        "published with this image"
    )


class CalibrationHistory:
    """The calibration of each time, from a camera_info that is a stream, published once, latched or never restamped.

    A calibration holds from its stamp until the next different one. A stamp of 0, or one that does not grow from one
    calibration to the next, says nothing about time: then the newest calibration holds for every view.
    """

    def __init__(self) -> None:
        self._since: list[tuple[int, Calibration]] = []

    def add(self, stamp_ns: int, calibration: Calibration) -> bool:
        """Take a calibration. Returns whether it differs from the one before it."""
        if self._since and self._since[-1][1] == calibration:
            return False
        if stamp_ns <= 0 or (self._since and stamp_ns <= self._since[-1][0]):
            self._since = []
        self._since = [*self._since[-7:], (stamp_ns, calibration)]
        return True

    def clear(self) -> None:
        """Forget all calibrations."""
        self._since = []

    def at(self, stamp_ns: int) -> Calibration | None:
        """The calibration of a view with this stamp; None before the first calibration has come."""
        held = [calibration for since, calibration in self._since if since <= stamp_ns]
        return held[-1] if held else self._since[0][1] if self._since else None
