"""The distortion of lenses, as OpenCV defines it: to distort, to undistort, and the ray of each pixel.

Points are on the plane at depth 1: ``x`` to the right, ``y`` down. NaN marks a point that the lens does not show, and a
pixel that shows no such point.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Float64

from wsss_ros.geometry.compiled import compiled, inlined, readonly
from wsss_ros.types import BadInput, Camera, Distortion

NONE, POLYNOMIAL, EQUIDISTANT = 0, 1, 2  # kinds of lenses, for the kernels
MOST_COEFFICIENTS = {"polynomial": 14, "equidistant": 4}
_WIDEST = math.radians(89.9)  # from the optical axis; points of other directions are not in front of the camera
_SAMPLES = 2048
# arctan(r) / r as a polynomial of r², up to r = tan(22.5 degrees): fitted at Chebyshev points, within 7e-16.
_ARCTAN = (
    1.0,
    -0.3333333333332875,
    0.19999999999049356,
    -0.14285714201414504,
    0.1111110711987844,
    -0.0909079649158992,
    0.07690298579259051,
    -0.0664332625684885,
    0.05704899031264667,
    -0.04396679592900985,
    0.021738808939699105,
)
_LEVEL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class Lens(NamedTuple):
    """A distortion, ready for the kernels.

    ``limit`` is the radius (polynomial) or angle (equidistant) up to which the distorted radius grows. Farther points
    would be drawn on top of nearer ones: the formulas do not describe the lens there. ``tilt`` is the homography of a
    tilted sensor.
    """

    kind: int
    coefficients: tuple[float, ...]  # 14; a tuple, which the kernels keep in registers
    limit: float
    tilt: tuple[float, ...]  # 9, row by row


@lru_cache(maxsize=32)
def lens_of(distortion: Distortion | None) -> Lens:
    """The lens of a distortion; None is a lens that does not distort.

    Raises:
        BadInput: an unknown model, more coefficients than it has, or values that are not finite.
    """
    if distortion is None:
        return Lens(NONE, (0.0,) * 14, math.inf, _LEVEL)
    given, most = distortion.coefficients, MOST_COEFFICIENTS.get(distortion.model, 0)
    if len(given) > most or not np.isfinite(given).all():
        raise BadInput(
            f"distortion '{distortion.model}' with coefficients {list(given)}; expected finite numbers, polynomial: at "
            "most 14, equidistant: at most 4"
        )
    padded = (*map(float, given), *(0.0,) * (14 - len(given)))
    if distortion.model == "equidistant":
        return Lens(EQUIDISTANT, padded, _angle_limit(padded), _LEVEL)
    return Lens(POLYNOMIAL, padded, _radius_limit(padded), _tilt(*padded[12:]))


def distort(distortion: Distortion | None, points: Float[np.ndarray, "N 2"]) -> Float64[np.ndarray, "N 2"]:
    """Where a lens shows points: OpenCV's ``projectPoints`` and ``fisheye::projectPoints`` with the identity as camera.

    A point beyond the ``Lens.limit`` gives NaN.
    """
    if distortion is None:
        return points.astype(np.float64)
    lens = lens_of(distortion)
    found = np.empty((len(points), 2))
    _distort(readonly(points.astype(np.float64)), *lens, found)
    return found


def undistort(distortion: Distortion | None, points: Float[np.ndarray, "N 2"]) -> Float64[np.ndarray, "N 2"]:
    """The points that a lens shows at ``points``: the inverse of ``distort``, to about 1e-12.

    A position at which the lens shows no point gives NaN.
    """
    if distortion is None:
        return points.astype(np.float64)
    lens = lens_of(distortion)
    seen = _untilted(lens, points.astype(np.float64))
    distance = np.hypot(seen[:, 0], seen[:, 1])
    angle, curve = _curve(lens, float(np.nanmax(distance, initial=0)))
    start = np.interp(distance, curve, angle)
    found = np.empty((len(points), 2))
    solve = _undistort_polynomial if lens.kind == POLYNOMIAL else _undistort_equidistant
    solve(readonly(seen), readonly(start), lens.coefficients, lens.limit, found)
    return found


@lru_cache(maxsize=8)
def rays(camera: Camera) -> Float64[np.ndarray, "H W 2"]:
    """The point at depth 1 that each pixel shows, as a read-only table. It is kept for the next call.

    A pixel of depth z shows the point ``(x z, y z, z)`` of the camera frame. NaN where the lens shows nothing.
    """
    v, u = np.mgrid[: camera.height, : camera.width]
    plane = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy], axis=-1)
    table = undistort(camera.distortion, plane.reshape(-1, 2)).reshape(plane.shape)
    return readonly(table)


# --- lenses ----------------------------------------------------------------------------------------


def _tilt(tau_x: float, tau_y: float) -> tuple[float, ...]:
    """The homography of a sensor that is turned about x and y (OpenCV's Scheimpflug model)."""
    cx, sx, cy, sy = math.cos(tau_x), math.sin(tau_x), math.cos(tau_y), math.sin(tau_y)
    turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    onto = np.array([[turn[2, 2], 0, -turn[0, 2]], [0, turn[2, 2], -turn[1, 2]], [0, 0, 1]])
    return tuple((onto @ turn).ravel().tolist())


def _untilted(lens: Lens, points: np.ndarray) -> np.ndarray:
    if lens.tilt == _LEVEL:
        return points
    back = np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(np.reshape(lens.tilt, (3, 3))).T
    return back[:, :2] / back[:, 2:]


def _radius_limit(c: tuple[float, ...]) -> float:
    """The radius at which the distorted radius ``r N(r²) / D(r²)`` stops growing, or D becomes 0."""
    above, below = np.polynomial.Polynomial([1, c[0], c[1], c[4]]), np.polynomial.Polynomial([1, c[5], c[6], c[7]])
    square = np.polynomial.Polynomial([0, 1])
    slope = above * below + 2 * square * (above.deriv() * below - above * below.deriv())
    return math.sqrt(min(_first_root(slope), _first_root(below)))


def _angle_limit(c: tuple[float, ...]) -> float:
    """The angle from the optical axis at which the distorted radius of the fisheye stops growing."""
    slope = np.polynomial.Polynomial([1, 3 * c[0], 5 * c[1], 7 * c[2], 9 * c[3]])
    return min(math.sqrt(_first_root(slope)), _WIDEST)


def _first_root(polynomial: Any) -> float:
    """The smallest root above 0, infinite without one."""
    roots = polynomial.trim(1e-12).roots()
    real = roots[np.abs(roots.imag) < 1e-9 * (1 + np.abs(roots.real))].real
    return float(min(real[real > 0], default=math.inf))


def _curve(lens: Lens, farthest: float) -> tuple[np.ndarray, np.ndarray]:
    """Angles from the optical axis, and the distorted radius at each, up to ``farthest`` or the limit of the lens."""
    widest = min(_WIDEST, lens.limit if lens.kind == EQUIDISTANT else math.atan(lens.limit)) * (1 - 1e-9)  # no pole
    last = min(widest, 0.5)
    while True:
        angle = np.linspace(0, last, _SAMPLES)
        curve = _radial(lens, angle)
        if curve[-1] >= farthest or last >= widest:
            return angle, curve
        last = min(widest, last + 0.25)


def _radial(lens: Lens, angle: np.ndarray) -> np.ndarray:
    c = lens.coefficients
    if lens.kind == EQUIDISTANT:
        s = angle * angle
        return angle * (1 + s * (c[0] + s * (c[1] + s * (c[2] + s * c[3]))))
    r = np.tan(angle)
    s = r * r
    return r * (1 + s * (c[0] + s * (c[1] + s * c[4]))) / (1 + s * (c[5] + s * (c[6] + s * c[7])))


# --- kernels ---------------------------------------------------------------------------------------


@inlined
@no_type_check
def polynomial(x, y, c):
    """The distorted point, and its derivatives (dx/dx, dx/dy, dy/dx, dy/dy): plumb_bob and rational_polynomial."""
    s = x * x + y * y
    above, below = 1 + s * (c[0] + s * (c[1] + s * c[4])), 1 + s * (c[5] + s * (c[6] + s * c[7]))
    grown, shrunk = c[0] + s * (2 * c[1] + s * 3 * c[4]), c[5] + s * (2 * c[6] + s * 3 * c[7])
    inverse = np.divide(1.0, below)  # not "/", which checks for 0 and keeps loops from being vectorised
    g = above * inverse
    dg = (grown - g * shrunk) * inverse  # by s
    prism_x, prism_y = 2 * (c[8] + 2 * c[9] * s), 2 * (c[10] + 2 * c[11] * s)
    across = 2 * (x * y * dg + c[2] * x + c[3] * y)
    return (
        x * g + 2 * c[2] * x * y + c[3] * (s + 2 * x * x) + s * (c[8] + s * c[9]),
        y * g + 2 * c[3] * x * y + c[2] * (s + 2 * y * y) + s * (c[10] + s * c[11]),
        g + 2 * x * x * dg + 2 * c[2] * y + 6 * c[3] * x + prism_x * x,
        across + prism_x * y,
        across + prism_y * x,
        g + 2 * y * y * dg + 2 * c[3] * x + 6 * c[2] * y + prism_y * y,
    )


@inlined
@no_type_check
def _bent(angle, c):
    """The distorted radius of a fisheye at an angle from the optical axis, and its derivative."""
    s = angle * angle
    bent = angle * (1 + s * (c[0] + s * (c[1] + s * (c[2] + s * c[3]))))
    return bent, 1 + s * (3 * c[0] + s * (5 * c[1] + s * (7 * c[2] + s * 9 * c[3])))


@inlined
@no_type_check
def _arctan_ratio(s):
    """``arctan(r) / r`` of ``s`` = r², to about 1e-15, without a branch: loops around it are vectorised.

    Twice the half angle, so that the argument of the polynomial is at most tan(22.5 degrees)².
    """
    first = 1 + math.sqrt(1 + s)
    t = np.divide(s, first * first)
    both = first * (1 + math.sqrt(1 + t))
    t = np.divide(s, both * both)
    a = _ARCTAN
    ratio = a[6] + t * (a[7] + t * (a[8] + t * (a[9] + t * a[10])))
    ratio = a[0] + t * (a[1] + t * (a[2] + t * (a[3] + t * (a[4] + t * (a[5] + t * ratio)))))
    return np.divide(4 * ratio, both)


@inlined
@no_type_check
def equidistant(x, y, c):
    """The distorted point of a fisheye, and its derivatives (dx/dx, dx/dy, dy/dx, dy/dy)."""
    s = x * x + y * y
    ratio = _arctan_ratio(s)
    square = s * ratio * ratio  # of the angle
    g = ratio * (1 + square * (c[0] + square * (c[1] + square * (c[2] + square * c[3]))))
    by_angle = 1 + square * (3 * c[0] + square * (5 * c[1] + square * (7 * c[2] + square * 9 * c[3])))
    dg = np.divide(np.divide(by_angle, 1 + s) - g, s)
    dg = dg if s > 1e-8 else 2 * (c[0] - 1.0 / 3)  # a choice of two values, not a branch
    return x * g, y * g, g + x * x * dg, x * y * dg, x * y * dg, g + y * y * dg


@compiled
@no_type_check
def _distort(points, kind, c, limit, tilt, found):
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        r = math.sqrt(x * x + y * y)
        if kind == EQUIDISTANT:
            shown = math.atan(r) <= limit
            a, b = equidistant(x, y, c)[:2]
        else:
            a, b, xx, xy, yx, yy = polynomial(x, y, c)
            shown = (r <= limit) & (xx * yy > xy * yx)  # strong tangential distortion folds earlier
        w = tilt[6] * a + tilt[7] * b + tilt[8]
        found[i, 0] = (tilt[0] * a + tilt[1] * b + tilt[2]) / w if shown else np.nan
        found[i, 1] = (tilt[3] * a + tilt[4] * b + tilt[5]) / w if shown else np.nan


@compiled
@no_type_check
def _undistort_polynomial(seen, start, c, limit, found):
    """Newton's method from the point that a lens without tangential distortion would show."""
    for i in range(len(seen)):
        u, v = seen[i, 0], seen[i, 1]
        distance = math.sqrt(u * u + v * v)
        factor = math.tan(start[i]) / distance if distance > 1e-12 else 1.0
        x, y, good = u * factor, v * factor, False
        for _ in range(20):
            a, b, xx, xy, yx, yy = polynomial(x, y, c)
            size = xx * yy - xy * yx
            if not size > 1e-12:
                break
            good = abs(a - u) + abs(b - v) < 1e-13 * (1 + distance)
            if good:
                break
            x -= (yy * (a - u) - xy * (b - v)) / size
            y -= (xx * (b - v) - yx * (a - u)) / size
        else:
            a, b = polynomial(x, y, c)[:2]
            good = abs(a - u) + abs(b - v) < 1e-9 * (1 + distance)
        good = good and math.sqrt(x * x + y * y) <= limit
        found[i, 0], found[i, 1] = (x, y) if good else (np.nan, np.nan)


@compiled
@no_type_check
def _undistort_equidistant(seen, start, c, limit, found):
    """Newton's method in the angle from the optical axis."""
    for i in range(len(seen)):
        u, v = seen[i, 0], seen[i, 1]
        distance = math.sqrt(u * u + v * v)
        angle, error = start[i], np.inf
        for _ in range(20):
            bent, slope = _bent(angle, c)
            error = bent - distance
            if abs(error) < 1e-14 or not slope > 1e-9:
                break
            angle -= error / slope
        good = abs(error) < 1e-9 and 0 <= angle <= limit
        factor = math.tan(angle) / distance if distance > 1e-12 else 1.0
        found[i, 0], found[i, 1] = (u * factor, v * factor) if good else (np.nan, np.nan)
