"""Which way is up: the direction against gravity of a cloud, of cameras, or as a user gives it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from wsss_ros.geometry.patches import Patches, planar_patches
from wsss_ros.types import BadInput

SURE = 0.8  # certainty from which a direction is taken, whatever is expected
_LIKELY = 0.35  # certainty of all directions near the expected one, from which the best of them is taken
# Less for all directions near the expected one, and more for another one: that is taken. Of 96 clouds of generated
# rooms with y up or down in `map`, 87 are then right (80 with 0.05), and all of 48 with z up.
_REFUTED, _HALF = 0.3, 0.5
# Another direction with this probability is reported. Of 96 clouds with y up or down in `map`, 2 are then wrong without
# a word (4 without it); of 66 with z up and of 36 in an optical frame, which are all right, none is reported.
_DOUBT, _APART = 0.2, 0.1  # of 1; radians
_LEVEL = np.radians(12)  # a normal within this angle of vertical or horizontal counts as such
_SAME = np.radians(3)  # directions closer than this are one candidate
_LEAST_PATCHES = 10
_AS_NAMED = np.radians(4)
UNSURE = "up direction uncertain"


def parse_up(text: str) -> Float64[np.ndarray, "3"]:
    """The unit vector of the text ``'x,y,z'``.

    Raises:
        BadInput: not three finite numbers, or all of them 0.
    """
    try:
        up = np.array([float(part) for part in text.split(",")])
    except ValueError:
        up = np.empty(0)
    length = np.linalg.norm(up)
    if up.shape != (3,) or not np.isfinite(length) or length < 1e-9:
        raise BadInput(f"up direction '{text}'; expected three numbers 'x,y,z', not all 0, such as '0,0,1' or '0,-1,0'")
    return up / length


def upright(up: Float[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    """The smallest rotation that turns ``up`` to +z: ``R @ up = (0, 0, 1) * length of up``."""
    x, y, z = up / np.linalg.norm(up)
    off_axis = x * x + y * y
    if z < 0 and off_axis < 1e-24:
        return np.diag([1.0, -1.0, -1.0])  # straight down: half a turn about x
    s = 1 / (1 + z) if z >= 0 else (1 - z) / off_axis  # equal; each is exact where the other cancels
    return np.array([[1 - x * x * s, -x * y * s, -x], [-x * y * s, 1 - y * y * s, -y], [x, y, z]])


def camera_up(poses: Float[np.ndarray, "V 4 4"]) -> Float64[np.ndarray, "3"]:
    """The mean of the cameras' own up axes (-y of the optical frame) in the world frame, of unit length.

    This is the ``hint`` of ``find_up`` where poses are known.

    Args:
        poses: ``world_from_camera`` of each view.

    Raises:
        BadInput: the axes point in so different directions that their mean has no direction.
    """
    mean = -poses[:, :3, 1].astype(np.float64).mean(axis=0)
    length = np.linalg.norm(mean)
    if not length > 0.1:
        raise BadInput("the cameras' up axes cancel out, so they give no hint of gravity; set 'up' to 'x,y,z'")
    return mean / length


class Up(NamedTuple):
    """A unit vector against gravity, and the probability (0..1) that it is right."""

    direction: Float64[np.ndarray, "3"]
    certainty: float


class Expected(NamedTuple):
    """The direction that is expected as up, within about ``spread_deg``, with log-odds of ``weight`` against others.

    What is found within ``near_deg`` of it agrees with it.
    """

    direction: Float64[np.ndarray, "3"]
    spread_deg: float
    weight: float
    near_deg: float


def expected_up(frame_id: str) -> Expected:
    """What the name of a frame says of up (REP-103): y points down in optical frames, z points up in all others."""
    if "optical" in frame_id:
        return Expected(np.array([0.0, -1.0, 0.0]), 50, 4, 45)
    return Expected(np.array([0.0, 0.0, 1.0]), 20, 4, 4)


def up_in_frame(
    xyz: Float[np.ndarray, "N 3"],
    frame_id: str,
    viewpoints: Float[np.ndarray, "V 3"] | None = None,
    known: Float64[np.ndarray, "3"] | None = None,
) -> tuple[Up, str]:
    """The up direction of a cloud in the frame ``frame_id``, and what is uncertain about it, or "".

    A direction that is found within 4 degrees of the one that the name of the frame says is that one: a map with z up
    stays as it is. Where nothing is found for sure, it is ``known``, else what the name says, unless the cloud clearly
    refutes that.

    Args:
        xyz: metres; points that are not finite are ignored.
        frame_id: name of the frame; see ``expected_up``.
        viewpoints: centres of the cameras, metres.
        known: an earlier up direction in this frame.
    """
    named = expected_up(frame_id)
    expected = named if known is None else Expected(known, *named[1:])
    ups, chances = _estimates(xyz, viewpoints, expected)
    found = _likely(ups, chances, expected)
    if found is not None:
        as_named = _angle(found.direction, named.direction) < _AS_NAMED
        up = Up(named.direction if as_named else found.direction, found.certainty)
        return up, _doubt(ups, chances, up)
    best = _best(ups, chances)
    if best is not None and best.certainty >= _HALF and _near(ups, chances, expected).sum() < _REFUTED:
        text = f"{up_as_text(best.direction)} is taken with {best.certainty:.0%} certainty"
        source = f"what the frame '{frame_id}' suggests" if known is None else "what clouds before had"
        return best, f"{UNSURE}: {text}; {source} does not fit; set 'up' to 'x,y,z' if that is wrong"
    seen = f"{up_as_text(best.direction)} fits with {best.certainty:.0%} certainty" if best else "too few planes"
    source = f"the frame '{frame_id}' suggests" if known is None else "clouds before had"
    taken = f"{up_as_text(expected.direction)} is taken, which {source}; set 'up' to 'x,y,z' if that is wrong"
    return Up(expected.direction, 1 - best.certainty if best else 0.0), f"{UNSURE}: {seen}; {taken}"


def _doubt(ups: list[np.ndarray], chances: np.ndarray, taken: Up) -> str:
    """What else could be up, where another direction has a probability of _DOUBT; else empty."""
    found = (Up(up, float(chance)) for up, chance in zip(ups, chances, strict=True))
    others = [each for each in found if _angle(each.direction, taken.direction) > _APART]
    other = max(others, key=lambda each: each.certainty, default=None)
    if other is None or other.certainty < _DOUBT:
        return ""
    text = f"{up_as_text(taken.direction)} is taken, {up_as_text(other.direction)} fits with {other.certainty:.0%}"
    return f"{UNSURE}: {text}; set 'up' to 'x,y,z' if that is wrong"


def _likely(ups: list[np.ndarray], chances: np.ndarray, expected: Expected) -> Up | None:
    """The candidate that is SURE, else the best one near the expected direction if those are likely together."""
    best = _best(ups, chances)
    if best is None or best.certainty >= SURE:
        return best
    near = _near(ups, chances, expected)
    together = float(near.sum())
    return Up(ups[int(near.argmax())], together) if together >= _LIKELY else None


def _near(ups: list[np.ndarray], chances: np.ndarray, expected: Expected) -> np.ndarray:
    """The probabilities of the candidates near the expected direction, 0 for the others."""
    within = [_angle(up, expected.direction) < np.radians(expected.near_deg) for up in ups]
    return np.where(within, chances, 0)


def up_as_text(direction: Float[np.ndarray, "3"]) -> str:
    """The direction as ``parse_up`` reads it, with three decimals."""
    return ",".join(f"{value:.3f}".rstrip("0").rstrip(".") for value in direction + 0.0)


def find_up(
    xyz: Float[np.ndarray, "N 3"],
    viewpoints: Float[np.ndarray, "V 3"] | None = None,
    hint: Float[np.ndarray, "3"] | None = None,
) -> Float64[np.ndarray, "3"]:
    """Find the unit vector against gravity in an indoor cloud whose world frame has any orientation.

    Args:
        xyz: metres; points that are not finite are ignored.
        viewpoints: centres of the cameras, metres.
        hint: a rough up direction, right within about 35 degrees (see ``camera_up``). With it, no floor has to be in
            view.

    Raises:
        BadInput: the cloud has no planes, or two directions fit about equally well. A hint mostly helps then.
    """
    expected = None if hint is None else Expected(parse_up(",".join(map(str, hint))), 35, 12, 35)
    found = estimate_up(xyz, viewpoints, expected)
    if found is None:
        few = f"fewer than {_LEAST_PATCHES} planar patches in {len(xyz)} points"
        raise BadInput(f"up cannot be found: {few}; set 'up' to 'x,y,z'")
    if found.certainty < 0.6:
        raise BadInput(
            "up cannot be determined: two directions fit about equally well (is a floor in view?); "
            "set 'up' to 'x,y,z', or give the camera poses with the cloud"
        )
    return found.direction


def estimate_up(
    xyz: Float[np.ndarray, "N 3"],
    viewpoints: Float[np.ndarray, "V 3"] | None = None,
    expected: Expected | None = None,
) -> Up | None:
    """The most probable up direction of an indoor cloud in any frame; None for a cloud with hardly any planes.

    Most surfaces of rooms are horizontal or vertical. So candidates come from the dominant normals, and each is turned
    until the normals are parallel or perpendicular to it. The probability of a candidate is a softmax of ``_evidence``
    over the candidates and their opposites (a conditional logit).

    Args:
        xyz: metres; points that are not finite are ignored.
        viewpoints: centres of the cameras, metres.
        expected: what is known before.
    """
    return _best(*_estimates(xyz, viewpoints, expected))


def _best(ups: list[np.ndarray], chances: np.ndarray) -> Up | None:
    return Up(ups[int(chances.argmax())], float(chances.max())) if ups else None


def _estimates(
    xyz: np.ndarray, viewpoints: np.ndarray | None, expected: Expected | None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Candidates and their probabilities; none for a cloud with hardly any planes."""
    patches = planar_patches(xyz)
    if len(patches.areas) < _LEAST_PATCHES:
        return [], np.zeros(0)
    eyes = None if viewpoints is None or not len(viewpoints) else _few(viewpoints) - patches.origin
    facing = _facing(patches, eyes)
    ups = [sign * up for up in _candidates(patches, expected) for sign in (1, -1)]
    scores = np.array([_evidence(up, patches, facing, eyes) for up in ups])
    if expected is not None:
        angles = np.array([_angle(up, expected.direction) for up in ups])
        scores += expected.weight * np.exp(-((angles / np.radians(expected.spread_deg)) ** 4))  # flat near it
    chances = np.exp(scores - scores.max())
    chances /= chances.sum()
    small = planar_patches(xyz, [patches.size / 2])
    if small.areas.sum() > patches.areas.sum() / 2:  # there are points enough for exact directions
        for n in np.flatnonzero(chances > 0.05):
            ups[n] = _level(ups[n], small.normals, small.areas)
    for n in np.flatnonzero(chances > 0.05):
        ups[n] = _on_floor(ups[n], patches)
    return ups, chances


