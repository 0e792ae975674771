"""The faults of a real RGB-D camera."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from wsss_ros.geometry.compiled import compiled
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.render.surfaces import View, World
from wsss_ros.types import Camera

_GAMMA = (np.linspace(0, 1, 4096) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)


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
        """A random camera."""
        white = np.array([1 + kit.between(-0.08, 0.1), 1.0, 1 + kit.between(-0.12, 0.08)])
        return cls(
            kit.between(0.15, 0.36), white, kit.between(0.05, 0.35), kit.between(0.45, 0.95), kit.between(0.004, 0.018),
            kit.between(0.75, 1.1), (kit.between(0.3, 0.45), kit.between(4.5, 6.5)), kit.between(0.0008, 0.0022),
            kit.chance(0.5),
        )  # fmt: skip

    def expose(
        self, linear: Float32[np.ndarray, "P 3"], camera: Camera, gain: float, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "H W 3"]:
        """Light to 8-bit sRGB: white balance, vignetting, blur, tone curve and noise."""
        shape = (camera.height, camera.width, 3)
        image, noise = linear.reshape(shape), rng.standard_normal(shape, np.float32)
        taps = np.exp(-0.5 * (np.arange(-2, 3) / self.blur) ** 2)
        return _develop(
            image, gain * self.white, self.vignette, taps / taps.sum(), self.saturation, self.noise, noise, _GAMMA
        )

    def measure(
        self, world: World, view: View, camera: Camera, eye: Float64[np.ndarray, "3"], rng: np.random.Generator
    ) -> Float32[np.ndarray, "H W"]:
        """Depth as the camera measures it, metres; 0 is missing.

        Noise grows with the square of distance; depths are whole millimetres. Pixels are missing at grazing angles,
        on dark, shiny or transparent surfaces, at edges, and out of range.
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


def exposure_gain(linear: Float32[np.ndarray, "P 3"], target: float) -> float:
    """The gain that brings the middle brightness to ``target``."""
    middle = linear[::7].mean(1)
    return float(np.clip(target / (0.5 * np.median(middle) + 0.5 * middle.mean() + 1e-4), 0.05, 40))


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
