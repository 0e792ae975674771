"""S3DIS rooms (``Area_5/office_1/Annotations``) and the images of the same places from 2D-3D-S."""

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from wsss_ros.geometry import check_pose, invert
from wsss_ros.labels import UNLABELLED, LabelSpace, s3dis
from wsss_ros.scenes.images import read_bytes, read_rgb, read_uint16
from wsss_ros.scenes.point_text import read_points
from wsss_ros.scenes.posed_frames import image_size
from wsss_ros.scenes.tags import TagFile
from wsss_ros.types import BadInput, Camera, Cloud, Frame

ANNOTATIONS = "Annotations"
LABEL_LIST = "semantic_labels.json"
IMAGE_TAG_SHARE = 0.005  # of all pixels

_OBJECT = re.compile(r"(?P<kind>[A-Za-z]+)_\d+")
_AREA = re.compile(r"area_(?P<number>\d+)(?P<part>[ab]?)", re.IGNORECASE)
_VIEW = re.compile(r"(?P<stem>camera_[^_]+_+(?P<room>.+_\d+)_+frame_(?P<frame>\d+))_+domain_+pose\.json")
_STAIRS = {"stairs": "clutter"}
_DEPTH_STEPS_A_METRE = 512
_NO_DEPTH = 65535
_FRAME_RATE_HZ = 30
# The cameras of area_5b live in a world of their own, a quarter turn and a shift from that of area_5a and Area_5
# (github.com/alexsax/2D-3D-Semantics, issues 11 and 40).
_AREA5_FROM_5B = np.array([[0, 1, 0, -4.09703582], [-1, 0, 0, 6.22617759], [0, 0, 1, 0], [0, 0, 0, 1.0]])
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class _View:
    """The files of one image of 2D-3D-S, with its pose in the room's world and its intrinsics as they stand there."""

    name: str
    rgb: Path
    depth: Path
    semantic: Path
    world_from_camera: Float64[np.ndarray, "4 4"]
    intrinsics: Float64[np.ndarray, "3 3"]


