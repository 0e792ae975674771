"""Reader of ScanNet's ``.sens`` recordings, version 4."""

import logging
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from wsss_ros.geometry import check_pose
from wsss_ros.scenes.frame_names import stamp_of_number
from wsss_ros.scenes.images import decode_rgb
from wsss_ros.scenes.rig import Rig, view
from wsss_ros.types import BadInput, Camera, Frame

VERSION = 4
_COLOR_TYPES = {-1: "unknown", 0: "raw", 1: "png", 2: "jpeg"}
_DEPTH_TYPES = {-1: "unknown", 0: "raw u16", 1: "zlib u16", 2: "occi u16"}
_START = struct.Struct("<IQ")  # version, length of the sensor's name; the name follows
_HEAD = struct.Struct("<64f2i4IfQ")  # after the name: four matrices, types, sizes, depth shift, number of frames
_FRAME = struct.Struct("<16f4Q")  # pose, times of colour and depth (µs), their sizes in bytes; the images follow
_LONGEST_NAME = 1 << 12
_LARGEST_IMAGE = 1 << 14
_LAST_US = (1 << 31) * 1_000_000  # ROS counts seconds in 31 bits
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class _Record:
    """A complete frame. Its images begin at byte ``start``; ``number`` is its position in the file."""

    number: int
    pose: tuple[float, ...]
    color_us: int
    start: int
    color_bytes: int
    depth_bytes: int

    def world_from_camera(self) -> Float64[np.ndarray, "4 4"]:
        return np.array(self.pose, np.float64).reshape(4, 4)


