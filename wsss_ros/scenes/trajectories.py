"""Poses in one text file: rows of numbers as TUM, KITTI and Replica have them, or blocks as Open3D writes them."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from wsss_ros.files import decode
from wsss_ros.geometry import check_pose, quaternion_to_matrix
from wsss_ros.geometry.transforms import between
from wsss_ros.scenes.frame_names import Key, keys_of_words
from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput

_LONGEST_GAP_NS = 100_000_000  # between two poses, to interpolate far from both
_EXPECTED = (
    "rows 'time tx ty tz qx qy qz qw', rows of 12 or 16 numbers of a matrix, with or without a time in front, "
    "or blocks of four rows"
)
Pose = Float64[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Trajectory:
    """Poses (world_from_camera) in the order of a file; ``keys`` are their times (ns) or frame numbers, None without.

    A lost pose, with NaN or infinite values, is None.
    """

    source: str
    poses: list[Pose | None]
    keys: list[Key] | None = None
    is_time: bool = False

    @cached_property
    def by_key(self) -> dict[Key, Pose]:
        """The poses that are not lost, sorted by key. Raises BadInput for two poses that differ at one time."""
        found: dict[Key, Pose] = {}
        for key, pose in zip(self.keys or [(at,) for at in range(len(self.poses))], self.poses, strict=True):
            if pose is None:
                continue
            if key in found and np.abs(found[key] - pose).max() > 1e-3:
                raise BadInput(f"{self.source}: two different poses at {_text(key, self.is_time)}; keep one of them")
            found.setdefault(key, pose)
        return dict(sorted(found.items()))

    @cached_property
    def _times(self) -> list[int]:
        return [key[0] for key in self.by_key]

    def at(self, time_ns: int, max_dt_ns: int) -> Pose | None:
        """The pose at a time: translation interpolated linearly, rotation by slerp; None if no pose is near.

        The nearest pose is at most ``max_dt_ns`` away, or the two around this time are at most 0.1 s apart. There is no
        extrapolation: before the first and after the last pose, these hold.
        """
        times = self._times
        if (time_ns,) in self.by_key:
            return self.by_key[time_ns,]
        after = bisect_left(times, time_ns)
        around = times[max(0, after - 1) : after + 1]
        near = bool(around) and min(abs(time - time_ns) for time in around) <= max_dt_ns
        if len(around) == 2 and (near or around[1] - around[0] <= _LONGEST_GAP_NS):
            first, second = (self.by_key[time,] for time in around)
            return between(first, second, (time_ns - around[0]) / (around[1] - around[0]))
        return self.by_key[around[0],] if near else None


def _text(key: Key, is_time: bool) -> str:
    return f"{key[0] / 1e9:.6f} s" if is_time else f"frame {key[0]}"


# --- files -----------------------------------------------------------------------------------------


def read_trajectory(path: Path) -> Trajectory:
    """Read a text file of poses, whichever kind its columns show; lines that start with # are comments.

    Rows of 8 numbers are TUM's (a header that names qw before qx is followed), 12 and 16 a matrix by rows, 13 and 17 a
    matrix after a time or frame number. Rows of 4 numbers are blocks of a 4x4 matrix, each perhaps after a row of 3
    whole numbers, as in Open3D's and Redwood's ``.log`` files.
    Raises BadInput naming the file and the line.
    """
    rows, header = numbered_rows(path, _EXPECTED)
    widths = {len(words) for _, words in rows}
    if widths <= {3, 4, 5} and 4 in widths:
        return _of_blocks(path, rows)
    if len(widths) != 1 or not widths <= {8, 12, 13, 16, 17}:
        number, words = next((row for row in rows if len(row[1]) not in (8, 12, 13, 16, 17)), rows[-1])
        counts = ", ".join(map(str, sorted(widths)))
        raise BadInput(f"{path}, line {number}: {len(words)} numbers (rows of {counts}); expected {_EXPECTED}")
    width = widths.pop()
    has_key = width in (8, 13, 17)
    values = [_floats(path, number, words[has_key:]) for number, words in rows]
    w_first = width == 8 and _w_first(header)
    poses = [_pose(path, number, row, w_first) for (number, _), row in zip(rows, values, strict=True)]
    if not has_key:
        return Trajectory(str(path), poses)
    keys, is_time = keys_of_words([words[0] for _, words in rows], str(path))
    return Trajectory(str(path), poses, keys, is_time)


def numbered_rows(path: Path, expected: str) -> tuple[list[tuple[int, list[str]]], str]:
    """The words of each line that is not blank or a comment, with its number from 1; and the comments as one text.

    Words are separated by spaces, tabs or commas. A first line that starts with a letter is a comment.
    Raises BadInput for a file without rows.
    """
    lines = decode(read_bytes(path, expected)).splitlines()
    rows: list[tuple[int, list[str]]] = []
    header = ""
    for number, line in enumerate(lines, start=1):
        words = line.replace(",", " ").split()
        if (
            not words
            or words[0].startswith("#")
            or (
                not rows
                and re.match(r"[A-Za-z_]", words[0])
                and len(words) > 1
                and not re.fullmatch(r"[+-]?(nan|inf)", words[0], re.I)
            )
        ):
            header += f" {line}"
        else:
            rows.append((number, words))
    if not rows:
        raise BadInput(f"{path}: has no rows; expected {expected}")
    return rows, header


def row_width(path: Path) -> int:
    """How many numbers the first row of a text file has; 0 for a file without rows."""
    try:
        return len(numbered_rows(path, "rows of numbers")[0][0][1])
    except BadInput:
        return 0


def _of_blocks(path: Path, rows: Sequence[tuple[int, list[str]]]) -> Trajectory:
    """Blocks of four rows; a row of three numbers or more before a block, which has another length, is not read."""
    has_heads = len(rows[0][1]) != 4
    blocks = [row for at, row in enumerate(rows) if not has_heads or at % 5]
    if len(rows) % (5 if has_heads else 4) or any(len(words) != 4 for _, words in blocks):
        raise BadInput(f"{path}: {len(rows)} rows are not blocks of four rows of four numbers; expected {_EXPECTED}")
    poses = []
    for start in range(0, len(blocks), 4):
        values = [_floats(path, number, words) for number, words in blocks[start : start + 4]]
        poses.append(_pose(path, blocks[start][0], [value for row in values for value in row], False))
    return Trajectory(str(path), poses)


def _floats(path: Path, number: int, words: list[str]) -> list[float]:
    try:
        return list(map(float, words))
    except ValueError as error:
        raise BadInput(f"{path}, line {number}: {error}; expected {_EXPECTED}") from error


def _pose(path: Path, number: int, values: list[float], w_first: bool) -> Pose | None:
    """The pose of a row, translation and quaternion or a matrix; None for a lost one. Raises BadInput with the line."""
    if not np.isfinite(values).all():
        return None
    pose = np.eye(4)
    try:
        if len(values) == 7:
            quaternion = [*values[4:], values[3]] if w_first else values[3:]
            pose[:3, :3], pose[:3, 3] = quaternion_to_matrix(np.array(quaternion)), values[:3]
        else:
            pose[: len(values) // 4] = np.reshape(values, (-1, 4))
            check_pose(pose)
    except BadInput as error:
        raise BadInput(f"{path}, line {number}: {error}") from error
    return pose


def _w_first(header: str) -> bool:
    """Whether a header names w of the quaternion before x, y and z, as EuRoC's does."""
    found = [match.start() for name in ("w", "x") if (match := re.search(rf"q_?(rs_)?{name}\b", header, re.I))]
    return len(found) == 2 and found[0] < found[1]
