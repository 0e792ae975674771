"""Reader of scenes in ScanNet's layout: ScanNet's own files and exports, and the scenes of ``scannet_write``.

The ScanNet repository describes the format (SensReader, BenchmarkScripts). Cloud and poses are in the unaligned frame
of the scan, in which z is up. The axis alignment is stored, but is not applied to cloud and poses.
"""

import re
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from wsss_ros.files import decode
from wsss_ros.geometry import compact
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import ply
from wsss_ros.scenes.images import read_bytes
from wsss_ros.scenes.intrinsics import read_intrinsics_file
from wsss_ros.scenes.posed_frames import PosedFrames, list_frames, read_streams, sizes_of
from wsss_ros.scenes.rig import Rig, labels_on_depth
from wsss_ros.scenes.scannet_labels import LABEL_TABLE, ImageLabels, LabelTable, ids_by_segment, objects_by_segment
from wsss_ros.scenes.scannet_write import AGGREGATION, POINT_LABELS, POINTS, SEGMENTS, TIMESTAMPS
from wsss_ros.scenes.sens import SensReader
from wsss_ros.scenes.tags import TagFile, tags_of_cloud, tags_of_image
from wsss_ros.types import BadInput, Camera, Cloud, Frame

_COLORS = ("red", "green", "blue")  # properties of a mesh's vertices
NATIVE_SIZE = {"color": (1296, 968), "depth": (640, 480)}
# The usual intrinsics of ScanNet's 320x240 excerpt, which contains no file with intrinsics.
EXCERPT_CAMERA = Camera(577.870605, 577.870605, 319.5, 239.5, 640, 480)
EXPORTS = ("color", "depth", "pose")
# Folders of scans, and folders of ScanNet's excerpts of their frames; all are in one parent folder.
SCANS = ("scans", "scans_test")
EXCERPTS = ("scannet_frames_25k", "scannet_frames_test")
_SCAN_NAME = re.compile(r"scene\d{4}_\d\d")


