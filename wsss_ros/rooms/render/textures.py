"""The colours of surfaces: textures by formula, in the frame of each piece."""

import math

import numpy as np

from wsss_ros.geometry.compiled import compiled

TEXTURES = (
    "plain", "wood", "planks", "tile", "brick", "fabric", "stripes", "pattern", "stone", "books", "art", "outside",
)  # fmt: skip
_PLAIN, _WOOD, _PLANKS, _TILE, _BRICK, _FABRIC, _STRIPES, _PATTERN, _STONE, _BOOKS, _ART, _OUTSIDE = range(12)


@compiled
def _hash(a, b, c):
    """A fixed pseudo-random number in 0..1 for integer coordinates."""
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
def albedo(part, point, flat, origin, turn, grain, color, accent, texture, looks, seed):
    """Linear surface colours [P 3].

    A texture is drawn on that plane of its piece's frame that faces the normal most.
    """
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
