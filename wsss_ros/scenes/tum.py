"""Layout ``tum``: the TUM RGB-D benchmark's ``rgb.txt``, ``depth.txt`` and ``groundtruth.txt``, matched by time.

https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats: lines 'time file' and 'time tx ty tz qx qy qz qw',
camera to world, x right, y down, z forward; depth is a 16-bit PNG with 5000 values per metre, registered to colour.
"""

import re
from collections import Counter
from dataclasses import replace
from os.path import isfile  # no error for a name that no file can have
from pathlib import Path

from wsss_ros.scenes.frame_names import Series, keys_of_words
from wsss_ros.scenes.intrinsics import Intrinsics
from wsss_ros.scenes.listing import (
    Listing,
    find_intrinsics,
    first_file,
    image_folders,
    join,
    list_folders,
    with_cameras,
    with_reading,
)
from wsss_ros.scenes.reading import Reading
from wsss_ros.scenes.trajectories import Trajectory, numbered_rows, read_trajectory, row_width
from wsss_ros.types import BadInput

EXPECTS = "rgb.txt, depth.txt and groundtruth.txt, or associations.txt (TUM RGB-D)"
DEPTH_PER_METRE = 5000.0
_TRAJECTORIES = ("groundtruth.txt", "traj.txt", "trajectory.txt", "poses.txt", "pose.txt", "CameraTrajectory.txt")
_PAIRS = ("associations.txt", "association.txt", "associate.txt", "assoc.txt", "fr_associations.txt")
# The intrinsics that the benchmark publishes for its three cameras; its folders have no file with them.
_PUBLISHED = {
    "freiburg1": (517.3, 516.5, 318.6, 255.3),
    "freiburg2": (520.9, 521.0, 325.1, 249.7),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
}


def find(folder: Path) -> str:
    """What of this layout a folder has; empty if it does not fit."""
    lists = [name for name in ("rgb.txt", "depth.txt") if (folder / name).is_file()]
    if len(lists) == 2:
        return "rgb.txt and depth.txt"
    if (pairs := first_file(folder, _PAIRS)) is not None:
        return pairs.name
    path = first_file(folder, _TRAJECTORIES)
    fits = path is not None and image_folders(folder) is not None and row_width(path) == 8
    return f"{path.name} with rows of 8 numbers" if fits and path else ""


def read(folder: Path, reading: Reading) -> Listing:
    """The frames of a folder. Raises BadInput naming the file."""
    path = first_file(folder, _TRAJECTORIES)
    if path is None:
        raise BadInput(f"{folder}: no poses; expected one of {', '.join(_TRAJECTORIES)}")
    found = find_intrinsics(folder, reading, _published(folder))
    listing = list_images(folder, with_reading(read_trajectory(path), reading), reading)
    return with_cameras(listing, found, DEPTH_PER_METRE)


def list_images(folder: Path, trajectory: Trajectory, reading: Reading) -> Listing:
    """The frames of ``rgb.txt`` and ``depth.txt``, of a file of pairs, or of the folders of images; without cameras."""
    pairs = first_file(folder, _PAIRS)
    if pairs is not None:
        color, depth = _read_pairs(pairs)
        joined = join((color, replace(depth, files=color.files)), trajectory, reading, str(folder))
        own = {path: depth.files[key] for key, path in color.files.items()}
        listing = replace(joined, files=[replace(file, depth=own[file.color]) for file in joined.files])
    elif (folder / "rgb.txt").is_file() and (folder / "depth.txt").is_file():
        images = _read_list(folder / "rgb.txt", "colour"), _read_list(folder / "depth.txt", "depth")
        listing = join(images, trajectory, reading, str(folder))
    else:
        listing = list_folders(folder, trajectory, reading)
    return _existing(listing)


def _read_list(path: Path, what: str) -> Series:
    """The files of ``rgb.txt`` or ``depth.txt`` by their time. Raises BadInput for a line that is not 'time file'."""
    rows = _file_rows(path, 2)
    return _series(path, what, [words[0] for words in rows], [words[1] for words in rows])


def _read_pairs(path: Path) -> tuple[Series, Series]:
    """The colour and depth files of lines 'time file time file', in either order, both by the time of colour."""
    rows = _file_rows(path, 4)
    depth_first = "depth" in rows[0][1].lower() and "depth" not in rows[0][3].lower()
    at = (2, 0) if depth_first else (0, 2)
    words = [row[at[0]] for row in rows]
    color, depth = (
        _series(path, what, words, [row[column + 1] for row in rows])
        for what, column in zip(("colour", "depth"), at, strict=True)
    )
    return color, depth


def _file_rows(path: Path, width: int) -> list[list[str]]:
    expected = f"lines '{' '.join(['time file'] * (width // 2))}'"
    rows, _ = numbered_rows(path, expected)
    if width == 2:  # names with spaces
        rows = [(number, [words[0], " ".join(words[1:])] if len(words) > 2 else words) for number, words in rows]
    for number, words in rows:
        if len(words) != width:
            raise BadInput(f"{path}, line {number}: {len(words)} words; expected {expected}")
    return [words for _, words in rows]


def _series(path: Path, what: str, words: list[str], files: list[str]) -> Series:
    keys, is_time = keys_of_words(words, str(path))
    by_key: dict = {}
    for key, file in sorted(zip(keys, files, strict=True)):
        if key in by_key:
            raise BadInput(
                f"{path}: {by_key[key].name} and {file} have one time; expected one {what} file for each time"
            )
        by_key[key] = path.parent / file.replace("\\", "/")
    return Series(what, is_time, by_key)


def _existing(listing: Listing) -> Listing:
    """The listing without frames whose images do not exist."""
    kept = [file for file in listing.files if isfile(file.color) and isfile(file.depth)]
    if listing.files and not kept:
        raise BadInput(f"{listing.files[0].color}: no such file, nor any other that the lists name; are they complete?")
    gone = Counter({"file missing": len(listing.files) - len(kept)})
    return replace(listing, files=kept, missing=+(listing.missing + gone))


def _published(folder: Path) -> Intrinsics | None:
    """The published intrinsics of a folder with a name of the benchmark, such as rgbd_dataset_freiburg3_cabinet."""
    name = re.search(r"freiburg[123]", folder.resolve().name)
    return Intrinsics(*_PUBLISHED[name[0]], f"published for {name[0]}", (640, 480)) if name else None
