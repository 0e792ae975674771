"""The light of a scene, and the shading of surfaces."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from wsss_ros.geometry.compiled import compiled
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.layout.room import Room
from wsss_ros.rooms.render.images import lay_images
from wsss_ros.rooms.render.surfaces import View, World
from wsss_ros.rooms.render.textures import albedo
from wsss_ros.types import Camera

SHADOWS = 2  # this many of the strongest lights cast shadows
PANES = 3  # so many panes of glass behind each other are transparent
SKY = np.array([0.7, 0.85, 1.0], np.float32)  # light from outside behind a pane, at a window light of 1


@dataclass(frozen=True)
class Light:
    """The lamps of a scene, and its ambient light.

    ``places`` are in metres and ``colors`` are linear, the strongest lamp first; ``radius`` is that of a lamp.
    """

    places: Float64[np.ndarray, "L 3"]
    colors: Float64[np.ndarray, "L 3"]
    ambient: Float64[np.ndarray, "3"]
    radius: float

    @classmethod
    def draw(cls, room: Room, kit: Kit) -> "Light":
        """Random light: ceiling lamps and windows by day, or only one of the two; warm or cold."""
        places, colors = [], []
        windows = [p for p in room.placed if p.piece.kind == "window"] if room.window_light > 0.5 else []
        lamps_on = not windows or kit.chance(0.6)
        for x, y, z in room.lights if lamps_on else ():
            places.append((x, y, z))
            colors.append(_tint(kit.between(-0.1, 0.8)) * kit.between(2.0, 5.0) / len(room.lights))
        for p in windows:
            inward = np.array([np.sin(p.yaw), -np.cos(p.yaw)]) * 0.3
            places.append((p.x + inward[0], p.y + inward[1], p.z + 0.6 * p.piece.size[2]))
            area = p.piece.size[0] * p.piece.size[2]
            colors.append(_tint(kit.between(-0.6, 0.2)) * kit.between(1.0, 3.5) * room.window_light * area)
        order = np.argsort([-c.sum() for c in colors], kind="stable")
        ambient = _tint(kit.between(-0.2, 0.4)) * kit.between(0.12, 0.45)
        return cls(np.array(places)[order], np.array(colors)[order], ambient, kit.between(0.05, 0.35))

    @classmethod
    def lamps(cls, places: Float64[np.ndarray, "L 3"], kit: Kit) -> "Light":
        """Lamps at these places, each about as bright as that of a room."""
        warmth, bright = kit.between(-0.1, 0.8), kit.between(1.0, 2.5)
        colors = [_tint(warmth + kit.between(-0.1, 0.1)) * bright * kit.between(0.7, 1.3) for _ in places]
        return cls(places, np.array(colors), _tint(kit.between(-0.2, 0.4)) * kit.between(0.15, 0.45), 0.2)

    def near(self, eye: Float64[np.ndarray, "3"], count: int = 4) -> "Light":
        """The lamps that are brightest at a camera, the brightest first."""
        away = ((self.places - eye) ** 2).sum(1)
        order = np.argsort(-self.colors.sum(1) / (away + 0.8), kind="stable")[:count]
        return Light(self.places[order], self.colors[order], self.ambient, self.radius)


def shade(
    world: World, camera: Camera, view: View, light: Light, eye: Float64[np.ndarray, "3"], rng: np.random.Generator
) -> Float32[np.ndarray, "P 3"]:
    """Linear light that reaches the camera from each surface point, and through glass from what is behind it.

    A surface reflects by Lambert's law, with a highlight for each lamp.
    """
    if not (world.alpha < 1).any():
        return _surface_light(world, camera, view, light, eye, rng)
    linear = np.zeros((len(view.part), 3), np.float32)
    share = np.ones((len(view.part), 1), np.float32)  # of the light at this depth that reaches the camera
    for pane in range(PANES + 1):
        here = _surface_light(world, camera, view, light, eye, rng)
        if pane:
            here[view.part < 0] = SKY * world.room.window_light
        own = np.append(world.alpha, np.float32(1))[view.part][:, None] if pane < PANES else np.float32(1)
        linear += share * own * here
        share = share * (1 - own)
        glass = share[:, 0] > 0
        if not glass.any():
            break
        view = world.cast_behind(view, glass, eye)
    return linear


def _surface_light(
    world: World, camera: Camera, view: View, light: Light, eye: Float64[np.ndarray, "3"], rng: np.random.Generator
) -> Float32[np.ndarray, "P 3"]:
    base = albedo(
        view.part, view.point, view.flat_normal, world.origin, world.turn, world.grain, world.color, world.accent,
        world.texture, world.looks, world.seed,
    )  # fmt: skip
    if world.images is not None:
        lay_images(base, world.images, view, world, eye, 1 / camera.fx)
    size = np.array([world.room.width, world.room.depth, world.room.height])
    shadow = np.zeros((SHADOWS, camera.height, camera.width), np.float32)
    for k, place in enumerate(light.places[:SHADOWS]):
        shadow[k] = _shadow(world, camera, view, place, light.radius, rng)
    return _lit(
        base, view.part, view.point, view.normal, shadow.reshape(SHADOWS, -1), light.places, light.colors,
        light.ambient, world.looks, np.ascontiguousarray(eye), size,
    )  # fmt: skip


def _tint(warmth: float) -> Float64[np.ndarray, "3"]:
    return np.array([1 + 0.22 * warmth, 1.0, 1 - 0.3 * warmth])


def _shadow(
    world: World, camera: Camera, view: View, place: np.ndarray, radius: float, rng: np.random.Generator
) -> Float32[np.ndarray, "H W"]:
    """Share of a round lamp that is hidden, from one random ray for every 2 x 2 pixels."""
    grid = np.arange(len(view.part)).reshape(camera.height, camera.width)[::2, ::2]
    start = (view.point + view.flat_normal * np.float32(0.004))[grid.ravel()]
    lamp = place + radius * rng.uniform(-1, 1, start.shape) * (1, 1, 0.2)
    seen, hidden = view.part[grid.ravel()] >= 0, np.zeros(len(start), np.float32)
    hidden[seen] = world.blocked(start[seen], lamp[seen].astype(np.float32))
    hidden = _soften(hidden.reshape(grid.shape), view.depth_m[grid])
    return hidden.repeat(2, 0)[: camera.height].repeat(2, 1)[:, : camera.width]


@compiled
def _soften(hidden, depth):
    """Mean over 5 x 5 neighbours at about the same depth: many random rays make a soft shadow."""
    h, w = hidden.shape
    out = np.zeros_like(hidden)
    for y in range(h):
        for x in range(w):
            total, count = 0.0, 0
            for b in range(max(y - 2, 0), min(y + 3, h)):
                for a in range(max(x - 2, 0), min(x + 3, w)):
                    if abs(depth[b, a] - depth[y, x]) < 0.05 * depth[y, x]:
                        total += hidden[b, a]
                        count += 1
            out[y, x] = total / max(count, 1)
    return out


@compiled
def _near(d):
    """From 1 at a wall to 0 away from it, over about 20 cm."""
    return 1 / (1 + 5 * d + 25 * d * d)


@compiled
def _corner_shade(x, y, z, size):
    """Corners are darker, as light reaches them from fewer sides: 1 in the open, less near a second wall."""
    total, largest = 0.0, 0.0
    for at, most in ((x, size[0]), (y, size[1]), (z, size[2])):
        low, high = _near(abs(at)), _near(abs(most - at))
        total += low + high
        largest = max(largest, low, high)
    return 1 - 0.3 * min(total - largest, 1.0) - 0.1 * _near(abs(z))


@compiled
def _lamp(tx, ty, tz, nx, ny, nz, bx, by, bz):
    """Light that a point with normal n receives from a lamp at t, and the cosine that its highlight depends on.

    The eye is in the direction b. No arrays, for speed.
    """
    r2 = tx * tx + ty * ty + tz * tz
    r = math.sqrt(r2) + 1e-6
    tx, ty, tz = tx / r, ty / r, tz / r
    facing = max(nx * tx + ny * ty + nz * tz, 0.0)
    hx, hy, hz = tx + bx, ty + by, tz + bz
    half = (nx * hx + ny * hy + nz * hz) / (math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6)
    return (0.9 * facing + 0.1) / (r2 + 0.8), half


@compiled
def _lit(base, part, point, normal, shadow, places, colors, ambient, looks, eye, size):
    out = np.zeros_like(base)
    total, shine = np.zeros(3), np.zeros(3)
    for k in range(len(base)):
        p = part[k]
        if p < 0:
            continue
        x, y, z, nx, ny, nz = point[k, 0], point[k, 1], point[k, 2], normal[k, 0], normal[k, 1], normal[k, 2]
        dim = _corner_shade(x, y, z, size) * (0.75 + 0.25 * nz)
        for i in range(3):
            total[i], shine[i] = ambient[i] * dim, 0.0
        bx, by, bz = eye[0] - x, eye[1] - y, eye[2] - z
        r = math.sqrt(bx * bx + by * by + bz * bz) + 1e-6
        bx, by, bz = bx / r, by / r, bz / r
        for m in range(len(places)):
            strength, half = _lamp(places[m, 0] - x, places[m, 1] - y, places[m, 2] - z, nx, ny, nz, bx, by, bz)
            if m < len(shadow):
                strength *= 1 - 0.85 * shadow[m, k]
            peak = 0.0
            if half > 0.8:
                h8 = half**8
                peak = strength * h8 * h8 * h8 * h8 * h8
            for i in range(3):
                total[i] += strength * colors[m, i]
                shine[i] += peak * colors[m, i]
        gloss, glow = looks[p, 1], looks[p, 2]
        for i in range(3):
            out[k, i] = base[k, i] * (total[i] * (1 - min(glow, 1.0)) + glow) + gloss * 0.8 * shine[i]
    return out
