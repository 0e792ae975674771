"""A walk with a hand-held camera through a room, or a robot's drive: the pose of the camera in each frame."""

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from wsss_ros.rooms.layout.plan import free_floor
from wsss_ros.rooms.layout.room import OPENINGS, Room

NEAR, FAR = 0.7, 2.6  # smallest and largest distance of the camera to its target, metres
LOOK_DOWN, LOOK_UP = np.radians(58), np.radians(14)
ROBOT_HEIGHT_M = (0.3, 1.6)  # range of the height of a robot's camera
ROBOT_REACH_M = (1.1, 3.6)  # smallest and largest distance of a robot to what it looks at


def walk(room: Room, frames: int, rng: np.random.Generator, floor: float = 0.0) -> Float64[np.ndarray, "F 4 4"]:
    """Poses (world_from_camera, optical axes) of a smooth walk past the furniture.

    The camera stays above the free floor at a height of 1.3 to 1.8 m. It turns towards one target after another, mostly
    downwards, as people do when they scan a room, and shakes and rolls a little. The share ``floor`` of the targets is
    on the floor.
    """
    free, cell = free_floor(room)
    targets = _targets(room, max(4, round(frames / 8)), floor, rng)
    stops, targets = _stops(room, free, cell, targets, rng)
    path, at_stop = _path(free, cell, stops)
    height = np.clip(rng.uniform(1.38, 1.7) + _wander(frames, 12, 0.06, rng), 1.31, 1.79)
    yaw, pitch = _directions(path[at_stop], targets, float(height.mean()))
    when = _schedule(at_stop, yaw, frames, rng)
    place = _eased(when, at_stop, frames, 1.0)
    xy = np.stack([np.interp(place, np.arange(len(path)), path[:, k]) for k in (0, 1)], 1)
    eye = np.column_stack([xy, height])
    yaw, pitch = _eased(when, yaw, frames, 1.5), _eased(when, pitch, frames, 1.5)
    yaw += _wander(frames, 2, np.radians(1.5), rng)
    pitch = np.clip(pitch + _wander(frames, 2, np.radians(1.5), rng), -LOOK_DOWN, LOOK_UP)
    roll = _wander(frames, 4, np.radians(3), rng)
    return np.stack([pose(e, y, p, r) for e, y, p, r in zip(eye, yaw, pitch, roll, strict=True)])


def drive(room: Room, frames: int, rng: np.random.Generator) -> Float64[np.ndarray, "F 4 4"]:
    """Poses (world_from_camera, optical axes) of a robot that drives past the furniture.

    Its camera is upright, at one height of 0.3 to 1.6 m and with one small pitch. It turns to one piece after another.
    """
    free, cell = free_floor(room)
    targets = _furniture(room, max(4, round(frames / 6)), rng)
    stops, targets = _stops(room, free, cell, targets, rng, ROBOT_REACH_M)
    path, at_stop = _path(free, cell, stops)
    height = rng.uniform(*ROBOT_HEIGHT_M)
    # A low camera looks level or up, a high one level or down.
    low, high = (-20, -4) if height > 1.1 else (-12, 3) if height > 0.6 else (-5, 6)
    pitch = np.radians(rng.uniform(low, high))
    yaw = _directions(path[at_stop], targets, height)[0]
    when = _schedule(at_stop, yaw, frames, rng)
    place = _eased(when, at_stop, frames, 1.0)
    xy = np.stack([np.interp(place, np.arange(len(path)), path[:, k]) for k in (0, 1)], 1)
    yaw = _eased(when, yaw, frames, 1.5) + _wander(frames, 3, np.radians(1.0), rng)
    pitch = pitch + _wander(frames, 3, np.radians(1.0), rng)
    roll = _wander(frames, 4, np.radians(0.6), rng)
    eye = np.column_stack([xy, height + _wander(frames, 6, 0.005, rng)])
    return np.stack([pose(e, y, p, r) for e, y, p, r in zip(eye, yaw, pitch, roll, strict=True)])


