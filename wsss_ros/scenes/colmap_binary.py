"""COLMAP's binary models, ``cameras.bin images.bin points3D.bin``, as the words of the same lines as text.

https://colmap.github.io/format.html: little endian, a count (uint64), then the entries one after the other.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput

# The names of the camera models by their id, with the number of their parameters.
_MODELS = (
    *(("SIMPLE_PINHOLE", 3), ("PINHOLE", 4), ("SIMPLE_RADIAL", 4), ("RADIAL", 5), ("OPENCV", 8)),
    *(("OPENCV_FISHEYE", 8), ("FULL_OPENCV", 12), ("FOV", 5), ("SIMPLE_RADIAL_FISHEYE", 4), ("RADIAL_FISHEYE", 5)),
    ("THIN_PRISM_FISHEYE", 12),
)
_SEEN = np.dtype([("u", "<f8"), ("v", "<f8"), ("point", "<i8")])  # a 2D point of an image
_TRACK_BYTES = 8  # of an image that sees a point


class _Entries:
    """The bytes of a file, read from the front. Raises BadInput where they end too early."""

    def __init__(self, path: Path) -> None:
        self.path, self._data, self._at = path, read_bytes(path, "a binary model of COLMAP"), 0

    def numbers(self) -> Iterator[int]:
        """Numbers of the entries, from 1, as the count in front of them says. Raises BadInput for bytes after them."""
        (count,) = self.unpack("Q")
        yield from range(1, count + 1)
        if self._at < len(self._data):
            raise self._broken(f"{len(self._data) - self._at} bytes after the last of {count} entries")

    def unpack(self, layout: str) -> tuple:
        """The next values, by a format of ``struct``."""
        layout = f"<{layout}"
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > len(self._data) - self._at:
            raise self._broken(f"ends at byte {len(self._data)}, inside an entry")
        self._at += size
        return self._data[self._at - size : self._at]

    def text(self) -> str:
        """The next text, which a zero byte ends."""
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise self._broken("ends inside a name")
        return self.take(end + 1 - self._at)[:-1].decode("utf-8", "replace")

    def _broken(self, why: str) -> BadInput:
        return BadInput(f"{self.path}: {why}; expected a complete binary model of COLMAP")


def cameras(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The words 'CAMERA_ID MODEL WIDTH HEIGHT PARAMS' of each camera, with its number. Raises BadInput."""
    entries = _Entries(path)
    for number in entries.numbers():
        camera, model, *size = entries.unpack("iiQQ")
        if not 0 <= model < len(_MODELS):
            raise BadInput(f"{path}, entry {number}: camera model {model}; expected 0 to {len(_MODELS) - 1}")
        name, count = _MODELS[model]
        yield number, [str(camera), name, *map(str, size), *map(repr, entries.unpack(f"{count}d"))]


def images(path: Path) -> Iterator[tuple[int, list[str], str]]:
    """The words of each image, with its number, and the line of its 2D points. Raises BadInput."""
    entries = _Entries(path)
    for number in entries.numbers():
        image, *pose, camera = entries.unpack("i7di")
        words = [str(image), *map(repr, pose), str(camera), *entries.text().split(" ")]
        (count,) = entries.unpack("Q")
        seen = np.frombuffer(entries.take(count * _SEEN.itemsize), _SEEN)
        known = seen[seen["point"] >= 0].tolist()
        yield number, words, " ".join(f"{u!r} {v!r} {point}" for u, v, point in known)


def points(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The words 'POINT3D_ID X Y Z' of each point, with its number. Raises BadInput."""
    entries = _Entries(path)
    for number in entries.numbers():
        point, *xyz = entries.unpack("Q3d3xd")[:4]
        (count,) = entries.unpack("Q")
        entries.take(count * _TRACK_BYTES)
        yield number, [str(point), *map(repr, xyz)]
