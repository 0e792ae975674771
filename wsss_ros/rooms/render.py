"""Pictures of a furnished room: ray casting, surface textures, light, and the faults of a real RGB-D camera."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from wsss_ros.geometry.compiled import compiled
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.rooms.furniture import NOTHING
from wsss_ros.rooms.layout import Room
from wsss_ros.rooms.style import Kit
from wsss_ros.types import Camera

CREASE = np.cos(np.radians(50))  # edges sharper than this stay sharp in shading


@dataclass(frozen=True)
class View:
    """What the rays of one camera met; flat arrays over the H*W pixels. Part -1: nothing."""

    part: Int64[np.ndarray, "P"]
    depth_m: Float32[np.ndarray, "P"]
    point: Float32[np.ndarray, "P 3"]
    normal: Float32[np.ndarray, "P 3"]
    flat_normal: Float32[np.ndarray, "P 3"]


class World:
    """A room's surfaces, ready for ray casting. Parts carry labels, instances and materials.

    ``label[part]`` is an index of the label space or 255, ``instance[part]`` counts the labelled objects (-1: none).
    """

    def __init__(self, room: Room, labels: LabelSpace) -> None:
        self.room = room
        vertices, triangles, owner, normals, parts, spots = [], [], [], [], [], []
        count = 0
        for spot in room.placed:
            for part in spot.piece.parts:
                v, t = spot.vertices(part), part.mesh.triangles
                vertices.append(v)
                triangles.append(t + count)
                normals.append(_corner_normals(v, t))
                owner.append(np.full(len(t), len(parts)))
                parts.append(part)
                spots.append(spot)
                count += len(v)
        self.part_of_triangle = np.concatenate(owner)
        self.corner_normals = np.concatenate(normals).astype(np.float32)
        self.label = np.array([labels.index(p.label) if p.label else UNLABELLED for p in parts], np.uint8)
        self.instance = _instances(parts, spots)
        self.room_part = np.array([p.label in ("wall", "floor") for p in parts])
        self.grain = np.array([p.grain for p in parts])
        self.origin = np.array([(s.x, s.y, s.z) for s in spots], np.float32)
        self.turn = np.array([(np.cos(s.yaw), np.sin(s.yaw)) for s in spots], np.float32)
        materials = [p.material for p in parts]
        self.color = np.array([m.color for m in materials], np.float32) ** 2.2
        self.accent = np.array([m.accent for m in materials], np.float32) ** 2.2
        self.texture = np.array([TEXTURES.index(m.texture) for m in materials])
        self.looks = np.array([(m.scale, m.gloss, m.emission, m.dropout) for m in materials], np.float32)
        self.seed = np.array([m.seed for m in materials], np.int64)
        self.caster = _caster(np.concatenate(vertices), np.concatenate(triangles))

    def cast(self, camera: Camera, world_from_camera: Float64[np.ndarray, "4 4"]) -> View:
        """Depth along the optical axis, surface points and shading normals (towards the camera) of all pixels."""
        rays = _rays(camera, world_from_camera)
        hit = self.caster.cast_rays(_tensor(rays), nthreads=1)
        return View(
            *_surface(
                rays,
                hit["t_hit"].numpy(),
                hit["primitive_ids"].numpy(),
                hit["primitive_uvs"].numpy(),
                hit["primitive_normals"].numpy(),
                self.part_of_triangle,
                self.corner_normals,
            )
        )

    def blocked(self, points: Float32[np.ndarray, "P 3"], lights: Float32[np.ndarray, "P 3"]) -> Bool[np.ndarray, "P"]:
        """Whether something stands between each point and its light."""
        rays = np.concatenate([points, lights - points], 1).astype(np.float32)
        return self.caster.test_occlusions(_tensor(rays), tnear=0.0, tfar=0.97, nthreads=1).numpy()

    def clearance(self, points: Float64[np.ndarray, "N 3"]) -> Float32[np.ndarray, "N"]:
        """Metres from each point to the nearest surface."""
        return self.caster.compute_distance(_tensor(points.astype(np.float32)), nthreads=1).numpy()


def _tensor(array: np.ndarray):
    import open3d

    return open3d.core.Tensor.from_numpy(np.ascontiguousarray(array))


def _caster(vertices: np.ndarray, triangles: np.ndarray):
    import open3d

    caster = open3d.t.geometry.RaycastingScene(nthreads=1)
    caster.add_triangles(_tensor(vertices.astype(np.float32)), _tensor(triangles.astype(np.uint32)))
    return caster


def _instances(parts: list, spots: list) -> Int64[np.ndarray, "parts"]:
    """One number for each (piece, label); doors and windows, walls and floor too, as in ScanNet's annotations."""
    known: dict[tuple[int, str], int] = {}
    keys = [(id(s), p.label) for p, s in zip(parts, spots, strict=True)]
    return np.array([-1 if k[1] == NOTHING else known.setdefault(k, len(known)) for k in keys], np.int64)