def pose(eye: np.ndarray, yaw: float, pitch: float, roll: float) -> Float64[np.ndarray, "4 4"]:
    """The pose of an optical camera at ``eye``: yaw from +x about z, pitch upwards, roll about its axis; radians."""
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(forward, right)
    matrix = np.eye(4)
    matrix[:3, 0] = np.cos(roll) * right + np.sin(roll) * down
    matrix[:3, 1] = np.cos(roll) * down - np.sin(roll) * right
    matrix[:3, 2] = forward
    matrix[:3, 3] = eye
    return matrix


def _wander(frames: int, smooth: float, deviation: float, rng: np.random.Generator) -> Float64[np.ndarray, "F"]:
    """Smooth random noise with this standard deviation."""
    noise = ndimage.gaussian_filter1d(rng.standard_normal(frames + 80), smooth)[40 : 40 + frames]
    return noise * (deviation * np.sqrt(2 * smooth * np.sqrt(np.pi)))


def _targets(room: Room, count: int, floor: float, rng: np.random.Generator) -> Float64[np.ndarray, "K 3"]:
    """Points for the camera to look at: points of all pieces, and some of walls and floor."""
    pieces = [p for p in room.placed if p.piece.kind not in ("wall", "floor", "") and p.piece.size[2] > 0.05]
    order = rng.permutation(len(pieces))
    points = []
    for k in range(count):
        if floor and rng.random() < floor:
            points.append((rng.uniform(0, room.width), rng.uniform(0, room.depth), 0.0))
            continue
        if len(pieces) == 0 or rng.random() < 0.1:
            points.append((rng.uniform(0, room.width), rng.uniform(0, room.depth), rng.uniform(0, 1.6)))
            continue
        p = pieces[order[k % len(pieces)]]
        low, high = p.span()
        top = max(low, min(high, 1.7))
        points.append((p.x, p.y, rng.uniform(min(low + 0.2 * (high - low), top), top)))
    return np.array(points) + rng.normal(0, 0.15, (count, 3))


def _furniture(room: Room, count: int, rng: np.random.Generator) -> Float64[np.ndarray, "K 3"]:
    """Points for a robot to look at: most of them are furniture, the others doors, windows and curtains."""
    solid = [p for p in room.placed if p.solid and p.z < 1.0 and p.piece.size[2] > 0.05]
    openings = [p for p in solid if p.piece.kind in OPENINGS]
    furniture = [p for p in solid if p.piece.kind not in OPENINGS] or solid
    order, points = rng.permutation(len(furniture)), []
    for k in range(count):
        p = furniture[order[k % len(furniture)]]
        if openings and rng.random() < 0.15:
            p = openings[rng.integers(len(openings))]
        points.append((p.x, p.y, min(sum(p.span()) / 2, 1.5)))
    return np.array(points) + rng.normal(0, 0.2, (count, 3))


def _stops(
    room: Room,
    free: Bool[np.ndarray, "Y X"],
    cell: float,
    targets: Float64[np.ndarray, "K 3"],
    rng: np.random.Generator,
    reach: tuple[float, float] = (NEAR, FAR),
) -> tuple[list[tuple[int, int]], Float64[np.ndarray, "K 3"]]:
    """A free cell for each target, from which the camera looks at it, and the targets; ordered for a short way.

    The camera is about ``reach`` metres away from the target.
    """
    cells = np.argwhere(free)
    xy = (cells[:, ::-1] + 0.5) * cell
    stops, here = [], xy[rng.integers(len(xy))]
    ordered, left = [], list(range(len(targets)))
    while left:
        near = min(left, key=lambda k: np.hypot(*(targets[k, :2] - here)) * rng.uniform(0.5, 1.5))
        left.remove(near)
        away = np.hypot(*(xy - targets[near, :2]).T)
        distance = rng.uniform(*reach)
        cost = np.abs(away - distance) + 0.35 * np.hypot(*(xy - here).T) + rng.uniform(0, 0.4, len(xy))
        if room.in_sight is not None:
            cost += 100 * ~room.in_sight(xy, targets[near])
        best = int(np.argmin(cost))
        stops.append((int(cells[best, 0]), int(cells[best, 1])))
        ordered.append(targets[near])
        here = xy[best]
    return stops, np.array(ordered)