class ScanNetScene:
    """One scan: one of ScanNet's, or one that ``write_scene`` wrote. Implements ``types.Scene``.

    ``folder`` is the scan's folder, with ``*_vh_clean_2.ply``, or the scan's folder in ``scannet_frames_25k``. In the
    second case the points are in ``scans`` or ``scans_test`` next to it; without them the scene has no cloud.
    Frames are those exported to ``color depth pose``, else those in ``<scan>.sens``, else those of the scan in
    ``scannet_frames_25k`` next to ``scans``, else none.

    Frames are on the depth camera's pixels: colour of another size is averaged onto them, and depth outside the colour
    image counts as missing. Intrinsics come from the ``.sens`` file, ``intrinsic/``, ``intrinsics_*.txt``, or the
    scene's ``.txt``; else those of the 320x240 excerpt are used. Frames without times are stamped with their numbers at
    30 Hz, plus 1 s.
    Point labels come from ``*_vh_clean_2.labels.ply``, else from segments and aggregation; image labels from
    ``label-filt/``, ``label/`` or the zips of these. Raw ids and names need ScanNet's tsv table.
    Tags come from ``tags.csv`` or ``tags.json`` (``complete`` is that of ``TagFile``), else from the truth: classes on
    at least 0.5 % of an image's pixels, or on 0.05 % of the scene's points; without point labels, the scene has the
    tags of all images.
    Frames are listed at the first access. Images and points are read again at every call.

    Raises BadInput, naming the file: here for a folder that is not a scan; later for broken poses or intrinsics, and
    for files that are missing, cut short, or do not belong together.
    """

    def __init__(self, folder: str | Path, labels: LabelSpace, complete: bool = True) -> None:
        self.folder, self.labels, self.complete = Path(folder), labels, complete
        self._stem = _find_stem(self.folder)
        self.name = self._stem.name
        self._info = _Info(Path(f"{self._stem}.txt"))
        self._image_labels = ImageLabels(self._folders(), self.name)
        self._image_tags: dict[int, tuple[str, ...] | None] = {}

    @cached_property
    def _frames(self) -> PosedFrames | SensReader:
        sens, exported = self.folder / f"{self.name}.sens", self._exported
        if exported is None and sens.is_file():
            return SensReader(sens)
        color, depth, pose = ([*(exported / kind).glob("*.*")] if exported else [] for kind in EXPORTS)
        found, missing = list_frames(read_streams(color, depth, pose))
        stamps_ns = _read_stamps(self.folder / TIMESTAMPS)
        files = [replace(file, stamp_ns=stamps_ns.get(file.number, file.stamp_ns)) for file in found]
        rig = _read_rig(exported, self._info, *sizes_of(files)) if exported and files else None
        return PosedFrames(str(self.folder), files, missing, rig)

    @cached_property
    def _exported(self) -> Path | None:
        """The folder with exported frames, or None without exported frames."""
        own = [self.folder] if (self.folder / f"{self.name}.sens").is_file() else []
        for folder in own or (self.folder, *_siblings(self.folder, EXCERPTS)):
            if all((folder / kind).is_dir() for kind in EXPORTS):
                return folder
        return None

    def _folders(self) -> list[Path]:
        """The folders from which the scene is read, without duplicates."""
        return list(dict.fromkeys((self.folder, self._stem.parent, self._exported or self.folder)))

    @property
    def sources(self) -> tuple[Path, ...]:
        """The folders and further files on which the scene's content depends."""
        tables = [place / LABEL_TABLE for folder in self._folders() for place in (folder, *folder.resolve().parents)]
        return (*self._folders(), *(path for path in dict.fromkeys(tables) if path.is_file()))

    def __len__(self) -> int:
        """Number of frames with a usable pose."""
        return len(self._frames)

    @property
    def skipped(self) -> Counter[str]:
        """Number of frames left out, by cause."""
        return self._frames.skipped

    @property
    def world_up(self) -> tuple[float, float, float]:
        """The z axis, against gravity in all scans."""
        return (0.0, 0.0, 1.0)

    @property
    def axis_alignment(self) -> Float64[np.ndarray, "4 4"]:
        """aligned_from_world: a rotation about z and a shift; the identity for a scan without one (test scans)."""
        values = self._info.numbers("axisAlignment", 16)
        return np.eye(4) if values is None else values.reshape(4, 4)

    def frame(self, index: int) -> Frame:
        """One frame. Raises BadInput naming the file that is missing, broken or of the wrong size."""
        return self._frames.frame(index)

    @property
    def cloud(self) -> Cloud | None:
        """The vertices of the scan's mesh, or None without a mesh; without colours if the mesh has none.

        Raises BadInput naming the broken file.
        """
        path = Path(f"{self._stem}{POINTS}")
        if not path.is_file():
            return None
        vertices = ply.read(path)
        xyz = compact(_columns(path, vertices, ("x", "y", "z"), np.float64))
        colored = not set(_COLORS).isdisjoint(vertices.dtype.names or ())
        return Cloud(xyz, _columns(path, vertices, _COLORS, np.uint8) if colored else None)

    # --- truth

    def cloud_truth(self) -> UInt8[np.ndarray, "N"] | None:
        """Labels of the cloud's points, or None for a scan without labels (test scans).

        Raises BadInput when labels and points differ in number, and when the labels need ScanNet's table but it is not
        found.
        """
        labelled, groups, segments = (Path(f"{self._stem}{end}") for end in (POINT_LABELS, AGGREGATION, SEGMENTS))
        if labelled.is_file():
            source, ids = labelled, _columns(labelled, ply.read(labelled), ("label",), np.int64).ravel()
        elif groups.is_file() and segments.is_file() and not self._nyu40_ids:
            source, ids = segments, ids_by_segment(groups, segments, self._table.of_name)
        else:
            return None
        if len(ids) != (points := ply.count(f"{self._stem}{POINTS}")):
            raise BadInput(
                f"{source}: labels for {len(ids)} points, and {self.name}{POINTS} has {points}; "
                "expected both from one scan and of one resolution"
            )
        return self.labels.from_ids(ids)

    def cloud_objects(self) -> Int64[np.ndarray, "N"] | None:
        """The number of the object of each point of the cloud, -1: none; None for a scan without objects.

        Raises BadInput when objects and points differ in number.
        """
        groups, segments = (Path(f"{self._stem}{end}") for end in (AGGREGATION, SEGMENTS))
        if not groups.is_file() or not segments.is_file():
            return None
        objects = objects_by_segment(groups, segments)
        if len(objects) != (points := ply.count(f"{self._stem}{POINTS}")):
            raise BadInput(f"{segments}: segments of {len(objects)} points, and {self.name}{POINTS} has {points}")
        return objects

    def frame_truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """Labels of the frame's pixels, or None if there is no label image.

        Raises BadInput when the labels are raw ids, which need ScanNet's table, and the table is not found.
        """
        if self._frames.number(index) not in self._image_labels:
            return None
        rig = self._frames.rig
        depth = rig.depth.resized(*self._frames.depth_size(index))
        return labels_on_depth(self._read_labels(index), rig.color or rig.depth, depth)

    def _read_labels(self, index: int) -> UInt8[np.ndarray, "H W"]:
        ids = self._image_labels.read(self._frames.number(index))
        return self.labels.from_ids(ids if self._nyu40_ids or ids.dtype == np.uint8 else self._table.of_id[ids])

    @property
    def _nyu40_ids(self) -> bool:
        """Whether the scene was written by ``write_scene``, with nyu40 ids in place of raw ids."""
        return self._info.values.get("labelIds") == "nyu40"

    @cached_property
    def _table(self) -> LabelTable:
        return LabelTable.find(self._folders())

    # --- tags

    @property
    def frame_names(self) -> list[str]:
        """The names of the frames, as rows of a tag file call them."""
        return [self._frames.name(index) for index in range(len(self))]

    @cached_property
    def tag_file(self) -> TagFile | None:
        """The tags that a person gave, or None without a tag file. A file in the opened folder is preferred."""
        found = (TagFile.of(folder, self.labels, self.complete) for folder in self._folders())
        tags = next((tags for tags in found if tags), None)
        if tags is not None:
            with suppress(BadInput):  # a broken image is reported when it is read
                tags.report_unmatched(self.frame_names)
        return tags

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        """Tags of a frame: those of the tag file, else the classes on enough of its pixels; None without both."""
        if self.tag_file is not None:
            return self.tag_file.image(self._frames.name(index))
        if index not in self._image_tags:
            self._image_tags[index] = self._tags_of_image(index)
        return self._image_tags[index]

    @property
    def unknown(self) -> tuple[str, ...]:
        """Classes that the tag file does not judge in the scene; with tags from the truth all are known."""
        return self.tag_file.unknown if self.tag_file else ()

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """Classes that the tag file does not judge in a frame; with tags from the truth all are known."""
        return self.tag_file.image_unknown(self._frames.name(index)) if self.tag_file else ()

    def _tags_of_image(self, index: int) -> tuple[str, ...] | None:
        if self._frames.number(index) not in self._image_labels:
            return None
        return tags_of_image(self._read_labels(index), self.labels)

    @cached_property
    def tags(self) -> tuple[str, ...] | None:
        """Tags of the scene: those of the tag file, else the classes of enough points, else the tags of all images."""
        if self.tag_file is not None:
            return self.tag_file.scene
        if (truth := self.cloud_truth()) is not None:
            return tags_of_cloud(truth, self.labels)
        given = [tags for index in range(len(self)) if (tags := self.image_tags(index)) is not None]
        union = set().union(*given)
        return tuple(name for name in self.labels.names if name in union) if given else None


