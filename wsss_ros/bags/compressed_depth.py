"""Depth out of a CompressedImage: the transport compressedDepth (PNG or RVL), or a PNG of 16 bits or a TIFF.

The layout is that of the ROS package compressed_depth_image_transport: 12 bytes of settings, then the picture. The
picture holds millimetres for 16UC1. For 32FC1 it holds q = A / depth + B, 0 where depth is missing; A and B are the
two float32 behind the first four bytes of the settings. A TIFF has the values of the raw image.
"""

import struct
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Shaped, UInt16

from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.scenes.images import DECODE_ERRORS, decode_grey, open_image
from wsss_ros.types import BadInput

PNG = b"\x89PNG\r\n\x1a\n"
TIFF = (b"II*\0", b"MM\0*")  # in both byte orders
_SETTINGS = 12  # bytes in front of the picture
_MILLIMETRES, _INVERSE = ("16UC1", "mono16"), ("32FC1",)
_WHAT = "image of depth"
_MOST_PIXELS = 1 << 26  # of an RVL image; a larger size is damage


def source_encoding(format_text: str) -> str:
    """The encoding of the image before compression: the text before the semicolon."""
    return format_text.partition(";")[0].strip()


def decode(format_text: str, data: bytes | memoryview) -> tuple[str, Shaped[np.ndarray, "H W"]]:
    """The encoding, 16UC1 or 32FC1, and its values: uint16 millimetres or float32 metres, 0 where missing.

    ``format_text`` and ``data`` are the fields of the message. Raises BadInput for another format, and for data that
    cannot be decoded.
    """
    encoding = source_encoding(format_text)
    if bytes(data[: len(PNG)]) == PNG:
        if encoding in _INVERSE:
            raise BadInput(f"compressed depth: format '{format_text}' with a plain PNG; {_advice()}")
        return "16UC1", _png(data)
    if bytes(data[:4]) in TIFF:
        return _tiff(data)
    if encoding not in _MILLIMETRES + _INVERSE or len(data) <= _SETTINGS or "jpeg" in format_text:
        raise BadInput(f"compressed depth: format '{format_text}' of {len(data)} bytes is not depth; {_advice()}")
    picture = data[_SETTINGS:]
    stored = _rvl(bytes(picture)) if "rvl" in format_text.partition(";")[2] else _png(picture)
    if encoding in _MILLIMETRES:
        return "16UC1", stored
    return "32FC1", _from_inverse(stored, *struct.unpack("<2f", bytes(data[4:_SETTINGS])))


def _advice() -> str:
    return (
        "expected '16UC1; compressedDepth png', '32FC1; compressedDepth png' (or rvl), a PNG of 16 bits in "
        "millimetres, or a TIFF; publish one of these, or the raw depth"
    )


def _png(picture: bytes | memoryview) -> UInt16[np.ndarray, "H W"]:
    pixels = decode_grey(bytes(picture), "compressed depth", _WHAT)
    if pixels.dtype == np.uint8:
        raise BadInput(f"compressed depth: a PNG of 8 bits, which is not depth; {_advice()}")
    return pixels.astype(np.uint16)


def _tiff(picture: bytes | memoryview) -> tuple[str, Shaped[np.ndarray, "H W"]]:
    """The encoding and the values: millimetres of 16 bits, or metres of 32 bits, as the format "tiff" stores them."""
    try:
        pixels = np.asarray(open_image(picture))
    except DECODE_ERRORS as error:
        raise BadInput(f"compressed depth: a TIFF that cannot be decoded ({error}); {_advice()}") from error
    kinds = {np.dtype(np.uint16): "16UC1", np.dtype(np.float32): "32FC1"}
    kind = pixels.dtype.newbyteorder("=")
    if pixels.ndim != 2 or kind not in kinds:
        raise BadInput(f"compressed depth: a TIFF of {pixels.dtype} {pixels.shape}, which is not depth; {_advice()}")
    return kinds[kind], pixels.astype(kind, copy=False)


def _from_inverse(stored: UInt16[np.ndarray, "H W"], a: float, b: float) -> Float32[np.ndarray, "H W"]:
    if not np.isfinite((a, b)).all() or a <= 0:
        raise BadInput(f"compressed depth: parameters A {a} and B {b} of inverse depth; expected A above 0")
    with np.errstate(divide="ignore", invalid="ignore"):
        depth_m = np.float32(a) / (stored.astype(np.float32) - np.float32(b))
    return np.where((stored > 0) & np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(0))


def _rvl(picture: bytes) -> UInt16[np.ndarray, "H W"]:
    """Decode RVL (Wilson, Fast lossless depth image compression, 2017): width, height, then runs of differences."""
    width, height = struct.unpack("<2I", picture[:8]) if len(picture) >= 8 else (0, 0)
    if not 0 < width * height <= _MOST_PIXELS:
        raise BadInput(f"compressed depth: RVL of {width} x {height} pixels in {len(picture)} bytes; it is damaged")
    words = np.frombuffer(picture[8 : 8 + (len(picture) - 8) // 4 * 4], "<u4")
    pixels = np.zeros(width * height, np.uint16)
    if not _decode_rvl(readonly(words), pixels):
        raise BadInput(f"compressed depth: RVL of {width} x {height} pixels that ends early; it is damaged")
    return pixels.reshape(height, width)


@compiled
@no_type_check
def _decode_rvl(words, pixels):
    """Fill ``pixels``; whether the words were enough and the runs ended with the image.

    Each number is a chain of nibbles, the highest nibble of a word first: three bits of the number, lowest first, and
    a bit that says whether more follow. Numbers come as: zeros, nonzeros, then one difference for each nonzero pixel.
    """
    nibble_count, place, at, previous = 8 * len(words), 0, 0, 0
    zeros, values, kind = 0, 0, 0  # kind: 0 the number of zeros comes next, 1 of nonzeros, 2 a difference
    while at < len(pixels):
        number, shift, more = 0, 0, 1
        while more:
            if place >= nibble_count or shift > 30:
                return False
            nibble = (np.int64(words[place >> 3]) >> (28 - 4 * (place & 7))) & 15
            place += 1
            number |= (nibble & 7) << shift
            shift += 3
            more = nibble >> 3
        if kind == 0:
            zeros = number
            at += zeros  # the pixels are 0 already
            kind = 1
        elif kind == 1:
            values = number
            if at + values > len(pixels):
                return False
            kind = 2 if values else 0
        else:
            previous += (number >> 1) ^ -(number & 1)
            pixels[at] = np.uint16(previous & 65535)
            at += 1
            values -= 1
            kind = 2 if values else 0
    return at == len(pixels)
