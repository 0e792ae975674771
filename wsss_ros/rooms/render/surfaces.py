"""The surfaces of a room, and the points at which a camera's rays hit them."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt32

from wsss_ros.geometry.compiled import compiled
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.rooms.furniture.piece import NOTHING, Part
from wsss_ros.rooms.layout.room import Placed, Room
from wsss_ros.rooms.rays import ray_caster, tensor
from wsss_ros.rooms.render.image_table import image_table
from wsss_ros.rooms.render.textures import TEXTURES
from wsss_ros.types import Camera

CREASE = np.cos(np.radians(50))  # edges sharper than this stay sharp in shading


@dataclass(frozen=True)
class View:
    """The surface points that the rays of one camera hit; flat arrays over the H*W pixels. Part -1: no surface.

    ``triangle`` and ``barycentric`` are meaningless where there is no surface.
    """

    part: Int64[np.ndarray, "P"]
    depth_m: Float32[np.ndarray, "P"]
    point: Float32[np.ndarray, "P 3"]
    normal: Float32[np.ndarray, "P 3"]
    flat_normal: Float32[np.ndarray, "P 3"]
    triangle: UInt32[np.ndarray, "P"]
    barycentric: Float32[np.ndarray, "P 2"]


class World:
    """A room's surfaces, ready for ray casting. Parts carry labels, instances and materials.

    ``label[part]`` is an index of the label space or 255, ``instance[part]`` numbers the labelled objects (-1: none).
    ``piece[part]`` is the index of its piece in the room; ``shell[part]`` is true for walls, floor and ceiling.
    """

    def __init__(self, room: Room, labels: LabelSpace) -> None:
        self.room = room
        vertices, triangles, owner, normals = [], [], [], []
        parts: list[Part] = []
        spots: list[Placed] = []
        for spot in room.placed:
            for part in spot.piece.parts:
                v, t = spot.vertices(part), part.mesh.triangles
                vertices.append(v)
                triangles.append(t)
                normals.append(_corner_normals(v, t))
                owner.append(np.full(len(t), len(parts)))
                parts.append(part)
                spots.append(spot)
        self.part_of_triangle = np.concatenate(owner)
        self.corner_normals = np.concatenate(normals).astype(np.float32)
        self.label = np.array([labels.index(p.label) if p.label else UNLABELLED for p in parts], np.uint8)
        self.names = [p.label for p in parts]
        self.instance = _instances(parts, spots)
        pieces = {id(s): k for k, s in enumerate(room.placed)}
        self.piece = np.array([pieces[id(s)] for s in spots])
        above = np.array([s.z >= room.height for s in spots])
        self.shell = np.array([p.label in ("wall", "floor") for p in parts]) | above
        self.grain = np.array([p.grain for p in parts])
        self.origin = np.array([(s.x, s.y, s.z) for s in spots], np.float32)
        self.turn = np.array([(np.cos(s.yaw), np.sin(s.yaw)) for s in spots], np.float32)
        materials = [p.material for p in parts]
        self.images = image_table(parts)
        self.color = np.array([m.color for m in materials], np.float32) ** 2.2
        self.accent = np.array([m.accent for m in materials], np.float32) ** 2.2
        self.texture = np.array([TEXTURES.index(m.texture) for m in materials])
        self.looks = np.array([(m.scale, m.gloss, m.emission, m.dropout) for m in materials], np.float32)
        self.alpha = np.array([m.alpha for m in materials], np.float32)
        self.seed = np.array([m.seed for m in materials], np.int64)
        self.caster = ray_caster(vertices, triangles)

    def cast(self, camera: Camera, world_from_camera: Float64[np.ndarray, "4 4"]) -> View:
        """Depth along the optical axis, surface points and normals (towards the camera) of all pixels."""
        return self._hits(_rays(camera, world_from_camera))

    def cast_behind(self, view: View, glass: Bool[np.ndarray, "P"], eye: Float64[np.ndarray, "3"]) -> View:
        """What the rays of a view hit behind ``glass``, the pixels where they pass it; no surface elsewhere."""
        directions = view.point[glass] - eye
        directions /= np.maximum(view.depth_m[glass], 1e-6)[:, None]
        rays = np.concatenate([view.point[glass] + 1e-3 * _unit(directions), directions], 1).astype(np.float32)
        hits = self._hits(rays)
        behind = View(*(np.zeros((len(glass), *of.shape[1:]), of.dtype) for of in vars(hits).values()))
        for whole, of in zip(vars(behind).values(), vars(hits).values(), strict=True):
            whole[glass] = of
        behind.part[~glass] = -1
        behind.depth_m[glass] += view.depth_m[glass]
        return behind

    def _hits(self, rays: Float32[np.ndarray, "P 6"]) -> View:
        hit = self.caster.cast_rays(tensor(rays), nthreads=1)
        triangle, barycentric = hit["primitive_ids"].numpy(), hit["primitive_uvs"].numpy()
        part, depth_m, point, normal, flat_normal = _surface(
            rays,
            hit["t_hit"].numpy(),
            triangle,
            barycentric,
            hit["primitive_normals"].numpy(),
            self.part_of_triangle,
            self.corner_normals,
        )
        return View(part, depth_m, point, normal, flat_normal, triangle, barycentric)

    def blocked(self, points: Float32[np.ndarray, "P 3"], lights: Float32[np.ndarray, "P 3"]) -> Bool[np.ndarray, "P"]:
        """Whether a surface is between each point and its light."""
        rays = np.concatenate([points, lights - points], 1).astype(np.float32)
        return self.caster.test_occlusions(tensor(rays), tnear=0.0, tfar=0.97, nthreads=1).numpy()

    def first_hits(
        self, origins: Float64[np.ndarray, "P 3"], directions: Float64[np.ndarray, "P 3"]
    ) -> tuple[Int64[np.ndarray, "P"], Float32[np.ndarray, "P"]]:
        """The part that each ray meets first (-1: none), and the distance in lengths of its direction."""
        hit = self.caster.cast_rays(tensor(np.concatenate([origins, directions], 1).astype(np.float32)), nthreads=1)
        distance = hit["t_hit"].numpy()
        met = np.minimum(hit["primitive_ids"].numpy(), len(self.part_of_triangle) - 1)
        return np.where(np.isfinite(distance), self.part_of_triangle[met], -1), distance

    def is_label(self, name: str) -> Bool[np.ndarray, "parts_and_none"]:
        """Whether each part has this class; the last value, False, is for part -1."""
        return np.append(np.array(self.names) == name, False)

    def clearance(self, points: Float64[np.ndarray, "N 3"]) -> Float32[np.ndarray, "N"]:
        """Metres from each point to the nearest surface."""
        return self.caster.compute_distance(tensor(points.astype(np.float32)), nthreads=1).numpy()


def _instances(parts: list[Part], spots: list[Placed]) -> Int64[np.ndarray, "parts"]:
    """One number for each (piece, label), doors, windows, walls and floor included, as ScanNet annotates."""
    known: dict[tuple[int, str], int] = {}
    keys = [(id(s), p.label) for p, s in zip(parts, spots, strict=True)]
    return np.array([-1 if k[1] == NOTHING else known.setdefault(k, len(known)) for k in keys], np.int64)


def _corner_normals(v: Float64[np.ndarray, "N 3"], t: Int64[np.ndarray, "M 3"]) -> Float64[np.ndarray, "M 3 3"]:
    """Normals at the corners of each triangle, smooth across blunt edges only."""
    face = np.cross(v[t[:, 1]] - v[t[:, 0]], v[t[:, 2]] - v[t[:, 0]])
    smooth = np.zeros_like(v)
    for k in range(3):
        np.add.at(smooth, t[:, k], face)
    face, corner = _unit(face)[:, None], _unit(smooth)[t]
    return np.where((face * corner).sum(-1, keepdims=True) > CREASE, corner, face)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)


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
