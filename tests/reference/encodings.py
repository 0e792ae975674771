"""Slow, obvious readers of image encodings: one pixel at a time, in Python's numbers."""

import struct

import numpy as np

BAYER = {"rggb": "RGGB", "grbg": "GRBG", "gbrg": "GBRG", "bggr": "BGGR"}  # the first 2 x 2 samples, row by row
# The bytes of Y of both pixels, U and V in four bytes.
PACKED = {"uyvy": "UYVY", "yuv422": "UYVY", "yuyv": "YUYV", "yuv422_yuy2": "YUYV"}
PAIRS = {"nv12": ("UV", 2), "nv21": ("VU", 2), "nv24": ("UV", 1)}  # the order of a pair, pixels that share it


def rgb_of_yuv(y: int, u: int, v: int) -> list[int]:
    """BT.601, limited range."""
    light = 1.164 * (max(y, 16) - 16)
    channels = (light + 1.596 * (v - 128), light - 0.813 * (v - 128) - 0.391 * (u - 128), light + 2.018 * (u - 128))
    return [min(max(round(value), 0), 255) for value in channels]


def packed(data: bytes, encoding: str, height: int, width: int, step: int) -> np.ndarray:
    order = PACKED[encoding]
    rgb = np.zeros((height, width, 3), np.uint8)
    for row in range(height):
        for column in range(width):
            four = data[row * step + column // 2 * 4 :][:4]
            brightness = four[order.index("Y")] if column % 2 == 0 else four[order.rindex("Y")]
            rgb[row, column] = rgb_of_yuv(brightness, four[order.index("U")], four[order.index("V")])
    return rgb


def planar(data: bytes, encoding: str, height: int, width: int, step: int) -> np.ndarray:
    order, shared = PAIRS[encoding]
    rgb = np.zeros((height, width, 3), np.uint8)
    for row in range(height):
        for column in range(width):
            pair = height * step + row // shared * (2 * step // shared) + column // shared * 2
            u, v = (data[pair + order.index(name)] for name in "UV")
            rgb[row, column] = rgb_of_yuv(data[row * step + column], u, v)
    return rgb


def bayer(raw: np.ndarray, pattern: str) -> np.ndarray:
    """A colour is the sample itself, else the mean of its samples among the 3 x 3 around the pixel."""
    height, width = raw.shape

    def mirrored(place: int, size: int) -> int:
        return -place if place < 0 else 2 * (size - 1) - place if place >= size else place

    rgb = np.zeros((height, width, 3), raw.dtype)
    for row in range(height):
        for column in range(width):
            around: dict[str, list[int]] = {"R": [], "G": [], "B": []}
            for r in range(row - 1, row + 2):
                for c in range(column - 1, column + 2):
                    color = BAYER[pattern][r % 2 * 2 + c % 2]
                    around[color].append(int(raw[mirrored(r, height), mirrored(c, width)]))
            around[BAYER[pattern][row % 2 * 2 + column % 2]] = [int(raw[row, column])]
            rgb[row, column] = [int(sum(around[color]) / len(around[color]) + 0.5) for color in "RGB"]
    return rgb


def rvl(pixels: np.ndarray) -> bytes:
    """Encode depth as RVL: size, then nibbles of run lengths and differences."""
    nibbles: list[int] = []

    def put(number: int) -> None:
        while True:
            number, low = number >> 3, number & 7
            nibbles.append(low | (8 if number else 0))
            if not number:
                return

    values, at, previous = pixels.reshape(-1).tolist(), 0, 0
    while at < len(values):
        zeros = next((n for n, value in enumerate(values[at:]) if value), len(values) - at)
        at += zeros
        run = next((n for n, value in enumerate(values[at:]) if not value), len(values) - at)
        put(zeros)
        put(run)
        for value in values[at : at + run]:
            put(2 * (value - previous) if value >= previous else -2 * (value - previous) - 1)
            previous = value
        at += run
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int("".join(f"{nibble:x}" for nibble in nibbles[i : i + 8]), 16) for i in range(0, len(nibbles), 8)]
    return struct.pack("<2I", pixels.shape[1], pixels.shape[0]) + struct.pack(f"<{len(words)}I", *words)


def inverse_depth(depth_m: np.ndarray, quantization: float, farthest_m: float) -> tuple[bytes, np.ndarray]:
    """The settings of compressedDepth and the quantised picture of depth in metres; 0 where it is missing."""
    a = quantization * (quantization + 1)
    b = 1 - a / farthest_m
    stored = np.zeros(depth_m.shape, np.uint16)
    for place, metres in np.ndenumerate(depth_m):
        if 0 < metres < farthest_m:
            stored[place] = int(a / metres + b)
    return struct.pack("<i2f", 0, a, b), stored