def _corner_normals(v: Float64[np.ndarray, "N 3"], t: Int64[np.ndarray, "M 3"]) -> Float64[np.ndarray, "M 3 3"]:
    """Normals at the corners of each triangle, smooth across blunt edges only."""
    face = np.cross(v[t[:, 1]] - v[t[:, 0]], v[t[:, 2]] - v[t[:, 0]])
    smooth = np.zeros_like(v)
    for k in range(3):
        np.add.at(smooth, t[:, k], face)
    unit = lambda a: a / (np.linalg.norm(a, axis=-1, keepdims=True) + 1e-12)  # noqa: E731
    face, corner = unit(face)[:, None], unit(smooth)[t]
    return np.where((face * corner).sum(-1, keepdims=True) > CREASE, corner, face)


def _rays(camera: Camera, pose: Float64[np.ndarray, "4 4"]) -> Float32[np.ndarray, "P 6"]:
    """Rays through the pixels' centres; a direction has length 1 along the optical axis, so distance is depth."""
    rays = np.empty((camera.height * camera.width, 6), np.float32)
    _fill_rays(rays, camera.width, camera.fx, camera.fy, camera.cx, camera.cy, np.ascontiguousarray(pose))
    return rays


@compiled
def _fill_rays(rays, width, fx, fy, cx, cy, pose):
    for k in range(len(rays)):
        x, y = (k % width - cx) / fx, (k // width - cy) / fy
        for i in range(3):
            rays[k, i] = pose[i, 3]
            rays[k, 3 + i] = pose[i, 0] * x + pose[i, 1] * y + pose[i, 2]


@compiled
def _surface(rays, distance, triangle, uv, face, part_of_triangle, corner_normals):
    """The fields of a View from what the ray caster reports. Both normals are turned towards the camera."""
    count = len(rays)
    part = np.full(count, -1, np.int64)
    depth = np.zeros(count, np.float32)
    point = np.zeros((count, 3), np.float32)
    normal = np.zeros((count, 3), np.float32)
    flat = np.zeros((count, 3), np.float32)
    for k in range(count):
        if not np.isfinite(distance[k]):
            continue
        part[k], depth[k] = part_of_triangle[triangle[k]], distance[k]
        a, b = uv[k, 0], uv[k, 1]
        corners = corner_normals[triangle[k]]
        towards, same, length = 0.0, 0.0, 1e-12
        for i in range(3):
            point[k, i] = rays[k, i] + distance[k] * rays[k, 3 + i]
            normal[k, i] = (1 - a - b) * corners[0, i] + a * corners[1, i] + b * corners[2, i]
            towards += face[k, i] * rays[k, 3 + i]
            length += normal[k, i] ** 2
        sign = -1.0 if towards > 0 else 1.0
        for i in range(3):
            flat[k, i] = sign * face[k, i]
            same += flat[k, i] * normal[k, i]
        length = math.sqrt(length) * (1.0 if same > 0 else -1.0)
        for i in range(3):
            normal[k, i] /= length
    return part, depth, point, normal, flat


# ---------------------------------------------------------------- textures

TEXTURES = (
    "plain", "wood", "planks", "tile", "brick", "fabric", "stripes", "pattern", "stone", "books", "art", "outside",
)  # fmt: skip
_PLAIN, _WOOD, _PLANKS, _TILE, _BRICK, _FABRIC, _STRIPES, _PATTERN, _STONE, _BOOKS, _ART, _OUTSIDE = range(12)


@compiled
def _hash(a, b, c):
    """A random but fixed number in 0..1 for integer coordinates."""
    h = 0x9E3779B9
    for k in (int(a), int(b), int(c)):
        h = ((h ^ (k & 0xFFFFFFFF)) * 0x5BD1E995) & 0xFFFFFFFF
        h ^= h >> 15
    return (h & 0xFFFF) / 65535.0


@compiled
def _grain(along, across, period, phase):
    wave = across / period * 6.28 + 1.6 * math.sin(along * 2.1 + phase) + 1.9 * math.sin(along * 1.3 + across * 9)
    return 0.5 + 0.3 * math.sin(wave) + 0.2 * math.sin(across * 310 + 2 * math.sin(along * 5 + phase))


@compiled
def _planks(u, v, scale, seed):
    """Boards in rows, each of its own tint: (share of the colour, brightness)."""
    along, across = (u, v) if seed % 2 == 0 else (v, u)
    row, length = math.floor(across / scale), scale * 9
    shifted = along + _hash(row, seed, 1) * length
    column = math.floor(shifted / length)
    tint = 0.8 + 0.3 * _hash(row, column, seed)
    gap = across / scale - row < 0.035 or shifted / length - column < 0.006
    return _grain(along + 3 * tint, across, scale * 0.45, seed * 0.37), tint * (0.6 if gap else 1.0)


@compiled
def _tiles(u, v, scale, tall, shift, seed):
    """Rows of tiles or bricks: (share of the colour, brightness); joints have none of the colour."""
    row = math.floor(v / (scale * tall))
    a = u / scale + shift * (row % 2)
    column = math.floor(a)
    if a - column < 0.035 or v / (scale * tall) - row < 0.035 / tall:
        return 0.0, 0.8
    return 1.0, 0.9 + 0.16 * _hash(row, column, seed)


@compiled
def _printed(u, v, scale, seed):
    """Stripes, checks, dots or plaid, by seed: the share of the colour."""
    a, b = u / scale, v / scale
    stripe, cross, kind = math.floor(a * 2) % 2, math.floor(b * 2) % 2, seed % 4
    if kind == 0:
        share = stripe
    elif kind == 1:
        share = (stripe + cross) % 2
    elif kind == 2:
        share = 1.0 if (a - math.floor(a) - 0.5) ** 2 + (b - math.floor(b) - 0.5) ** 2 < 0.08 else 0.0
    else:
        share = 0.5 * (stripe + cross)
    return 1 - 0.85 * share


@compiled
def _mixed(texture, u, v, along, across, scale, seed):
    """Textures of two colours: (share of the first, brightness)."""
    share, bright = 1.0, 1.0
    if texture == _PLAIN:
        k = 6.0 / scale
        blot = math.sin(u * k + seed) * math.sin(v * k * 0.8 + 1.7 * seed) + 0.5 * math.sin((u + v) * k * 2.3)
        bright = 1 + 0.012 * blot
    elif texture == _WOOD:
        share = _grain(along, across, scale, seed * 0.37)
    elif texture == _PLANKS:
        share, bright = _planks(u, v, scale, seed)
    elif texture == _TILE:
        share, bright = _tiles(u, v, scale, 1.0, 0.0, seed)
    elif texture == _BRICK:
        share, bright = _tiles(u, v, scale, 0.32, 0.5, seed)
    elif texture == _FABRIC:
        fine = _hash(math.floor(u / 0.006), math.floor(v / 0.006), seed) - 0.5
        bright = 1 + 0.22 * fine + 0.06 * math.sin(u * 6.28 / scale) * math.sin(v * 6.28 / scale)
    elif texture == _STRIPES:
        share = 1 - 0.7 * (math.floor(u / scale * 2) % 2)
    elif texture == _PATTERN:
        share = _printed(u, v, scale, seed)
    elif texture == _STONE:
        speck = _hash(math.floor(u / 0.008), math.floor(v / 0.008), seed)
        vein = math.sin(u * 0.9 / scale + 2.5 * math.sin(v * 4 + seed) + 1.5 * math.sin(u * 7))
        share = min(max(0.55 + 0.25 * vein + 0.5 * (speck - 0.5), 0.0), 1.0)
    return share, bright


@compiled
def _book(out, u, scale, seed):
    """Upright spines of uneven widths in many colours."""
    a = u / scale + 0.35 * math.sin(u / scale * 1.3 + seed)
    spine = math.floor(a)
    hue, value, kind = _hash(spine, seed, 0), _hash(spine, seed, 1), _hash(spine, seed, 2)
    for k in range(3):
        wheel = 0.5 + 0.5 * math.cos(6.28 * (hue + k / 3))
        c = (out[k] + (wheel - out[k]) * (0.25 + 0.5 * kind)) * (0.12 + 0.75 * value)
        if kind > 0.72:
            c = 0.75 * value + 0.1
        out[k] = c * (0.35 if a - spine < 0.1 else 1.0)


@compiled
def _art(out, accent, u, v, scale, seed):
    k, p = 4.0 / scale, seed * 0.77
    a = math.sin(u * k + p + 1.3 * math.sin(v * k * 0.7 + 2 * p))
    b = math.sin(v * k * 1.4 + 1.7 * p + 0.9 * math.sin(u * k * 1.9))
    if seed % 3 == 0:
        a = 1.0 if a > 0 else -1.0
    for i in range(3):
        out[i] += (accent[i] - out[i]) * (0.5 + 0.5 * a)
    r, g, blue = out[0], out[1], out[2]
    share = max(b, 0.0) * 0.8
    out[0], out[1], out[2] = r + (1 - blue - r) * share, g + (1 - g - g) * share, blue + (1 - r - blue) * share


@compiled
def _outside(out, accent, u, v, seed):
    """A blurred view out of a window: sky above, greenery or houses below."""
    if seed % 3 == 0:
        return
    line = 0.55 + 0.25 * math.sin(u * 2.3 + seed) + 0.1 * math.sin(u * 9 + 2.0 * seed)
    low = min(max((line - v) * 8, 0.0), 1.0)
    for i in range(3):
        ground = accent[i] * (0.4 + 0.15 * math.sin(u * 17 + 3 * math.sin(v * 11 + seed)))
        out[i] += (ground - out[i]) * low


@compiled
def _picture(out, texture, u, v, color, accent, scale, seed):
    """Textures of many colours: the linear colour of one surface point into ``out``."""
    out[:] = color
    if texture == _BOOKS:
        _book(out, u, scale, seed)
    elif texture == _ART:
        _art(out, accent, u, v, scale, seed)
    elif texture == _OUTSIDE:
        _outside(out, accent, u, v, seed)


@compiled
def _albedo(part, point, flat, origin, turn, grain, color, accent, texture, looks, seed):
    """Linear surface colours. Textures live in the frame of their piece, on the plane that faces the normal most."""
    count = len(part)
    out = np.zeros((count, 3), np.float32)
    q = np.zeros(3)
    for k in range(count):
        p = part[k]
        if p < 0:
            continue
        c, s = turn[p, 0], turn[p, 1]
        x, y = point[k, 0] - origin[p, 0], point[k, 1] - origin[p, 1]
        q[0], q[1], q[2] = c * x + s * y, c * y - s * x, point[k, 2] - origin[p, 2]
        nx, ny = c * flat[k, 0] + s * flat[k, 1], c * flat[k, 1] - s * flat[k, 0]
        level = abs(flat[k, 2]) > 0.7
        u = q[0] if level or abs(ny) >= abs(nx) else q[1]
        v = q[1] if level else q[2]
        if texture[p] in (_BOOKS, _ART, _OUTSIDE):
            _picture(out[k], texture[p], u, v, color[p], accent[p], looks[p, 0], seed[p])
        else:  # the most; without views of arrays, for speed
            along = q[grain[p]]
            across = q[0] + q[1] + q[2] - along
            share, bright = _mixed(texture[p], u, v, along, across, looks[p, 0], seed[p])
            for i in range(3):
                out[k, i] = (accent[p, i] + (color[p, i] - accent[p, i]) * share) * bright
        for i in range(3):
            out[k, i] = min(max(out[k, i], 0.0), 1.0)
    return out


# ---------------------------------------------------------------- light


@dataclass(frozen=True)
class Light:
    """Lamps of a scene: places, strengths and colours (the strongest first); the light from everywhere; lamp radius."""

    places: Float64[np.ndarray, "L 3"]
    colors: Float64[np.ndarray, "L 3"]
    ambient: Float64[np.ndarray, "3"]
    radius: float

    @classmethod
    def draw(cls, room: Room, kit: Kit) -> "Light":
        """Ceiling lamps, windows by day, sometimes only one of them; warm or cold."""
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


def _tint(warmth: float) -> Float64[np.ndarray, "3"]:
    return np.array([1 + 0.22 * warmth, 1.0, 1 - 0.3 * warmth])


SHADOWS = 2  # so many of the strongest lights cast shadows


def shade(
    world: World, camera: Camera, view: View, light: Light, eye: Float64[np.ndarray, "3"], rng: np.random.Generator
) -> Float32[np.ndarray, "P 3"]:
    """Linear light that leaves each surface point towards the camera: Lambert and a highlight per lamp."""
    base = _albedo(
        view.part, view.point, view.flat_normal, world.origin, world.turn, world.grain, world.color, world.accent,
        world.texture, world.looks, world.seed,
    )  # fmt: skip
    size = np.array([world.room.width, world.room.depth, world.room.height])
    shadow = np.zeros((SHADOWS, camera.height, camera.width), np.float32)
    for k, place in enumerate(light.places[:SHADOWS]):
        shadow[k] = _shadow(world, camera, view, place, light.radius, rng)
    return _light(
        base, view.part, view.point, view.normal, shadow.reshape(SHADOWS, -1), light.places, light.colors,
        light.ambient, world.looks, np.ascontiguousarray(eye), size,
    )  # fmt: skip


def _shadow(
    world: World, camera: Camera, view: View, place: np.ndarray, radius: float, rng: np.random.Generator
) -> Float32[np.ndarray, "H W"]:
    """Share of a round lamp that is hidden, from one random ray for every 2 x 2 pixels."""
    grid = np.arange(len(view.part)).reshape(camera.height, camera.width)[::2, ::2]
    start = (view.point + view.flat_normal * np.float32(0.004))[grid.ravel()]
    lamp = place + radius * rng.uniform(-1, 1, start.shape) * (1, 1, 0.2)
    hidden = world.blocked(start, lamp.astype(np.float32)).astype(np.float32).reshape(grid.shape)
    hidden = _soften(hidden, view.depth_m[grid])
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
    """Corners are darker, being lit from fewer sides: 1 in the open, less where a second wall is near."""
    total, largest = 0.0, 0.0
    for at, most in ((x, size[0]), (y, size[1]), (z, size[2])):
        low, high = _near(abs(at)), _near(abs(most - at))
        total += low + high
        largest = max(largest, low, high)
    return 1 - 0.3 * min(total - largest, 1.0) - 0.1 * _near(abs(z))


@compiled
def _lamp(tx, ty, tz, nx, ny, nz, bx, by, bz):
    """What a lamp at t from a point with normal n gives it, and the cosine of its mirror image to the eye, which is
    in the direction b. No arrays: speed."""
    r2 = tx * tx + ty * ty + tz * tz
    r = math.sqrt(r2) + 1e-6
    tx, ty, tz = tx / r, ty / r, tz / r
    facing = max(nx * tx + ny * ty + nz * tz, 0.0)
    hx, hy, hz = tx + bx, ty + by, tz + bz
    half = (nx * hx + ny * hy + nz * hz) / (math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6)
    return (0.9 * facing + 0.1) / (r2 + 0.8), half


@compiled
def _light(base, part, point, normal, shadow, places, colors, ambient, looks, eye, size):
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


# ---------------------------------------------------------------- the camera's faults


@dataclass(frozen=True)
class Sensor:
    """One scene's camera: exposure target, white balance, vignetting, blur and noise; depth range and noise."""

    exposure: float
    white: Float64[np.ndarray, "3"]
    vignette: float
    blur: float
    noise: float
    saturation: float
    depth_range: tuple[float, float]
    depth_noise: float
    ceiling_seen: bool

    @classmethod
    def draw(cls, kit: Kit) -> "Sensor":
        white = np.array([1 + kit.between(-0.08, 0.1), 1.0, 1 + kit.between(-0.12, 0.08)])
        return cls(
            kit.between(0.15, 0.36), white, kit.between(0.05, 0.35), kit.between(0.45, 0.95), kit.between(0.004, 0.018),
            kit.between(0.75, 1.1), (kit.between(0.3, 0.45), kit.between(4.5, 6.5)), kit.between(0.0008, 0.0022),
            kit.chance(0.5),
        )  # fmt: skip

    def expose(
        self, linear: Float32[np.ndarray, "P 3"], camera: Camera, gain: float, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "H W 3"]:
        """Light to 8-bit sRGB: white balance, vignetting, blur, tone curve, noise."""
        shape = (camera.height, camera.width, 3)
        image, noise = linear.reshape(shape), rng.standard_normal(shape, np.float32)
        taps = np.exp(-0.5 * (np.arange(-2, 3) / self.blur) ** 2)
        return _develop(
            image, gain * self.white, self.vignette, taps / taps.sum(), self.saturation, self.noise, noise, _GAMMA
        )

    def measure(
        self, world: World, view: View, camera: Camera, eye: Float64[np.ndarray, "3"], rng: np.random.Generator
    ) -> Float32[np.ndarray, "H W"]:
        """True depth to measured metres: noise that grows with the square of distance, whole millimetres, 0 = missing.

        Missing are pixels at grazing angles, on dark, shiny or transparent surfaces, at edges, and out of range.
        """
        shape = (camera.height, camera.width)
        noise = rng.standard_normal((2, *shape), np.float32)
        chance = rng.random((2, *shape), np.float32)
        coarse = rng.random((shape[0] // 12 + 2, shape[1] // 12 + 2), np.float32)
        top = np.inf if self.ceiling_seen else world.room.height - 0.01
        return _measure(
            view.depth_m.reshape(shape), view.part.reshape(shape), view.point, view.flat_normal, world.looks, noise,
            chance, coarse, np.ascontiguousarray(eye), self.depth_noise, *self.depth_range, top,
        )  # fmt: skip


_GAMMA = (np.linspace(0, 1, 4096) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)


@compiled
def _develop(image, gain, vignette, taps, saturation, grain, noise, gamma):
    h, w, _ = image.shape
    rows, out = np.zeros((h, w, 3), np.float32), np.zeros((h, w, 3), np.uint8)
    for y in range(h):
        for x in range(w):
            for t in range(5):
                at = min(max(x + t - 2, 0), w - 1)
                for i in range(3):
                    rows[y, x, i] += taps[t] * image[y, at, i]
    c = np.zeros(3)
    for y in range(h):
        for x in range(w):
            r2 = ((2 * y + 1) / h - 1) ** 2 + ((2 * x + 1) / w - 1) ** 2
            for i in range(3):
                c[i] = 0.0
                for t in range(5):
                    c[i] += taps[t] * rows[min(max(y + t - 2, 0), h - 1), x, i]
                c[i] *= gain[i] * (1 - 0.5 * vignette * r2)
            gray = (c[0] + c[1] + c[2]) / 3
            for i in range(3):
                a = max(gray + (c[i] - gray) * saturation, 0.0)
                a = 1.05 * a / (1 + 0.28 * a)  # bright parts roll off
                a += noise[y, x, i] * grain * math.sqrt(min(max(a, 0.02), 1.0))
                out[y, x, i] = gamma[int(min(max(a, 0.0), 1.0) * 4095 + 0.5)]
    return out


@compiled
def _measure(z, part, point, flat, looks, noise, chance, coarse, eye, spread, low, high, top):
    h, w = z.shape
    out = np.zeros((h, w), np.float32)
    for y in range(h):
        for x in range(w):
            k = y * w + x
            if part[y, x] < 0 or point[k, 2] > top:
                continue
            near, far, soft = z[y, x], z[y, x], 0.0
            for b in range(max(y - 1, 0), min(y + 2, h)):
                for a in range(max(x - 1, 0), min(x + 2, w)):
                    near, far = min(near, z[b, a]), max(far, z[b, a])
                    soft += noise[1, b, a] / 9
            if far - near > 0.06 * near + 0.02 and chance[0, y, x] < 0.65:
                continue
            length, slant = 1e-9, 0.0
            for i in range(3):
                length += (eye[i] - point[k, i]) ** 2
                slant += (eye[i] - point[k, i]) * flat[k, i]
            slant = abs(slant) / math.sqrt(length)
            risk = min(max((0.17 - slant) / 0.12, 0.0), 1.0) + 1.1 * looks[part[y, x], 3]
            # holes come in blotches: a coarse field of chance, and some fine one
            a, b = x / 12, y / 12
            i, j = int(a), int(b)
            a, b = a - i, b - j
            field = (coarse[j, i] * (1 - a) + coarse[j, i + 1] * a) * (1 - b)
            field += (coarse[j + 1, i] * (1 - a) + coarse[j + 1, i + 1] * a) * b
            if 0.75 * field + 0.25 * chance[1, y, x] < risk:
                continue
            measured = z[y, x] + (0.6 * noise[0, y, x] + 1.6 * soft) * (0.0008 + spread * z[y, x] ** 2)
            if low <= measured <= high:
                out[y, x] = np.float32(round(measured * 1000) / 1000)
    return out


def exposure_gain(linear: Float32[np.ndarray, "P 3"], target: float) -> float:
    """The gain that brings the middle brightness to ``target``."""
    middle = linear[::7].mean(1)
    return float(np.clip(target / (0.5 * np.median(middle) + 0.5 * middle.mean() + 1e-4), 0.05, 40))
