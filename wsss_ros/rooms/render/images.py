"""The images on surfaces: looked up at the points that a camera sees, averaged over the area of a pixel."""

import math

import numpy as np
from jaxtyping import Float32, Float64

from wsss_ros.geometry.compiled import compiled
from wsss_ros.model_files.pictures import LINEAR
from wsss_ros.rooms.render.image_table import ImageTable
from wsss_ros.rooms.render.surfaces import View, World


def lay_images(
    base: Float32[np.ndarray, "P 3"],
    table: ImageTable,
    view: View,
    world: World,
    eye: Float64[np.ndarray, "3"],
    pixel: float,
) -> None:
    """Replace the linear colours ``base`` of the points whose parts have a picture.

    ``pixel`` is the width of a pixel one metre away, in metres.
    """
    _lay(
        base, view.part, view.triangle, view.barycentric, view.depth_m, view.point, view.flat_normal,
        np.ascontiguousarray(eye), pixel, world.origin, world.turn, world.grain, world.color, world.seed, table.texels,
        table.levels, table.first, table.count, table.mapped, table.tile, table.oriented, table.uv, table.density,
        LINEAR,
    )  # fmt: skip


@compiled
def _texel(texels, start, width, height, u, v, linear, out, share):
    """Add ``share`` of the picture's colour at (u, v), between its four nearest texels; the picture repeats."""
    x, y = u * width - 0.5, v * height - 0.5
    left, top = math.floor(x), math.floor(y)
    a, b = x - left, y - top
    for j in range(2):
        row = start + int(top + j) % height * width
        for i in range(2):
            k = row + int(left + i) % width
            weight = share * (a if i else 1 - a) * (b if j else 1 - b)
            for c in range(3):
                out[c] += weight * linear[texels[k, c]]


@compiled
def _sample(texels, levels, first, count, u, v, level, linear, out):
    """The picture's linear colour at (u, v): between the two copies nearest to ``level`` (0: the picture itself)."""
    out[:] = 0.0
    u, v = u - math.floor(u), v - math.floor(v)
    level = min(max(level, 0.0), count - 1.0)
    low = min(int(level), count - 1)
    share = level - low
    _texel(texels, levels[first + low, 0], levels[first + low, 1], levels[first + low, 2], u, v, linear, out, 1 - share)
    if share > 0:
        k = first + low + 1
        _texel(texels, levels[k, 0], levels[k, 1], levels[k, 2], u, v, linear, out, share)


@compiled
def _box_uv(x, y, z, nx, ny, nz, grain, oriented, tile, seed):
    """Where box projection reads a picture: on the plane of the piece's frame that faces the normal most.

    The grain of wood is laid along the part. The seed shifts the picture.
    """
    level = abs(nz) > 0.7
    first = 0 if level or abs(ny) >= abs(nx) else 1
    u = x if first == 0 else y
    v = y if level else z
    second = 1 if level else 2
    shift = seed * 0.618034
    if oriented and (oriented == 2) == (grain != second):  # the grain of the picture is across that of the part
        u, v = v, u
    return u / tile[0] + shift, -v / tile[1] + shift * 7


@compiled
def _lay(
    base, part, triangle, barycentric, depth, point, flat, eye, pixel, origin, turn, grain, color, seed, texels, levels,
    first, count, mapped, tile, oriented, uv, density, linear,
):  # fmt: skip
    out = np.zeros(3)
    for k in range(len(part)):
        p = part[k]
        if p < 0 or first[p] < 0:
            continue
        if mapped[p]:
            t, a, b = triangle[k], barycentric[k, 0], barycentric[k, 1]
            u = (1 - a - b) * uv[t, 0, 0] + a * uv[t, 1, 0] + b * uv[t, 2, 0]
            v = (1 - a - b) * uv[t, 0, 1] + a * uv[t, 1, 1] + b * uv[t, 2, 1]
            texels_per_m = density[t]
        else:
            c, s = turn[p, 0], turn[p, 1]
            x, y = point[k, 0] - origin[p, 0], point[k, 1] - origin[p, 1]
            nx, ny = c * flat[k, 0] + s * flat[k, 1], c * flat[k, 1] - s * flat[k, 0]
            u, v = _box_uv(c * x + s * y, c * y - s * x, point[k, 2] - origin[p, 2], nx, ny, flat[k, 2], grain[p],
                           oriented[p], tile[p], seed[p])  # fmt: skip
            texels_per_m = math.sqrt(levels[first[p], 1] * levels[first[p], 2] / (tile[p, 0] * tile[p, 1]))
        slant, length = 0.0, 1e-9
        for i in range(3):
            slant += (eye[i] - point[k, i]) * flat[k, i]
            length += (eye[i] - point[k, i]) ** 2
        # A pixel covers a longer piece of a slanted surface; half of the excess (in the exponent) is averaged away.
        covered = depth[k] * pixel / math.sqrt(max(abs(slant) / math.sqrt(length), 0.05))
        _sample(texels, levels, first[p], count[p], u, v, math.log2(covered * texels_per_m + 1e-9), linear, out)
        for i in range(3):
            base[k, i] = min(out[i] * color[p, i], 1.0)