class S3disRoom:
    """One room of S3DIS, ``Area_5/office_1``, with the 2D-3D-S images taken in it. Follows ``types.Scene``.

    The cloud is the union of ``Annotations/{class}_{n}.txt``, rows ``x y z r g b``, in the order of the files' names;
    broken lines are repaired or dropped (``point_text.read_points``). Files of other names (``wall_3 (1).txt``, a
    copy) are left out with a warning. The class ``stairs`` is clutter; points of a class beyond the 13 are unlabelled.

    ``labels`` may be S3DIS's 13 classes or another space: truth comes in ``labels`` for the classes that both have
    (``LabelSpace.shared``; ScanNet's bookshelf is the bookcase), and is 255 for the others. Tags come from
    ``tags.csv`` or ``tags.json``, where there is one, else from the truth: the scene's are the classes annotated in
    it, an image's those on at least 0.5 % of its pixels.

    Images are looked for in ``data/rgb`` (and ``pose``, ``depth``, ``semantic``) of 2D-3D-S's folder for the area,
    which is the area's own, inside it or beside it: ``Area_1`` goes with ``area_1``, ``Area_5`` with ``area_5a`` and
    ``area_5b`` (whose cameras are brought into Area_5's world). An image belongs to the room its file name holds:
    ``camera_{uuid}_{room}_frame_{n}_domain_rgb.png``. Without any the room has no frames. ``semantic_labels.json``
    lies in 2D-3D-S's ``assets`` or beside the area. Frames count at 30 Hz from 1 s on, in the order of their names.
    The images fit ``Stanford3dDataset_v1.2``; in its ``_Aligned_Version`` rooms are turned away from them (warned of).
    ``skipped`` counts the frames left out, by cause.

    Raises BadInput, naming the file: here for a folder without annotations; later for text that is no points, a room
    without points, unreadable images, depth or labels of another size, a missing or broken ``semantic_labels.json``.
    """

    def __init__(self, folder: str | Path, labels: LabelSpace) -> None:
        self.folder, self.labels = Path(folder), labels
        where = Path(os.path.abspath(self.folder))  # links are not followed: what lies beside one counts
        self.name = f"{where.parent.name}_{where.name}" if _AREA.fullmatch(where.parent.name) else where.name
        self._objects = list(_find_objects(self.folder))
        self._counts: list[int] | None = None
        self._left_out: list[tuple[str, str]] = []  # cause and what happened, for each frame
        self._views = [view for area in _image_folders(where.parent) for view in self._find_views(area, where.name)]
        for cause, count in self.skipped.items():
            first = next(message for this, message in self._left_out if this == cause)
            _log.warning("%s: %d frames left out, %s; the first: %s", self.folder, count, cause, first)
        if self._views and "aligned" in str(where).lower():
            _log.warning(
                "%s: from its path this is the aligned version, which does not fit the 2D-3D-S images found for it; "
                "to link points with pixels take Stanford3dDataset_v1.2 instead",
                self.folder,
            )

    def __len__(self) -> int:
        return len(self._views)

    @property
    def world_up(self) -> tuple[float, float, float]:
        return (0.0, 0.0, 1.0)

    @property
    def skipped(self) -> Counter:
        return Counter(cause for cause, _ in self._left_out)

    # --- cloud

    @property
    def cloud(self) -> Cloud:
        parts = self._read_objects()
        return Cloud(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def cloud_truth(self) -> UInt8[np.ndarray, "N"]:
        if self._counts is None:
            self._read_objects()
        kinds = self._table[[label for _, label in self._objects]]
        return np.repeat(kinds, self._counts)

    def _read_objects(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Positions and colours of each object; notes how many points each has."""
        parts = [read_points(path) for path, _ in self._objects]
        self._counts = [len(xyz) for xyz, _ in parts]
        if not sum(self._counts):
            raise BadInput(f"{self.folder / ANNOTATIONS}: its {len(parts)} files hold no point; unpack the area again")
        return parts

    @cached_property
    def _table(self) -> UInt8[np.ndarray, "256"]:
        """From S3DIS's classes to ``labels``."""
        return _space().table_to(self.labels)

    # --- images

    def _find_views(self, area: Path, room: str) -> Iterator[_View]:
        found = (_VIEW.fullmatch(path.name) for path in (area / "data" / "pose").glob("*.json"))
        mine = [match for match in found if match and match["room"] == room]
        for match in sorted(mine, key=lambda match: (match["stem"].rpartition("frame_")[0], int(match["frame"]))):
            paths = {kind: _beside(area, match, kind) for kind in ("rgb", "depth", "semantic")}
            if not (paths["rgb"].is_file() and paths["depth"].is_file()):
                self._left_out.append(("file missing", f"no {paths['rgb']} or no {paths['depth'].name} in depth"))
                continue
            try:
                pose, intrinsics = _read_view(area / "data" / "pose" / match.string)
            except BadInput as error:
                self._left_out.append(("unusable pose", str(error)))
                continue
            if area.name.lower() == "area_5b":
                pose = _AREA5_FROM_5B @ pose
            yield _View(match["stem"], **paths, world_from_camera=pose, intrinsics=intrinsics)

    def frame(self, index: int) -> Frame:
        """One view. Raises BadInput naming the file that is missing, broken or of the wrong size."""
        view = self._views[index]
        rgb = read_rgb(view.rgb)
        height, width = rgb.shape[:2]
        steps = read_uint16(view.depth, "image of depth in 1/512 m")
        if steps.shape != (height, width):
            got = f"{steps.shape[1]}x{steps.shape[0]}"
            raise BadInput(f"{view.depth} is {got} and {view.rgb.name} is {width}x{height}; wanted one size")
        depth_m = steps.astype(np.float32)
        depth_m[steps == _NO_DEPTH] = 0
        depth_m /= np.float32(_DEPTH_STEPS_A_METRE)
        camera, stamp_ns = _camera(view, width, height), 1_000_000_000 + index * 1_000_000_000 // _FRAME_RATE_HZ
        return Frame(rgb, camera, depth_m, view.world_from_camera.copy(), stamp_ns, view.name)

    def frame_truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """Labels on the frame's pixels, or None where the image has none.

        Each pixel of ``semantic`` is, as the number R G B to the base 256, an index into ``semantic_labels.json``.
        Raises BadInput when that list is missing or broken, or the image is of another size than its colour.
        """
        view = self._views[index]
        if not view.semantic.is_file():
            return None
        digits = read_rgb(view.semantic)
        if digits.shape[1::-1] != image_size(view.rgb):
            raise BadInput(f"{view.semantic}: another size than {view.rgb.name}; wanted a label for each pixel")
        indices = digits[..., 0].astype(np.int32)
        for digit in (1, 2):
            indices <<= 8
            indices |= digits[..., digit]
        return self._image_table.take(np.minimum(indices, len(self._image_table) - 1))

    @cached_property
    def _image_table(self) -> UInt8[np.ndarray, "K"]:
        """The label of each entry of ``semantic_labels.json``, and 255 for every index beyond (0D0D0D: no data)."""
        area = self._views[0].rgb.parents[2]
        folders = [inside for base in (area, *area.resolve().parents) for inside in (base, base / "assets")]
        path = next((folder / LABEL_LIST for folder in folders if (folder / LABEL_LIST).is_file()), None)
        if path is None:
            raise BadInput(
                f"{area}: the semantic images need '{LABEL_LIST}', which is neither in a folder above nor in a folder "
                "'assets' there; put it beside the area (it comes with 2D-3D-S)"
            )
        kinds = np.array([_label_of(entry.split("_")[0]) for entry in _read_label_list(path)] + [UNLABELLED], np.uint8)
        return self._table[kinds]

    # --- tags

    @cached_property
    def tag_file(self) -> TagFile | None:
        return TagFile.of(self.folder, self.labels)

    @cached_property
    def tags(self) -> tuple[str, ...] | None:
        return self.tag_file.scene if self.tag_file else self.labels.present(self.cloud_truth())

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        if self.tag_file is not None:
            return self.tag_file.image(self._views[index].name)
        truth = self.frame_truth(index)
        if truth is None:
            return None
        return self.labels.present(truth, at_least=max(1, int(np.ceil(IMAGE_TAG_SHARE * truth.size))))


def _find_objects(folder: Path) -> Iterator[tuple[Path, int]]:
    """The annotation files in order, each with its class in S3DIS (255: none of the 13)."""
    paths = sorted(path for path in (folder / ANNOTATIONS).glob("*.txt") if path.name[0] != ".")
    matches = {path: _OBJECT.fullmatch(path.stem) for path in paths}
    if not any(matches.values()):
        raise BadInput(
            f"{folder}: no file like '{ANNOTATIONS}/chair_1.txt'; wanted a room of S3DIS, a folder like Area_5/office_1"
        )
    for path, match in matches.items():
        if match is None:
            _log.warning("%s left out: not named class_number.txt, as the annotations of S3DIS are", path)
            continue
        if (label := _label_of(match["kind"])) == UNLABELLED:
            _log.warning("%s: '%s' is no class of S3DIS; its points are left unlabelled", path, match["kind"])
        yield path, label


def _label_of(kind: str) -> int:
    """Index in S3DIS's label space, or 255."""
    names, kind = _space().names, _STAIRS.get(kind.lower(), kind.lower())
    return names.index(kind) if kind in names else UNLABELLED


@cache
def _space() -> LabelSpace:
    return s3dis()


def _image_folders(area: Path) -> list[Path]:
    """The folders of 2D-3D-S for an S3DIS area: itself, those inside it, those beside it."""
    wanted = _AREA.fullmatch(area.name)
    if wanted is None:
        return []
    near = [area, *sorted(area.iterdir()), *sorted(area.parent.iterdir())]
    numbered = [path for path in near if (match := _AREA.fullmatch(path.name)) and match["number"] == wanted["number"]]
    holding = {path.resolve(): path for path in reversed(numbered) if (path / "data" / "pose").is_dir()}
    return sorted(holding.values())


def _beside(area: Path, match: re.Match, kind: str) -> Path:
    return area / "data" / kind / f"{match.string.removesuffix('pose.json')}{kind}.png"


def _read_view(path: Path) -> tuple[Float64[np.ndarray, "4 4"], Float64[np.ndarray, "3 3"]]:
    """(world_from_camera, camera matrix) of a pose file; ``camera_rt_matrix`` in it is 3x4, camera from world."""
    try:
        data = json.loads(read_bytes(path, "the pose of an image of 2D-3D-S"))
        intrinsics, motion = (np.array(data[key], np.float64) for key in ("camera_k_matrix", "camera_rt_matrix"))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: {error!r}; wanted JSON with camera_k_matrix and camera_rt_matrix") from error
    if intrinsics.shape != (3, 3) or motion.shape != (3, 4):
        raise BadInput(f"{path}: matrices of shapes {intrinsics.shape} and {motion.shape}; wanted K 3x3 and RT 3x4")
    camera_from_world = np.vstack([motion, (0, 0, 0, 1)])
    try:
        check_pose(camera_from_world)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return invert(camera_from_world), intrinsics


def _camera(view: _View, width: int, height: int) -> Camera:
    """The camera of an image; 2D-3D-S counts pixels from the corner of the first one (540 is the middle of 1080)."""
    fx, fy, cx, cy = (float(view.intrinsics[row, column]) for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)))
    middling = abs(cx / width - 0.5) < 0.1 and abs(cy / height - 0.5) < 0.1
    if not (middling and np.isfinite([fx, fy]).all() and min(fx, fy) > 0):
        raise BadInput(
            f"{view.rgb} is {width}x{height}, and its pose file says fx {fx:g}, fy {fy:g}, centre ({cx:g}, {cy:g}); "
            "wanted the intrinsics of an image of that size"
        )
    return Camera(fx, fy, cx - 0.5, cy - 0.5, width, height)


def _read_label_list(path: Path) -> list[str]:
    try:
        entries = json.loads(read_bytes(path, "2D-3D-S's list of labels"))
    except ValueError as error:
        raise BadInput(f"{path}: {error}; wanted a JSON list of names like 'chair_3_office_1_5'") from error
    if not (isinstance(entries, list) and entries and all(isinstance(entry, str) for entry in entries)):
        raise BadInput(f"{path}: no JSON list of names like 'chair_3_office_1_5'; take the one that comes with 2D-3D-S")
    return entries