# --- the folders of a scan -------------------------------------------------------------------------


def is_scan(folder: Path) -> bool:
    """Whether the folder is a scan, or ScanNet's excerpt of a scan's frames."""
    return any(folder.glob(f"*{POINTS}")) or _is_excerpt(folder)


def _is_excerpt(folder: Path) -> bool:
    if not all((folder / kind).exists() for kind in (*EXPORTS, "intrinsics_color.txt", "intrinsics_depth.txt")):
        return False
    return (folder / "label").is_dir() or _SCAN_NAME.fullmatch(folder.absolute().name) is not None


def _siblings(folder: Path, kinds: tuple[str, ...]) -> list[Path]:
    """The existing folders with the name of ``folder`` inside ``kinds``, which are next to the parent of ``folder``."""
    folder = folder.absolute()
    paths = [folder.parent.parent / kind / folder.name for kind in kinds]
    return [path for path in paths if path.is_dir()]


def _find_stem(folder: Path) -> Path:
    """The path of the scan's folder and its name: all files of the scan start with it."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected a scene in ScanNet's layout")
    found = sorted(folder.glob(f"*{POINTS}"))
    if not found and _is_excerpt(folder):
        name = folder.absolute().name
        scans = [path for path in _siblings(folder, SCANS) if (path / f"{name}{POINTS}").is_file()]
        return (scans[0] if scans else folder) / name
    if len(found) != 1:
        names = [path.name for path in found] or "none"
        raise BadInput(f"{folder}: expected one file '*{POINTS}', found {names}; name the folder of one scan")
    return Path(str(found[0]).removesuffix(POINTS))


def _columns(path: Path, vertices: np.ndarray, names: tuple[str, ...], dtype: type) -> np.ndarray:
    properties = vertices.dtype.names or ()
    if missing := [name for name in names if name not in properties]:
        raise BadInput(f"{path}: no vertex property {missing}; it has {', '.join(properties)}")
    return np.stack([vertices[name] for name in names], axis=1).astype(dtype)


class _Info:
    """The ``key = value`` lines of a scene's .txt; no keys without that file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = read_bytes(path, "'key = value' lines").decode("utf-8", "replace") if path.is_file() else ""
        rows = (line.partition("=") for line in text.splitlines())
        self.values = {key.strip(): value.strip() for key, _, value in rows}

    def numbers(self, key: str, count: int) -> Float64[np.ndarray, "K"] | None:
        """The ``count`` numbers of a key, or None without the key. Raises BadInput for another value."""
        if key not in self.values:
            return None
        try:
            return np.array(self.values[key].split(), np.float64).reshape(count)
        except ValueError as error:
            raise BadInput(f"{self.path}: '{key} = {self.values[key]}'; expected {count} numbers") from error

    def number(self, key: str) -> float:
        """The number of a key, NaN without the key."""
        value = self.numbers(key, 1)
        return float("nan") if value is None else float(value[0])