def _few(viewpoints: np.ndarray, most: int = 50) -> np.ndarray:
    return viewpoints[np.linspace(0, len(viewpoints) - 1, min(most, len(viewpoints))).astype(np.int64)]


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.arccos(np.clip(a @ b, -1, 1)))


def _facing(patches: Patches, eyes: np.ndarray | None) -> np.ndarray:
    """The normals with the sign that makes each face its nearest camera, without cameras the middle of the cloud."""
    if eyes is None:
        eyes = np.percentile(patches.cubes, (2, 98), axis=0).mean(axis=0)[None]
    squared = ((patches.centres[:, None] - eyes) ** 2).sum(axis=2)
    to_eye = eyes[squared.argmin(axis=1)] - patches.centres
    away = np.einsum("pi,pi->p", patches.normals, to_eye) < 0
    return np.where(away[:, None], -patches.normals, patches.normals)


def _candidates(patches: Patches, expected: Expected | None) -> list[np.ndarray]:
    """Candidates for up, but for the sign: a dominant normal, perpendicular to two, or near the expected direction."""
    normals, areas = patches.normals, patches.areas
    seeds = normals[np.linspace(0, len(normals) - 1, min(300, len(normals))).astype(np.int64)]
    support = (np.abs(seeds @ normals.T) > np.cos(_LEVEL)) @ areas
    modes: list[np.ndarray] = []
    for seed in seeds[np.argsort(-support, kind="stable")]:
        if len(modes) < 5 and all(abs(seed @ mode) < np.cos(2 * _LEVEL) for mode in modes):
            modes.append(seed)
    found = modes + [np.cross(a, b) for n, a in enumerate(modes) for b in modes[:n]]
    if expected is not None:
        hint = expected.direction
        found += [hint, *(hint - (hint @ mode) * mode for mode in modes)]
    different: list[np.ndarray] = []
    for up in found:
        length = np.linalg.norm(up)
        if length > 0.5:
            turned = _level(up / length, normals, areas)
            if all(abs(turned @ other) < np.cos(_SAME) for other in different):
                different.append(turned)
    return different


