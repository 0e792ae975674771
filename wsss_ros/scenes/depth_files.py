"""Depth images of all kinds as metres: PNG of 8 or 16 bits, TIFF, EXR, npy, npz, PFM."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from wsss_ros.scenes.images import MOST_PIXELS, decoding, image_size, open_image, read_bytes
from wsss_ros.scenes.numpy_files import read_npy, read_npz
from wsss_ros.types import BadInput

DEPTH_EXTENSIONS = (".png", ".tif", ".tiff", ".exr", ".npy", ".npz", ".pfm", ".pgm")
MILLIMETRES = 1000.0
_MEDIAN_M = (0.15, 15.0)  # what the median depth of a room is between
_PGM = re.compile(rb"P[25](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+(\d{1,5})\s")
_EXPECTED = "a depth image: 16-bit PNG, 32-bit TIFF, EXR, npy or PFM"


def read_depth_m(
    path: Path, scale: float | None = None, integers_per_metre: float = MILLIMETRES
) -> Float32[np.ndarray, "H W"]:
    """Read depth in metres; missing depth becomes 0: 0, NaN, infinity, negative, the largest number of 8 or 16 bits.

    Args:
        path: the image.
        scale: values per metre that a person gave, for every kind of file.
        integers_per_metre: values per metre of whole numbers of more than 8 bits, without ``scale``. Floats are metres.

    Raises:
        BadInput: naming the file: it cannot be decoded, has several channels, or 8 bits and no ``scale``.
    """
    values = read_values(path)
    if values.dtype.itemsize == 1 and scale is None:
        raise BadInput(
            f"{path}: 8-bit image; expected depth in 16 bits or floats, or depth_scale: the values per metre of these "
            "8 bits (25.5 if 255 is 10 m)"
        )
    if values.dtype.kind == "f":
        per_metre = 1.0 if scale is None else scale
        usable = np.isfinite(values) & (values > 0)
    else:
        per_metre = integers_per_metre if scale is None else scale
        largest = 255 if values.dtype.itemsize == 1 else 65535
        usable = (values > 0) & (values != largest)
    depth_m = np.where(usable, values, 0).astype(np.float32)
    depth_m /= np.float32(per_metre)
    return depth_m


def read_values(path: Path) -> Shaped[np.ndarray, "H W"]:
    """The numbers of a depth image as they are in the file. Raises BadInput naming the file."""
    readers = {".npy": _of_numpy, ".npz": _of_numpy, ".pfm": _of_pfm, ".exr": _of_exr, ".pgm": _of_pgm}
    values = readers.get(path.suffix.lower(), _of_picture)(path)
    if values.ndim == 3 and 1 in values.shape:
        values = values.squeeze(values.shape.index(1))
    if values.ndim != 2 or values.dtype.kind not in "uif" or not values.size:
        raise BadInput(f"{path}: {values.dtype} numbers of shape {values.shape}; expected one channel, {_EXPECTED}")
    return values


def depth_size(path: Path) -> tuple[int, int]:
    """(width, height) of a depth image; of PNG and TIFF from the header alone. Raises BadInput naming the file."""
    if path.suffix.lower() in (".npy", ".npz", ".pfm", ".exr"):
        height, width = read_values(path).shape
        return width, height
    return image_size(path)


def implausible(depth_m: Float32[np.ndarray, "H W"], scale_text: str) -> str:
    """The reason why a depth image cannot be of a room, with what to do; empty if it can."""
    measured = depth_m[depth_m > 0]
    if measured.size == 0:
        return ""
    median = float(np.median(measured))
    if _MEDIAN_M[0] <= median <= _MEDIAN_M[1]:
        return ""
    return (
        f"the median depth is {median:.3g} m, read with {scale_text}; expected {_MEDIAN_M[0]:g} to {_MEDIAN_M[1]:g} m "
        "in a room: give depth_scale (--depth-scale), the depth values per metre (1000 for millimetres, 5000 for TUM)"
    )


def _of_picture(path: Path) -> np.ndarray:
    return _decoded(path, read_bytes(path, _EXPECTED))


def _decoded(path: Path, data: bytes) -> np.ndarray:
    with decoding(path, data, f"{_EXPECTED}, a complete file"):
        image = open_image(data)
        values = np.asarray(image)
    if image.mode in ("P", "1"):
        raise BadInput(f"{path}: an image of {'colour indices' if image.mode == 'P' else 'bits'}; expected {_EXPECTED}")
    return values


def _of_pgm(path: Path) -> np.ndarray:
    """The numbers of a PGM. Pillow spreads them to 0..255 or 0..65535 by the largest one in the header."""
    data = read_bytes(path, _EXPECTED)
    values, head = _decoded(path, data), _PGM.match(data)
    stated, full = int(head[1]) if head else 0, 255 if values.dtype.itemsize == 1 else 65535
    if stated in (0, full):
        return values
    return np.rint(values.astype(np.float64) * (stated / full)).astype(values.dtype)


def _of_numpy(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    found = read_npz(path, "depth", MOST_PIXELS * 8)
    if len(found) != 1:
        raise BadInput(f"{path}: no array; expected one array, or one named depth")
    return next(iter(found.values()))


def _of_pfm(path: Path) -> np.ndarray:
    """Portable float map: 'Pf', width and height, a scale whose sign is the byte order, rows from the bottom up."""
    data = read_bytes(path, _EXPECTED)
    head = re.match(rb"(P[fF])\s+(\d{1,9})\s+(\d{1,9})\s+([-+0-9.eE]+)\s", data)
    if head is None:
        raise BadInput(f"{path}: starts with {data[:12]!r}; expected a PFM header 'Pf width height scale'")
    width, height, little = int(head[2]), int(head[3]), head[4].startswith(b"-")
    channels = 3 if head[1] == b"PF" else 1
    size = 4 * width * height * channels
    if len(data) - head.end() < size:
        raise BadInput(f"{path}: {len(data) - head.end()} bytes of numbers; expected {size} for {width}x{height}")
    values = np.frombuffer(data, "<f4" if little else ">f4", width * height * channels, head.end())
    return values.reshape((height, width, channels)[: 2 if channels == 1 else 3])[::-1].astype(np.float32)


def _of_exr(path: Path) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError as error:
        raise BadInput(
            f"{path}: EXR files need the package OpenEXR, which is not installed: pip install OpenEXR; or write "
            "the depth as npy or 32-bit TIFF"
        ) from error
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.array(channel.pixels) for name, channel in file.channels().items()}
    except Exception as error:
        raise BadInput(f"{path}: cannot be read ({error}); expected {_EXPECTED}") from error
    for name in ("Z", "Y", "depth", "Depth", "V", "R"):
        named = [key for key in channels if key == name or key.endswith(f".{name}")]
        if len(named) == 1:
            return channels[named[0]].astype(np.float32)
    raise BadInput(f"{path}: channels {', '.join(channels) or 'none'}; expected one named Z, Y, depth or R")
