"""Image files: JPEG and PNG colour, 16-bit PNG for depth in millimetres and label ids."""

import io
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped, UInt8, UInt16
from PIL import Image

from wsss_ros.types import BadInput

try:
    import simplejpeg
except ImportError:  # Pillow decodes the same images, about three times slower
    simplejpeg = None

_DECODE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def read_rgb(path: str | Path, at_least: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """Decode a colour image. Raises BadInput naming the file when it is missing, truncated or no image.

    ``at_least`` = (width, height): a JPEG may come back reduced by a whole factor, averaged over pixel
    areas, to no less than this size; that costs a fraction of the full decoding.
    """
    return decode_rgb(read_bytes(path, "a colour image"), str(path), at_least)


def decode_rgb(data: bytes, source: str, at_least: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """``read_rgb`` for an image in memory; ``source`` is what messages call it."""
    try:
        if simplejpeg is not None and simplejpeg.is_jpeg(data):
            return simplejpeg.decode_jpeg(data, **_reduction(data, at_least))
        return np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    except _DECODE_ERRORS as error:
        raise BadInput(f"{source}: cannot be decoded ({error}); wanted a whole JPEG or PNG image") from error


def _reduction(data: bytes, at_least: tuple[int, int] | None) -> dict[str, int]:
    """libjpeg's reduced decoding, for the factors 2, 4 and 8 that divide both sides (so pixel areas stay aligned)."""
    if at_least is None:
        return {}
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    for factor in (8, 4, 2):
        if width % factor == height % factor == 0 and width >= factor * at_least[0] and height >= factor * at_least[1]:
            return {"min_width": width // factor, "min_height": height // factor}
    return {}


def read_uint16(path: str | Path, what: str = "image of 16-bit numbers") -> UInt16[np.ndarray, "H W"]:
    """Decode a one-channel 8- or 16-bit PNG to uint16. Raises BadInput naming the file."""
    return decode_grey(read_bytes(path, f"an {what}"), str(path), what).astype(np.uint16)


def decode_grey(data: bytes, source: str, what: str) -> Shaped[np.ndarray, "H W"]:
    """The one channel of a PNG in memory, uint8, uint16 or (some 16-bit files) int32. Raises BadInput naming it."""
    try:
        image = Image.open(io.BytesIO(data))
        pixels = np.asarray(image)
    except _DECODE_ERRORS as error:
        raise BadInput(f"{source}: cannot be decoded ({error}); wanted an {what}, a whole one-channel PNG") from error
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16, np.int32):
        raise BadInput(f"{source}: {image.mode} image of shape {pixels.shape}; wanted one 16-bit channel, an {what}")
    return pixels


def read_depth(path: str | Path) -> Float32[np.ndarray, "H W"]:
    """Depth in metres from a 16-bit PNG in millimetres; 0 and 65535 (missing) become 0."""
    what = "image of depth in millimetres"
    millimetres = decode_grey(read_bytes(path, f"an {what}"), str(path), what)
    if millimetres.dtype == np.uint8:
        raise BadInput(f"{path}: 8-bit image; wanted depth in millimetres, which takes 16 bits a pixel")
    depth_m = millimetres.astype(np.float32)
    depth_m[millimetres == 65535] = 0
    depth_m /= np.float32(1000)
    return depth_m


def write_rgb(path: str | Path, rgb: UInt8[np.ndarray, "H W 3"], quality: int = 92) -> None:
    """Write a JPEG without chroma subsampling."""
    Path(path).write_bytes(encode_jpeg(rgb, quality))


def encode_jpeg(rgb: UInt8[np.ndarray, "H W 3"], quality: int = 92, subsampling: str = "444") -> bytes:
    """A JPEG in memory; ``subsampling`` of the colours is 444 (none), 422 or 420."""
    if simplejpeg is not None:
        return simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality, colorsubsampling=subsampling)
    made = io.BytesIO()
    Image.fromarray(rgb).save(made, "JPEG", quality=quality, subsampling=("444", "422", "420").index(subsampling))
    return made.getvalue()


def write_uint16(path: str | Path, pixels: UInt16[np.ndarray, "H W"]) -> None:
    """Write a PNG with one 16-bit channel. Run lengths: on noisy depth smaller than deflate, in half the time."""
    Image.fromarray(pixels).save(path, "PNG", compress_level=1, compress_type=zlib.Z_RLE)


def write_depth(path: str | Path, depth_m: Float32[np.ndarray, "H W"]) -> None:
    """Depth in metres to a 16-bit PNG in millimetres; not finite, not positive or 65.535 m and more becomes 0."""
    usable = np.isfinite(depth_m) & (depth_m > 0) & (depth_m < 65.5345)
    write_uint16(path, np.where(usable, np.rint(np.where(usable, depth_m, 0) * 1000.0), 0).astype(np.uint16))


def read_bytes(path: str | Path, wanted: str) -> bytes:
    """The bytes of a file; BadInput when there are none to be had."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); wanted {wanted}") from error