def _level(up: np.ndarray, normals: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """``up`` turned until normals that are nearly parallel or perpendicular to it are so as exactly as possible."""
    total = areas.sum()
    for cone in (_LEVEL, *4 * (_LEVEL / 2,)):
        cosine = np.abs(normals @ up)
        sign = np.where(cosine < np.sin(cone), areas, np.where(cosine > np.cos(cone), -areas, 0))
        # The last term keeps ``up`` where there are no such normals.
        moment = (normals.T * sign) @ normals / total - 0.01 * np.outer(up, up)
        turned = np.linalg.eigh(moment)[1][:, 0]
        up = turned * np.copysign(1, turned @ up)
    return up


def _on_floor(up: np.ndarray, patches: Patches) -> np.ndarray:
    """``up`` turned to the normal of the floor, the lowest plane: over metres it is more exact than normals of patches.

    It stays where no floor is about a metre wide, and where the floor is not level within 3 degrees.
    """
    level = np.abs(patches.normals @ up) > np.cos(_LEVEL)
    centres, areas = patches.centres[level], patches.areas[level]
    normal, height = up, -_highest_plane(-centres @ up, areas, -patches.cubes @ up)[1]
    for reach_m in (0.1, 0.05, 0.05):
        near = np.abs(centres @ normal - height) < reach_m
        if near.sum() < _LEAST_PATCHES:
            return up
        mean = np.average(centres[near], axis=0, weights=areas[near])
        spread, axes = np.linalg.eigh(np.cov(centres[near].T, ddof=0, aweights=areas[near]))
        normal = axes[:, 0] * np.copysign(1, axes[:, 0] @ up)
        height = mean @ normal
    narrow = spread[1] < 0.3**2  # as a plane that is 1 m wide
    return up if narrow or _angle(normal, up) > _SAME else normal


# The weights of the evidence. They were fitted once by maximum likelihood (with 0.0003 times their squares) to clouds
# of generated rooms only, in random orientations: scans, and what a LiDAR and 48, 12 and 4 frames of a walk and of a
# robot's drive see. The program of the fit is not kept. tests/geometry/test_gravity.py checks what they reach in
# generated rooms and a real kitchen. Parts of rooms are often unsure.
_WEIGHTS = {
    "fit": 8.1,  # area that is horizontal or vertical
    "horizontal": -7.7,  # area that is horizontal: a room has more wall than floor
    "ceiling": -3.7,  # area of the highest horizontal plane: cameras see the floor, less of the ceiling
    "facing": 1.1,  # area that faces up, less what faces down
    "flatness": -5.1,  # logarithm of height over width: rooms and floors are wide
    "height": -3.9,  # logarithm of the height over 2.4 m, either way
    "below": 6.3,  # share of the cubes below the middle height, less a half: furniture stands on the floor
    "tops": 2.5,  # area between floor and ceiling that faces up, less what faces down
    "corners": 3.0,  # vertical area whose walls are at right angles to others
}


def _evidence(up: np.ndarray, patches: Patches, facing: np.ndarray, eyes: np.ndarray | None) -> float:
    """The log-odds of ``up``, up to a constant: how well it fits surfaces, size and cameras of rooms."""
    score = sum(_WEIGHTS[name] * value for name, value in _features(up, patches, facing).items())
    return float(score if eyes is None else score + _cameras(up, patches, facing, eyes))


def _features(up: np.ndarray, patches: Patches, facing: np.ndarray) -> dict[str, float]:
    """What ``_WEIGHTS`` weighs."""
    share = patches.areas / patches.areas.sum()
    cosine, (right, ahead) = facing @ up, upright(up)[:2]
    level, plumb = np.abs(cosine) > np.cos(_LEVEL), np.abs(cosine) < np.sin(_LEVEL)
    heights = patches.cubes @ up
    height, width = np.ptp(np.percentile(heights, (1, 99))), _width(patches.cubes @ np.stack([right, ahead], 1))
    walls = share[plumb]
    one_way = np.abs((walls * np.exp(2j * np.arctan2(facing[plumb] @ ahead, facing[plumb] @ right))).sum())
    return {
        "fit": share[level | plumb].sum(),
        "horizontal": share[level].sum(),
        "ceiling": _highest_plane(patches.centres @ up, np.where(level, share, 0), heights)[0],
        "facing": (share * cosine).sum(),
        "flatness": min(np.log(height / width + 0.02), 0.7),
        "height": abs(np.log((height + 0.05) / 2.4)),
        "below": np.mean(heights < np.percentile(heights, (1, 99)).mean()) - 0.5,
        "tops": _tops(patches, facing, up),
        "corners": walls.sum() - one_way,
    }


def _width(flat: np.ndarray) -> float:
    """The geometric mean of the two sides of points in a plane."""
    flat = flat - flat.mean(axis=0)
    turned = flat @ np.linalg.eigh(flat.T @ flat)[1]
    low, high = np.percentile(turned, (1, 99), axis=0)
    return float(np.sqrt(np.prod(high - low) + 0.01))


def _highest_plane(height: np.ndarray, share: np.ndarray, heights: np.ndarray) -> tuple[float, float]:
    """The largest share in a horizontal slab of 15 cm with at most 5 % of the cubes above it, and its middle height."""
    edges = np.arange(heights.min() - 0.2, heights.max() + 0.25, 0.05)
    shares = np.histogram(height, edges, weights=share)[0]
    slab = shares[:-2] + shares[1:-1] + shares[2:]
    above = 1 - np.searchsorted(np.sort(heights), edges[3:] + 0.1) / len(heights)
    slab = np.where(above <= 0.05, slab, 0)
    best = int(slab.argmax())
    return float(slab[best]), float(edges[best] + 0.075)


def _cameras(up: np.ndarray, patches: Patches, facing: np.ndarray, eyes: np.ndarray) -> float:
    """People and robots carry a camera along the floor, above it, and see the tops of tables and beds."""
    levels = eyes @ up
    spread = np.sqrt(eyes.var(axis=0).sum())
    climb = levels.std() / spread if spread > 0.2 else 0.0
    buried = max(0.0, 0.2 + np.percentile(patches.centres @ up, 2) - np.percentile(levels, 5))
    return float(8 * _tops(patches, facing, up) - 8 * climb - 4 * buried)


def _tops(patches: Patches, facing: np.ndarray, up: np.ndarray) -> float:
    """Share of the area that is between floor and ceiling and faces up, as tables and beds do, less what faces down."""
    heights, cosine = patches.centres @ up, facing @ up
    low, high = np.percentile(heights, (1, 99))
    between = (np.abs(cosine) > np.cos(_LEVEL)) & (heights > low + 0.15) & (heights < high - 0.15)
    return float((patches.areas * cosine)[between].sum() / patches.areas.sum())