def _path(
    free: Bool[np.ndarray, "Y X"], cell: float, stops: list[tuple[int, int]]
) -> tuple[Float64[np.ndarray, "P 2"], Int64[np.ndarray, "K"]]:
    """A smooth path (metres) over free cells through all stops, and the index of each stop in it."""
    number = np.full(free.shape, -1)
    number[free] = np.arange(free.sum())
    graph = _neighbours(number)
    way, at_stop = [number[stops[0]]], [0]
    for a, b in zip(stops, stops[1:], strict=False):
        before = dijkstra(graph, indices=number[a], return_predecessors=True)[1]
        leg, at = [], number[b]
        while at != number[a]:
            leg.append(at)
            at = before[at]
        way += leg[::-1]
        at_stop.append(len(way) - 1)
    rows, columns = np.nonzero(free)
    xy = (np.stack([columns[way], rows[way]], 1) + 0.5) * cell
    for sigma in (4.0, 2.0, 1.0):
        smooth = ndimage.gaussian_filter1d(xy, sigma, axis=0, mode="nearest")
        k = np.clip((smooth / cell).astype(int), 0, np.array(free.shape)[::-1] - 1)
        if ndimage.binary_dilation(free)[k[:, 1], k[:, 0]].all():
            return smooth, np.array(at_stop)
    return xy, np.array(at_stop)


def _neighbours(number: np.ndarray):
    """The graph of 8-connected free cells. Diagonal neighbours are connected if both cells between them are free."""
    a, b, length = [], [], []
    ny, nx = number.shape
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = number[: ny - dy, max(0, -dx) : nx - max(0, dx)]
        there = number[dy:, max(0, dx) : nx + min(0, dx)]
        side = number[: ny - dy, max(0, dx) : nx + min(0, dx)]
        other = number[dy:, max(0, -dx) : nx - max(0, dx)]
        open_ = (here >= 0) & (there >= 0)
        if dx and dy:
            open_ &= (side >= 0) & (other >= 0)
        a.append(here[open_])
        b.append(there[open_])
        length.append(np.full(open_.sum(), np.hypot(dy, dx)))
    count = int(number.max()) + 1
    start, end, metres = np.concatenate(a), np.concatenate(b), np.concatenate(length)
    both = np.r_[start, end], np.r_[end, start]
    return coo_matrix((np.tile(metres, 2), both), shape=(count, count)).tocsr()


def _directions(
    stops: Float64[np.ndarray, "K 2"], targets: Float64[np.ndarray, "K 3"], height: float
) -> tuple[Float64[np.ndarray, "K"], Float64[np.ndarray, "K"]]:
    """Yaw and pitch (radians) from each stop to its target."""
    to = targets[:, :2] - stops
    pitch = np.arctan2(targets[:, 2] - height, np.hypot(*to.T))
    return np.unwrap(np.arctan2(to[:, 1], to[:, 0])), np.clip(pitch, -LOOK_DOWN, LOOK_UP)


def _schedule(
    at_stop: Int64[np.ndarray, "K"], yaw: Float64[np.ndarray, "K"], frames: int, rng: np.random.Generator
) -> Float64[np.ndarray, "K"]:
    """The frame at which the camera reaches each stop: walking, turning and looking take time."""
    cost = np.maximum(np.diff(at_stop) * 0.5, np.abs(np.diff(yaw)) * 4) + rng.uniform(2, 5, len(at_stop) - 1)
    clock = np.concatenate([[0], np.cumsum(cost)])
    return clock * ((frames - 1) / clock[-1])


def _eased(when: np.ndarray, values: np.ndarray, frames: int, smooth: float) -> Float64[np.ndarray, "F"]:
    """Interpolate values at stops to values at frames, with soft starts and ends."""
    return ndimage.gaussian_filter1d(np.interp(np.arange(frames), when, values), smooth, mode="nearest")
