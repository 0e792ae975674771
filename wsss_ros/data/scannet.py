"""Scenes in ScanNet's own layout: a reader for ScanNet's exports and for what ``write_scene`` makes.

Format: FACTS of the ScanNet repository (SensReader, BenchmarkScripts). Point cloud and poses share the
unaligned, z-up scan frame; the axis alignment is stored beside them and applied to neither.
"""

import csv
from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from wsss_ros.data import ply
from wsss_ros.data.images import read_bytes, read_uint16
from wsss_ros.data.posed_frames import PosedFrames, Rig, image_size, labels_on_depth, list_frames, read_intrinsics
from wsss_ros.data.scannet_write import POINT_LABELS, POINTS, TIMESTAMPS, write_scene
from wsss_ros.data.tags import TagFile
from wsss_ros.labels import LabelSpace
from wsss_ros.types import BadInput, Camera, Cloud, Frame

__all__ = ["EXCERPT_CAMERA", "LABEL_TABLE", "POINTS", "ScanNetScene", "write_scene"]

LABEL_TABLE = "scannetv2-labels.combined.tsv"
NATIVE_SIZE = {"color": (1296, 968), "depth": (640, 480)}
# The intrinsics everybody uses with the 320x240 excerpt of ScanNet, which comes without any.
EXCERPT_CAMERA = Camera(577.870605, 577.870605, 319.5, 239.5, 640, 480)

# A class smaller than this is not a tag: a few stray pixels or points are nothing a person would name.
IMAGE_TAG_SHARE = 0.005  # of all pixels
SCENE_TAG_SHARE = 0.0005  # of all points


class ScanNetScene:
    """One scan folder: ScanNet's own or one of ``write_scene``. Follows ``types.Scene``.

    Frames come on the depth camera's pixels: colour of another size is averaged onto them, and depth outside
    the colour image counts as missing. Intrinsics come from ``intrinsic/``, else from the scene's ``.txt``, else
    they are those of the 320x240 excerpt. Without ``timestamps.txt`` frame numbers count at 30 Hz from
    1 s on.
    Tags come from ``tags.csv``, where there is one, else from the truth: classes on at least 0.5 % of an image's
    pixels, or 0.05 % of the scene's points (without point labels: the union of the images' tags).
    Images and points are read anew at every call; ``skipped`` counts the frames left out, by cause.

    Raises BadInput, naming the file: here for a folder without ``*_vh_clean_2.ply`` and broken poses or
    intrinsics; later for files that are missing or cut short.
    """

    def __init__(self, folder: str | Path, labels: LabelSpace) -> None:
        self.folder, self.labels = Path(folder), labels
        self._stem = _find_stem(self.folder)
        self.name = self._stem.name
        self._info = _Info(Path(f"{self._stem}.txt"))
        files, incomplete = list_frames(*((self.folder / kind).glob("*.*") for kind in ("color", "depth", "pose")))
        rig = _read_rig(self.folder, self._info, files[0].color, files[0].depth) if files else None
        self._frames = PosedFrames(str(self.folder), files, incomplete, rig, _read_stamps(self.folder / TIMESTAMPS))
        self._image_tags: dict[int, tuple[str, ...] | None] = {}

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def skipped(self) -> Counter:
        return self._frames.skipped

    @property
    def world_up(self) -> tuple[float, float, float]:
        return (0.0, 0.0, 1.0)

    @property
    def axis_alignment(self) -> Float64[np.ndarray, "4 4"]:
        """aligned_from_world, a turn about z and a shift; identity where the scene has none (test scans)."""
        values = self._info.numbers("axisAlignment", 16)
        return np.eye(4) if values is None else values.reshape(4, 4)

    def frame(self, index: int) -> Frame:
        return self._frames.frame(index)

    @property
    def cloud(self) -> Cloud:
        path = Path(f"{self._stem}{POINTS}")
        vertices = ply.read(path)
        xyz = _columns(path, vertices, ("x", "y", "z"), np.float32)
        return Cloud(xyz, _columns(path, vertices, ("red", "green", "blue"), np.uint8))

    def cloud_truth(self) -> UInt8[np.ndarray, "N"] | None:
        """Labels of the cloud's points, or None where the scan has none (test scans)."""
        path = Path(f"{self._stem}{POINT_LABELS}")
        if not path.is_file():
            return None
        return self.labels.from_ids(_columns(path, ply.read(path), ("label",), np.int64).ravel())

    def frame_truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """Labels on the frame's pixels, or None where the scene has none.

        Raises BadInput when the ids in ``label-filt`` need ScanNet's table and it is nowhere to be found.
        """
        path = self._label_path(index)
        if path is None:
            return None
        depth = self._frames.rig.depth.resized(*image_size(self._frames.files[index].depth))
        return labels_on_depth(self._read_labels(path), self._frames.rig.color, depth)

    def _label_path(self, index: int) -> Path | None:
        path = self.folder / "label-filt" / f"{self._frames.files[index].name}.png"
        return path if path.is_file() else None

    def _read_labels(self, path: Path) -> UInt8[np.ndarray, "H W"]:
        ids = read_uint16(path, "image of class ids")
        return self.labels.from_ids(ids if self._nyu40_of_id is None else self._nyu40_of_id[ids])

    @cached_property
    def _nyu40_of_id(self) -> np.ndarray | None:
        """Table from ScanNet's raw ids to nyu40 ids; None where the images hold nyu40 ids already."""
        if self._info.values.get("labelIds") == "nyu40":
            return None
        for folder in (self.folder, *self.folder.resolve().parents):
            if (folder / LABEL_TABLE).is_file():
                return read_label_table(folder / LABEL_TABLE)
        raise BadInput(
            f"{self.folder}: label-filt holds ScanNet's raw ids, and '{LABEL_TABLE}' is neither here nor in a folder "
            "above; put it beside the scenes (it comes with ScanNet)"
        )

    # --- tags

    @cached_property
    def _tag_file(self) -> TagFile | None:
        return TagFile.of(self.folder, self.labels)

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        if self._tag_file is not None:
            return self._tag_file.image(self._frames.files[index].name)
        if index not in self._image_tags:
            self._image_tags[index] = self._tags_of_image(index)
        return self._image_tags[index]

    def _tags_of_image(self, index: int) -> tuple[str, ...] | None:
        path = self._label_path(index)
        return None if path is None else _tags_of(self.labels, self._read_labels(path), IMAGE_TAG_SHARE)

    @cached_property
    def tags(self) -> tuple[str, ...] | None:
        if self._tag_file is not None:
            return self._tag_file.scene
        if (truth := self.cloud_truth()) is not None:
            return _tags_of(self.labels, truth, SCENE_TAG_SHARE)
        given = [tags for index in range(len(self)) if (tags := self.image_tags(index)) is not None]
        union = set().union(*given)
        return tuple(name for name in self.labels.names if name in union) if given else None