def _read_rig(folder: Path, info: _Info, color_size: tuple[int, int], depth_size: tuple[int, int]) -> Rig:
    depth_camera = _read_camera(folder, info, "depth", depth_size) or EXCERPT_CAMERA
    return Rig(depth_camera, _read_camera(folder, info, "color", color_size) or depth_camera)


def _read_camera(folder: Path, info: _Info, kind: str, actual: tuple[int, int]) -> Camera | None:
    """The camera, at the image size that its intrinsics are for; None if no file has them.

    Raises BadInput for a centre that fits no image size.
    """
    files = (folder / "intrinsic" / f"intrinsic_{kind}.txt", folder / f"intrinsics_{kind}.txt")
    path = next((path for path in files if path.is_file()), None)
    if path is not None:
        own = read_intrinsics_file(path)
        fx, fy, cx, cy = own.fx, own.fy, own.cx, own.cy
    else:
        path = info.path
        fx, fy, cx, cy = (info.number(f"{key}_{kind}") for key in ("fx", "fy", "mx", "my"))
        if not np.isfinite([fx, fy, cx, cy]).all():
            return None
    noted = (info.number(f"{kind}Width"), info.number(f"{kind}Height"))
    for width, height in (actual, noted, NATIVE_SIZE[kind]):
        # Exports are often shrunk but keep the intrinsics of full size. The right size has (cx, cy) near its centre.
        if 0.3 * width < cx < 0.7 * width and 0.3 * height < cy < 0.7 * height:
            return Camera(fx, fy, cx, cy, int(width), int(height))
    raise BadInput(
        f"{path}: centre ({cx:g}, {cy:g}) is not near the middle of the {kind} images, {actual[0]}x{actual[1]}, "
        f"nor of ScanNet's {NATIVE_SIZE[kind]}; check the file"
    )


def _read_stamps(path: Path) -> dict[int, int]:
    """The stamps (ns) by frame number, from lines ``number stamp``; empty without that file."""
    if not path.is_file():
        return {}
    lines = decode(path.read_bytes()).splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    try:
        return {int(number): int(stamp) for number, stamp in rows}
    except ValueError as error:
        raise BadInput(f"{path}: {error}; expected lines 'frame-number nanoseconds'") from error