class SensReader:
    """The frames of a ``.sens`` file that have a usable pose, in the order of the file.

    Frames are on the depth camera's pixels, like those of exported folders. The name of a frame is its number in the
    file. Stamps are the times of the colour images if these are positive and increasing, else the frame numbers at
    30 Hz, plus 1 s. Opening reads the header only. The first access to frames reads the header of each frame once.
    An image is decoded when its frame is read. Frames with a lost pose (-inf or NaN) are left out; of a file that is
    cut off, the complete frames are read. ``skipped`` counts both, and one warning for each names the file. The file
    does not stay open.

    Raises BadInput, naming the file and the frame: for another kind or version of file, for images of an unsupported
    type, broken images, images of another size than in the header, and poses that are not rigid.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        data = self._read(0, _START.size + _LONGEST_NAME + _HEAD.size)
        version, length = _START.unpack_from(data) if len(data) >= _START.size else (-1, 0)
        if version != VERSION or length > _LONGEST_NAME:
            raise BadInput(f"{self.path}: starts with {data[:12]!r}; expected a .sens file of version {VERSION}")
        self._start = _START.size + length + _HEAD.size
        if len(data) < self._start:
            raise BadInput(f"{self.path}: cut off within its header, at {len(data)} bytes; get the file again")
        self.sensor = data[_START.size : _START.size + length].decode("utf-8", "replace")
        self._read_header(_HEAD.unpack_from(data, _START.size + length))

    def _read_header(self, values: tuple) -> None:
        matrices = np.array(values[:64], np.float64).reshape(4, 4, 4)  # of colour, then depth: intrinsic, extrinsic
        self._color_type, self._depth_type, *sizes, self.depth_shift, self._count = values[64:]
        if self._color_type not in (0, 1, 2):
            name = _COLOR_TYPES.get(self._color_type, "of no known type")
            raise BadInput(f"{self.path}: colour is {name} ({self._color_type}); expected raw (0), png (1) or jpeg (2)")
        if self._depth_type not in (0, 1):
            name = _DEPTH_TYPES.get(self._depth_type, "of no known type")
            raise BadInput(
                f"{self.path}: depth is {name} ({self._depth_type}); expected raw u16 (0) or zlib u16 (1); "
                "export it with ScanNet's SensReader to the folders color, depth and pose"
            )
        if not (np.isfinite(self.depth_shift) and self.depth_shift > 0):
            raise BadInput(f"{self.path}: depth shift {self.depth_shift:g}; expected steps per metre, such as 1000")
        self._color = self._camera("colour", matrices[0], *sizes[:2])
        self.rig = Rig(self._camera("depth", matrices[2], *sizes[2:]), self._color)

    def _camera(self, kind: str, matrix: Float64[np.ndarray, "4 4"], width: int, height: int) -> Camera:
        fx, fy, cx, cy = (float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
        valid = 0 < fx < np.inf and 0 < fy < np.inf and 0 < cx < width and 0 < cy < height
        if not valid or max(width, height) > _LARGEST_IMAGE:
            got = f"fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g} for {width}x{height}"
            raise BadInput(f"{self.path}: {got} is not a {kind} camera; expected pixels, the centre inside the image")
        return Camera(fx, fy, cx, cy, width, height)

    # --- the list of frames

    @cached_property
    def _frames(self) -> tuple[list[_Record], Counter[str]]:
        """The usable frames, and the number of frames left out, by cause."""
        try:
            complete = list(self._walk())
        except OSError as error:
            raise self._unreadable(error) from error
        records = [record for record in complete if np.isfinite(record.pose).all()]
        skipped = +Counter({"lost pose": len(complete) - len(records), "cut off": self._count - len(complete)})
        if skipped["lost pose"]:
            _log.warning("%s: %d of %d frames left out: lost pose", self.path, skipped["lost pose"], self._count)
        if skipped["cut off"]:
            text = "%s: cut off in the middle, %d of %d frames are lost; get the file again"
            _log.warning(text, self.path, skipped["cut off"], self._count)
        for record in records:
            try:
                check_pose(record.world_from_camera())
            except BadInput as error:
                raise BadInput(f"{self._place(record)}: {error}") from error
        return records, skipped

    def _walk(self) -> Iterator[_Record]:
        """The complete frames up to the end of the file; their images are not read."""
        with open(self.path, "rb", buffering=0) as file:
            size, at = file.seek(0, os.SEEK_END), self._start
            for number in range(self._count):
                if at + _FRAME.size > size:
                    return
                file.seek(at)
                *pose, color_us, _, color_bytes, depth_bytes = _FRAME.unpack(file.read(_FRAME.size))
                start, at = at + _FRAME.size, at + _FRAME.size + color_bytes + depth_bytes
                if at > size:
                    return
                yield _Record(number, tuple(pose), color_us, start, color_bytes, depth_bytes)

    def __len__(self) -> int:
        """Number of frames with a usable pose."""
        return len(self._frames[0])

    @property
    def skipped(self) -> Counter[str]:
        """Number of frames left out, by cause."""
        return self._frames[1]

    def rig_of(self, index: int) -> Rig:
        """The cameras, which all frames share."""
        return self.rig

    def number(self, index: int) -> int:
        """Number of a frame in the file."""
        return self._frames[0][index].number

    def name(self, index: int) -> str:
        """Name of a frame: its number in the file."""
        return str(self.number(index))

    @cached_property
    def _times_rise(self) -> bool:
        """Whether the times of the file are positive, increasing, and small enough for ROS."""
        times = [0, *(record.color_us for record in self._frames[0]), _LAST_US]
        return all(before < after for before, after in zip(times, times[1:], strict=False))

    def stamp_ns(self, index: int) -> int:
        """Time of a frame in nanoseconds."""
        record = self._frames[0][index]
        return record.color_us * 1000 if self._times_rise else stamp_of_number(record.number)

    def depth_size(self, index: int) -> tuple[int, int]:
        """(width, height) of the depth images, the same for every frame."""
        return self.rig.depth.width, self.rig.depth.height

    # --- images

    def frame(self, index: int) -> Frame:
        """One frame on the depth camera's pixels. Depth that the colour camera does not see becomes missing (0).

        Raises BadInput naming file and frame when an image cannot be read or decoded.
        """
        record = self._frames[0][index]
        data = self._read(record.start, record.color_bytes + record.depth_bytes)
        if len(data) < record.color_bytes + record.depth_bytes:
            raise BadInput(f"{self._place(record)}: the file is shorter than when it was opened; open it again")
        depth_m = self._decode_depth(record, data[record.color_bytes :])
        rgb = self._decode_color(record, data[: record.color_bytes])
        try:
            return view(self.rig, rgb, depth_m, record.world_from_camera(), self.stamp_ns(index), self.name(index))
        except BadInput as error:
            raise BadInput(f"{self._place(record)}: {error}") from error

    def _decode_color(self, record: _Record, data: bytes) -> UInt8[np.ndarray, "H W 3"]:
        """The colour image, possibly reduced by 2, 4 or 8, but not below the size of the depth image."""
        width, height = self._color.width, self._color.height
        if self._color_type == 0:
            return self._pixels(record, "colour", data, np.dtype("u1"), (height, width, 3)).copy()
        rgb = decode_rgb(data, f"{self._place(record)}, colour", at_least=self.depth_size(0))
        factor = width // rgb.shape[1]
        if (rgb.shape[1] * factor, rgb.shape[0] * factor) != (width, height):
            got = f"{rgb.shape[1]}x{rgb.shape[0]}"
            raise BadInput(f"{self._place(record)}: colour is {got}; expected {width}x{height}, as in the header")
        return rgb

    def _decode_depth(self, record: _Record, data: bytes) -> Float32[np.ndarray, "H W"]:
        """Depth in metres; 0 and 65535 (missing) become 0."""
        shape = (self.rig.depth.height, self.rig.depth.width)
        if self._depth_type == 1:
            try:
                data = zlib.decompressobj().decompress(data, 2 * shape[0] * shape[1] + 1)
            except zlib.error as error:
                what = f"{self._place(record)}: depth cannot be unpacked"
                raise BadInput(f"{what} ({error}); get the file again") from error
        steps = self._pixels(record, "depth", data, np.dtype("<u2"), shape)
        return np.where(steps == 65535, 0, steps).astype(np.float32) / np.float32(self.depth_shift)

    def _pixels(self, record: _Record, kind: str, data: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape)) * dtype.itemsize
        if len(data) != size:
            got = f"{self._place(record)}: {kind} of {len(data)} bytes"
            raise BadInput(f"{got}; expected {size} for {shape[1]}x{shape[0]} pixels, as in the header")
        return np.frombuffer(data, dtype).reshape(shape)

    def _place(self, record: _Record) -> str:
        return f"{self.path}, frame {record.number}"

    def _read(self, start: int, count: int) -> bytes:
        """Read up to ``count`` bytes, fewer at the end of the file."""
        try:
            with open(self.path, "rb") as file:
                file.seek(start)
                return file.read(count)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> BadInput:
        return BadInput(f"{self.path}: cannot be read ({error.strerror}); expected a .sens file")