def _tags_of(labels: LabelSpace, truth: np.ndarray, share: float) -> tuple[str, ...]:
    return labels.present(truth, at_least=max(1, int(np.ceil(share * truth.size))))


def _find_stem(folder: Path) -> Path:
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; wanted a scene in ScanNet's layout")
    found = sorted(folder.glob(f"*{POINTS}"))
    if len(found) != 1:
        names = [path.name for path in found] or "none"
        raise BadInput(f"{folder}: wanted one file '*{POINTS}', found {names}; name the folder of one scan")
    return Path(str(found[0]).removesuffix(POINTS))


def _columns(path: Path, vertices: np.ndarray, names: tuple[str, ...], dtype: type) -> np.ndarray:
    if missing := [name for name in names if name not in vertices.dtype.names]:
        raise BadInput(f"{path}: no vertex property {missing}; it has {', '.join(vertices.dtype.names)}")
    return np.stack([vertices[name] for name in names], axis=1).astype(dtype)


class _Info:
    """The ``key = value`` lines of a scene's .txt; empty where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = read_bytes(path, "'key = value' lines").decode("utf-8", "replace") if path.is_file() else ""
        rows = (line.partition("=") for line in text.splitlines())
        self.values = {key.strip(): value.strip() for key, _, value in rows}

    def numbers(self, key: str, count: int) -> Float64[np.ndarray, "K"] | None:
        """Raises BadInput naming the file when the key's value is anything else."""
        if key not in self.values:
            return None
        try:
            return np.array(self.values[key].split(), np.float64).reshape(count)
        except ValueError as error:
            raise BadInput(f"{self.path}: '{key} = {self.values[key]}'; wanted {count} numbers") from error

    def number(self, key: str) -> float:
        """NaN where there is no such key."""
        value = self.numbers(key, 1)
        return float("nan") if value is None else float(value[0])


def _read_rig(folder: Path, info: _Info, color: Path, depth: Path) -> Rig:
    depth_camera = _read_camera(folder, info, "depth", image_size(depth)) or EXCERPT_CAMERA
    return Rig(depth_camera, _read_camera(folder, info, "color", image_size(color)) or depth_camera)


def _read_camera(folder: Path, info: _Info, kind: str, actual: tuple[int, int]) -> Camera | None:
    """The camera at the size its numbers are for; None where neither ``intrinsic/`` nor the .txt holds it."""
    path = folder / "intrinsic" / f"intrinsic_{kind}.txt"
    if path.is_file():
        fx, fy, cx, cy = read_intrinsics(path)
    else:
        path = info.path
        fx, fy, cx, cy = (info.number(f"{key}_{kind}") for key in ("fx", "fy", "mx", "my"))
        if not np.isfinite([fx, fy, cx, cy]).all():
            return None
    noted = (info.number(f"{kind}Width"), info.number(f"{kind}Height"))
    for width, height in (actual, noted, NATIVE_SIZE[kind]):
        # Exports are often shrunk and keep the full-size numbers: believe the size of which cx, cy is about the middle.
        if 0.3 * width < cx < 0.7 * width and 0.3 * height < cy < 0.7 * height:
            return Camera(fx, fy, cx, cy, int(width), int(height))
    raise BadInput(
        f"{path}: centre ({cx:g}, {cy:g}) is not about the middle of the {kind} images, {actual[0]}x{actual[1]}, "
        f"nor of ScanNet's {NATIVE_SIZE[kind]}; check the file"
    )


def _read_stamps(path: Path) -> dict[int, int]:
    """Nanoseconds by frame number from lines ``number stamp``; empty where there is no such file."""
    if not path.is_file():
        return {}
    rows = [line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    try:
        return {int(number): int(stamp) for number, stamp in rows}
    except ValueError as error:
        raise BadInput(f"{path}: {error}; wanted lines 'frame-number nanoseconds'") from error


def read_label_table(path: str | Path) -> np.ndarray:
    """uint16 [65536]: nyu40 id of each raw id (column ``id`` -> ``nyu40id``), 0 for ids the table lacks."""
    path = Path(path)
    text = read_bytes(path, "ScanNet's label table").decode("utf-8", "replace")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    table = np.zeros(65536, np.uint16)
    try:
        for row in rows:
            table[int(row["id"])] = int(row["nyu40id"] or 0)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise BadInput(f"{path}: {error!r}; wanted tab-separated columns with 'id' and 'nyu40id'") from error
    return table
