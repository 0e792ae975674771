"""Image files: colour as JPEG or PNG; depth in millimetres and class ids as 16-bit PNG."""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped, UInt8, UInt16
from PIL import Image, ImageOps, UnidentifiedImageError

from wsss_ros.files import replace
from wsss_ros.types import BadInput

try:
    import simplejpeg
except ImportError:  # Pillow decodes the same images, about three times as slowly
    simplejpeg = None

# What Pillow and simplejpeg raise for damaged files of their many formats.
DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, EOFError),
    *(RuntimeError, struct.error, zlib.error, Image.DecompressionBombError),
)
_COLOR = "a complete JPEG or PNG image"
_LFS = b"version https://git-lfs.github.com/spec/"
_ORIENTATION = 0x0112  # tag of EXIF
MOST_PIXELS = 1 << 26  # of an image, which then takes less than 1 GB while it is decoded; of a JPEG twice as many


def read_rgb(path: str | Path, at_least: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """Read a colour image. Raises BadInput naming the file when it is missing, cut short or not an image.

    With ``at_least`` = (width, height) a JPEG may be reduced by 2, 4 or 8, averaged over pixel areas, but not below
    this size. This is much faster than full decoding.
    """
    return decode_rgb(read_bytes(path, "a colour image"), str(path), at_least)


def decode_rgb(
    data: bytes | memoryview, source: str, at_least: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Decode a colour image in memory, as ``read_rgb`` does; ``source`` names it in messages."""
    with decoding(source, data, _COLOR):
        if simplejpeg is not None and simplejpeg.is_jpeg(data):
            height, width = simplejpeg.decode_jpeg_header(data)[:2]
            _check_size(width, height, 2 * MOST_PIXELS)
            return simplejpeg.decode_jpeg(data, **_reduction(width, height, at_least))
        return _rgb_of(open_image(data))


def read_photo(path: str | Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read a photograph as people see it: turned as its EXIF orientation says. Raises BadInput as ``read_rgb`` does.

    Frames with depth are read by ``read_rgb``: their depth is not turned.
    """
    data = read_bytes(path, "a photograph")
    with decoding(path, data, _COLOR):
        image = open_image(data)
        turned = image.getexif().get(_ORIENTATION, 1) != 1
        return _rgb_of(ImageOps.exif_transpose(image)) if turned else decode_rgb(data, str(path))


def _rgb_of(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels in 8 bits; grey images of 16 bits by their whole range. Raises ValueError for images of floats."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min(initial=0) < 0 or grey.max(initial=0) > 65535:
            raise ValueError("grey values outside of 16 bits")
        return np.repeat(np.rint(grey / 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("an image of floats, which is not a colour image")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


@contextmanager
def decoding(source: str | Path, data: bytes | memoryview, expected: str) -> Iterator[None]:
    """Decode an image in this block: what Pillow and simplejpeg raise becomes BadInput with ``source`` and reason."""
    try:
        yield
    except BadInput:
        raise
    except DECODE_ERRORS as error:
        raise BadInput(f"{source}: cannot be decoded ({_why_not(error, data)}); expected {expected}") from error


def _why_not(error: Exception, data: bytes | memoryview) -> str:
    """Why an image cannot be decoded, by what Pillow says of its ``data``."""
    start = bytes(data[:16])
    if not start:
        return "the file is empty"
    if start[4:8] == b"ftyp" and re.match(rb"hei|hev|mif|msf", start[8:11]):
        return "a HEIC photograph, which is not read: convert it to JPEG"
    if _LFS.startswith(start):
        return "a pointer of Git LFS, not the file: run 'git lfs pull' in its repository"
    if isinstance(error, UnidentifiedImageError):
        return f"not an image, it starts with {start[:8]!r}"
    return str(error)


def open_image(data: bytes | memoryview) -> Image.Image:
    """Open an image in memory, which is decoded when its pixels are read; both inside ``decoding``.

    An image of more than MOST_PIXELS is refused: its size is known before memory is taken.
    """
    image = Image.open(io.BytesIO(data))
    _check_size(*image.size, MOST_PIXELS)
    return image


def _check_size(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise ValueError(f"{width} x {height} pixels, and at most {most:,} are read")


def _reduction(width: int, height: int, at_least: tuple[int, int] | None) -> dict[str, int]:
    """Arguments of simplejpeg for the largest reduction that divides both sides, so that pixel areas stay aligned."""
    if at_least is None:
        return {}
    for factor in (8, 4, 2):
        if width % factor == height % factor == 0 and width >= factor * at_least[0] and height >= factor * at_least[1]:
            return {"min_width": width // factor, "min_height": height // factor}
    return {}


def read_uint16(path: str | Path, what: str = "image of 16-bit numbers") -> UInt16[np.ndarray, "H W"]:
    """Read a PNG with one channel of 8 or 16 bits as uint16.

    Raises BadInput that names the file and ``what``, the expected kind of image.
    """
    return decode_grey(read_bytes(path, f"an {what}"), str(path), what).astype(np.uint16)


def decode_grey(data: bytes, source: str, what: str) -> Shaped[np.ndarray, "H W"]:
    """Decode a PNG with one channel in memory to uint8, uint16 or, for some 16-bit files, int32.

    Raises BadInput that names the ``source`` and ``what``, the expected kind of image.
    """
    with decoding(source, data, f"an {what}, a complete PNG with one channel"):
        image = open_image(data)
        pixels = np.asarray(image)
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16, np.int32):
        raise BadInput(f"{source}: {image.mode} image of shape {pixels.shape}; expected one 16-bit channel, an {what}")
    return pixels


def grey_jpeg(data: bytes) -> UInt8[np.ndarray, "H W"] | None:
    """The pixels of a JPEG with one channel; None for one with colours, and for one that cannot be decoded."""
    with suppress(*DECODE_ERRORS):
        image = open_image(data)
        return np.asarray(image) if image.mode == "L" else None
    return None


def read_depth(path: str | Path) -> Float32[np.ndarray, "H W"]:
    """Read depth in metres from a 16-bit PNG in millimetres; 0 and 65535 (missing) become 0.

    Raises BadInput naming the file when it cannot be decoded or has 8 bits.
    """
    what = "image of depth in millimetres"
    millimetres = decode_grey(read_bytes(path, f"an {what}"), str(path), what)
    if millimetres.dtype == np.uint8:
        raise BadInput(f"{path}: 8-bit image; expected depth in millimetres, which takes 16 bits a pixel")
    depth_m = millimetres.astype(np.float32)
    depth_m[millimetres == 65535] = 0
    depth_m /= np.float32(1000)
    return depth_m


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image file, from its header alone. Raises BadInput naming the file."""
    try:
        with Image.open(path) as image:
            return image.size
    except DECODE_ERRORS as error:
        raise BadInput(f"{path}: {_fault(error, path)}; expected a JPEG or PNG image") from error


def _fault(error: Exception, path: Path) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read ({error.strerror})"
    with open(path, "rb") as file:
        return f"cannot be decoded ({_why_not(error, file.read(16))})"


def write_rgb(path: str | Path, rgb: UInt8[np.ndarray, "H W 3"], quality: int = 92) -> None:
    """Write a JPEG without chroma subsampling."""
    data = encode_jpeg(rgb, quality)
    replace(Path(path), lambda file: file.write(data), len(data))


def encode_jpeg(rgb: UInt8[np.ndarray, "H W 3"], quality: int = 92, subsampling: str = "444") -> bytes:
    """Encode a JPEG; ``subsampling`` of the chroma is 444 (none), 422 or 420."""
    if simplejpeg is not None:
        return simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality, colorsubsampling=subsampling)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality, subsampling=("444", "422", "420").index(subsampling))
    return file.getvalue()


def write_uint16(path: str | Path, pixels: UInt16[np.ndarray, "H W"]) -> None:
    """Write a PNG with one 16-bit channel.

    Run-length compression makes noisy depth smaller than the default compression and takes half the time.
    """
    image = Image.fromarray(pixels)
    replace(Path(path), lambda file: image.save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE))


def write_depth(path: str | Path, depth_m: Float32[np.ndarray, "H W"]) -> None:
    """Write depth in metres as a 16-bit PNG in millimetres.

    Depth that is not finite, not positive, or 65.535 m and more becomes 0.
    """
    usable = np.isfinite(depth_m) & (depth_m > 0) & (depth_m < 65.5345)
    write_uint16(path, np.where(usable, np.rint(np.where(usable, depth_m, 0) * 1000.0), 0).astype(np.uint16))


def read_bytes(path: str | Path, expected: str) -> bytes:
    """Read a file. Raises BadInput that names the file and what was ``expected`` when it cannot be read."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); expected {expected}") from error
    if data.startswith(_LFS):
        raise BadInput(f"{path}: a pointer of Git LFS, not the file: run 'git lfs pull' in its repository")
    return data
