"""Images on surfaces, with smaller copies of themselves for distant views."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from wsss_ros.scenes.images import decode_rgb, open_image, read_bytes

LARGEST = 1024  # pixels of the longer edge; larger images are reduced when they are read
# The renderer's tone curve is a power of 2.2; the table holds the linear value of each 8-bit value.
LINEAR = ((np.arange(256) / 255) ** 2.2).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image that is laid on surfaces; ``name`` says where it comes from. Row 0 is the top.

    ``alpha`` is 255 where the image is opaque; None when it is everywhere.
    """

    name: str
    pixels: UInt8[np.ndarray, "H W 3"] = field(repr=False)
    alpha: UInt8[np.ndarray, "H W"] | None = field(default=None, repr=False)

    @cached_property
    def pyramid(self) -> tuple[UInt8[np.ndarray, "_ _ 3"], ...]:
        """The image and its copies of half the size each, down to one pixel; light is averaged, not 8-bit values."""
        levels, linear = [self.pixels], LINEAR[self.pixels]
        while max(linear.shape[:2]) > 1:
            linear = _reduced(linear, max(1, linear.shape[1] // 2), max(1, linear.shape[0] // 2))
            levels.append(np.round(255 * np.clip(linear, 0, 1) ** (1 / 2.2)).astype(np.uint8))
        return tuple(levels)

    @cached_property
    def mean(self) -> tuple[float, float, float]:
        """The mean colour, sRGB in 0..1."""
        r, g, b = self.pyramid[-1][0, 0] / 255
        return float(r), float(g), float(b)

    @cached_property
    def upright(self) -> bool:
        """Whether the grain of this picture (of wood) runs from top to bottom: it changes less that way."""
        grey = self.pixels.mean(2)
        return bool(np.abs(np.diff(grey, axis=0)).mean() <= np.abs(np.diff(grey, axis=1)).mean())


def read_picture(path: Path) -> Picture:
    """Read an image file. Raises BadInput that names the file when it is missing or not an image."""
    return decode_picture(read_bytes(path, "an image"), str(path))


def decode_picture(data: bytes, name: str) -> Picture:
    """Decode an image in memory. Raises BadInput with the ``name`` when it is not an image.

    What is transparent gets the mean colour of what is not, so that it does not shine through in smaller copies.
    """
    pixels, alpha = decode_rgb(data, name), _alpha(data)
    if alpha is None or (alpha >= 128).all():
        return Picture(name, _limited(pixels))
    if (alpha >= 128).any():
        pixels[alpha < 128] = pixels[alpha >= 128].mean(0)
    return Picture(name, _limited(pixels), alpha)


def _alpha(data: bytes) -> UInt8[np.ndarray, "H W"] | None:
    """The alpha channel of a PNG or another image that Pillow reads; None where there is none."""
    if data.startswith(b"\xff\xd8"):  # a JPEG has none
        return None
    image = open_image(data)
    transparent = "A" in image.getbands() or "transparency" in image.info
    return np.array(image.convert("RGBA").getchannel("A")) if transparent else None


def _limited(pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    height, width = pixels.shape[:2]
    if max(height, width) <= LARGEST:
        return pixels
    scale = LARGEST / max(height, width)
    linear = _reduced(LINEAR[pixels], max(1, round(width * scale)), max(1, round(height * scale)))
    return np.round(255 * np.clip(linear, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def _reduced(linear: Float32[np.ndarray, "H W 3"], width: int, height: int) -> Float32[np.ndarray, "h w 3"]:
    """The mean over the area of each new pixel."""
    channels = (Image.fromarray(np.ascontiguousarray(linear[:, :, k])) for k in range(3))
    return np.stack([np.asarray(c.resize((width, height), Image.Resampling.BOX)) for c in channels], 2)
