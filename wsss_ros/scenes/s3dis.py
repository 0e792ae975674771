"""Reader of S3DIS rooms (``Area_5/office_1/Annotations``) with the images of the same rooms from 2D-3D-S."""

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

from wsss_ros.files import parse_json
from wsss_ros.geometry import check_pose, invert
from wsss_ros.labels import UNLABELLED, LabelSpace, s3dis
from wsss_ros.scenes.frame_names import stamp_of_number
from wsss_ros.scenes.images import image_size, read_bytes, read_rgb, read_uint16
from wsss_ros.scenes.point_text import read_points
from wsss_ros.scenes.tags import TagFile, tags_of_image
from wsss_ros.types import BadInput, Camera, Cloud, Frame

ANNOTATIONS = "Annotations"
LABEL_LIST = "semantic_labels.json"

_OBJECT = re.compile(r"(?P<kind>[A-Za-z]+)_\d+")
_AREA = re.compile(r"area_(?P<number>\d+)(?P<part>[ab]?)", re.IGNORECASE)
_VIEW = re.compile(r"(?P<stem>camera_[^_]+_+(?P<room>.+_\d+)_+frame_(?P<frame>\d+))_+domain_+pose\.json")
_STAIRS = {"stairs": "clutter"}
_DEPTH_STEPS_A_METRE = 512
_NO_DEPTH = 65535
# The poses of area_5b are in another world frame; this is the motion to the frame of area_5a and Area_5
# (github.com/alexsax/2D-3D-Semantics, issues 11 and 40).
_AREA5_FROM_5B = np.array([[0, 1, 0, -4.09703582], [-1, 0, 0, 6.22617759], [0, 0, 1, 0], [0, 0, 0, 1.0]])
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class _View:
    """The files of one image of 2D-3D-S, its pose in the room's world, and the intrinsics of its pose file."""

    name: str
    rgb: Path
    depth: Path
    semantic: Path
    world_from_camera: Float64[np.ndarray, "4 4"]
    intrinsics: Float64[np.ndarray, "3 3"]


class S3disRoom:
    """One room of S3DIS, ``Area_5/office_1``, with the 2D-3D-S images taken in it. Implements ``types.Scene``.

    The cloud is the union of ``Annotations/{class}_{n}.txt``, rows ``x y z r g b``, in the order of the file names;
    broken lines are repaired or dropped (``point_text.read_points``). Files with other names (``wall_3 (1).txt``, a
    copy) are left out with a warning. The class ``stairs`` becomes clutter; points of any class that is not one of the
    13 are unlabelled.

    ``labels`` are the 13 classes of S3DIS or another label space. Truth is in ``labels`` for the classes of both spaces
    (``LabelSpace.shared``; ScanNet's bookshelf is S3DIS's bookcase), and 255 for the others. Tags come from
    ``tags.csv`` or ``tags.json`` (``complete`` is that of ``TagFile``), else from the truth: the scene has the classes
    annotated in it, an image has those on at least 0.5 % of its pixels.

    Images are in ``data/rgb`` (and ``pose``, ``depth``, ``semantic``) of the 2D-3D-S folder of the area. That folder is
    the area's folder itself, inside it, or next to it: ``area_1`` for ``Area_1``, ``area_5a`` and ``area_5b`` for
    ``Area_5`` (the poses of ``area_5b`` are transformed to Area_5's world). An image belongs to the room in its file
    name: ``camera_{uuid}_{room}_frame_{n}_domain_rgb.png``. A room without images has no frames.
    ``semantic_labels.json`` is in 2D-3D-S's ``assets`` or next to the area. Stamps are at 30 Hz, from 1 s on, in the
    order of the file names. The images fit ``Stanford3dDataset_v1.2``. They do not fit its ``_Aligned_Version``, in
    which the rooms are rotated; a warning reports this.

    Raises BadInput, naming the file: here for a folder without annotations; later for text without points, a room
    without points, images that cannot be read, depth or labels of another size than the image, and a missing or broken
    ``semantic_labels.json``.
    """

    def __init__(self, folder: str | Path, labels: LabelSpace, complete: bool = True) -> None:
        self.folder, self.labels, self.complete = Path(folder), labels, complete
        where = Path(os.path.abspath(self.folder))  # not resolved: files next to a link belong to it
        self.name = f"{where.parent.name}_{where.name}" if _AREA.fullmatch(where.parent.name) else where.name
        self._objects = list(_find_objects(self.folder))
        self._counts: list[int] | None = None
        self._left_out: list[tuple[str, str]] = []  # (cause, message) of each frame that is left out
        self._views = [view for area in _image_folders(where.parent) for view in self._find_views(area, where.name)]
        for cause, count in self.skipped.items():
            first = next(message for this, message in self._left_out if this == cause)
            _log.warning("%s: %d frames left out, %s; the first: %s", self.folder, count, cause, first)
        if self._views and "aligned" in str(where).lower():
            _log.warning(
                "%s: by its path this is the aligned version, which does not fit the 2D-3D-S images found for it; "
                "to link points with pixels use Stanford3dDataset_v1.2 instead",
                self.folder,
            )

    def __len__(self) -> int:
        """Number of images with a usable pose."""
        return len(self._views)

    @property
    def world_up(self) -> tuple[float, float, float]:
        """The z axis, against gravity in all areas."""
        return (0.0, 0.0, 1.0)

    @property
    def skipped(self) -> Counter[str]:
        """Number of frames left out, by cause."""
        return Counter(cause for cause, _ in self._left_out)

    # --- cloud

    @property
    def cloud(self) -> Cloud:
        """All points of the annotated objects. Raises BadInput naming the file that cannot be read."""
        xyz, rgb = zip(*self._read_objects(), strict=True)
        return Cloud(np.concatenate(xyz), np.concatenate(rgb))

    def cloud_truth(self) -> UInt8[np.ndarray, "N"]:
        """Labels of the cloud's points. Reads the cloud if it has not been read yet, and raises BadInput as it does."""
        if self._counts is None:
            self._read_objects()
        kinds = self._table[[label for _, label in self._objects]]
        return np.repeat(kinds, self._counts or [])

    def _read_objects(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Read positions and colours of each object; also stores the number of points of each in ``_counts``."""
        parts = [read_points(path) for path, _ in self._objects]
        self._counts = [len(xyz) for xyz, _ in parts]
        if not sum(self._counts):
            raise BadInput(f"{self.folder / ANNOTATIONS}: its {len(parts)} files hold no points; unpack the area again")
        return parts

    @cached_property
    def _table(self) -> UInt8[np.ndarray, "256"]:
        """The label in ``labels`` for each class of S3DIS."""
        return _space().table_to(self.labels)

    # --- images

    def _find_views(self, area: Path, room: str) -> Iterator[_View]:
        found = (_VIEW.fullmatch(path.name) for path in (area / "data" / "pose").glob("*.json"))
        of_room = [match for match in found if match and match["room"] == room]
        for match in sorted(of_room, key=lambda match: (match["stem"].rpartition("frame_")[0], int(match["frame"]))):
            paths = {kind: _image_file(area, match, kind) for kind in ("rgb", "depth", "semantic")}
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
        """One frame. Raises BadInput naming the file that is missing, broken or of the wrong size."""
        view = self._views[index]
        rgb = read_rgb(view.rgb)
        height, width = rgb.shape[:2]
        steps = read_uint16(view.depth, "image of depth in 1/512 m")
        if steps.shape != (height, width):
            got = f"{steps.shape[1]}x{steps.shape[0]}"
            raise BadInput(f"{view.depth} is {got} and {view.rgb.name} is {width}x{height}; expected one size")
        depth_m = steps.astype(np.float32)
        depth_m[steps == _NO_DEPTH] = 0
        depth_m /= np.float32(_DEPTH_STEPS_A_METRE)
        camera, stamp_ns = _camera(view, width, height), stamp_of_number(index)
        return Frame(rgb, camera, depth_m, view.world_from_camera.copy(), stamp_ns, view.name)

    def frame_truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """Labels of the frame's pixels, or None if there is no label image.

        The colour of a pixel of ``semantic``, as the number 65536 R + 256 G + B, is an index into
        ``semantic_labels.json``. Raises BadInput when that list is missing or broken, or when the label image has
        another size than the colour image.
        """
        view = self._views[index]
        if not view.semantic.is_file():
            return None
        digits = read_rgb(view.semantic)
        if digits.shape[1::-1] != image_size(view.rgb):
            raise BadInput(f"{view.semantic}: another size than {view.rgb.name}; expected a label for each pixel")
        indices = digits[..., 0].astype(np.int32)
        for digit in (1, 2):
            indices <<= 8
            indices |= digits[..., digit]
        return self._image_table.take(np.minimum(indices, len(self._image_table) - 1))

    @cached_property
    def _image_table(self) -> UInt8[np.ndarray, "K"]:
        """The label of each entry of ``semantic_labels.json``; the last row, 255, is for larger indices (no data)."""
        area = self._views[0].rgb.parents[2]
        folders = [inside for base in (area, *area.resolve().parents) for inside in (base, base / "assets")]
        path = next((folder / LABEL_LIST for folder in folders if (folder / LABEL_LIST).is_file()), None)
        if path is None:
            raise BadInput(
                f"{area}: the semantic images need '{LABEL_LIST}', which is neither in a folder above nor in a folder "
                "'assets' there; put it next to the area (it comes with 2D-3D-S)"
            )
        kinds = np.array([_label_of(entry.split("_")[0]) for entry in _read_label_list(path)] + [UNLABELLED], np.uint8)
        return self._table[kinds]

    # --- tags

    @property
    def frame_names(self) -> list[str]:
        """The names of the frames, as rows of a tag file call them."""
        return [self._views[index].name for index in range(len(self))]

    @cached_property
    def tag_file(self) -> TagFile | None:
        """The tags that a person gave, or None without a tag file. Raises BadInput for a broken file."""
        tags = TagFile.of(self.folder, self.labels, self.complete)
        if tags is not None:
            tags.report_unmatched(self.frame_names)
        return tags

    @cached_property
    def tags(self) -> tuple[str, ...] | None:
        """Tags of the room: those of the tag file, else the classes annotated in it."""
        return self.tag_file.scene if self.tag_file else self.labels.present(self.cloud_truth())

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        """Tags of a frame: those of the tag file, else the classes on enough of its pixels; None without both."""
        if self.tag_file is not None:
            return self.tag_file.image(self._views[index].name)
        truth = self.frame_truth(index)
        return None if truth is None else tags_of_image(truth, self.labels)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Classes that the tag file does not judge in the room; with tags from the truth all are known."""
        return self.tag_file.unknown if self.tag_file else ()

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """Classes that the tag file does not judge in a frame; with tags from the truth all are known."""
        return self.tag_file.image_unknown(self._views[index].name) if self.tag_file else ()


def is_room(folder: Path) -> bool:
    """Whether the folder is a room of S3DIS. Pascal VOC has XML files in a folder of the same name."""
    place = folder / ANNOTATIONS
    return place.is_dir() and (any(place.glob("*.txt")) or not any(place.glob("*.xml")))


def _find_objects(folder: Path) -> Iterator[tuple[Path, int]]:
    """The annotation files in order, each with its class in S3DIS (255: not one of the 13)."""
    paths = sorted(path for path in (folder / ANNOTATIONS).glob("*.txt") if path.name[0] != ".")
    matches = {path: _OBJECT.fullmatch(path.stem) for path in paths}
    if not any(matches.values()):
        raise BadInput(
            f"{folder}: no file like '{ANNOTATIONS}/chair_1.txt'; expected a room of S3DIS, such as Area_5/office_1"
        )
    for path, match in matches.items():
        if match is None:
            _log.warning("%s left out: not named class_number.txt, as the annotations of S3DIS are", path)
            continue
        if (label := _label_of(match["kind"])) == UNLABELLED:
            _log.warning("%s: '%s' is not a class of S3DIS; its points are left unlabelled", path, match["kind"])
        yield path, label


def _label_of(kind: str) -> int:
    """The index of a class in S3DIS's label space, or 255 for another class."""
    names, kind = _space().names, _STAIRS.get(kind.lower(), kind.lower())
    return names.index(kind) if kind in names else UNLABELLED


@cache
def _space() -> LabelSpace:
    return s3dis()


def _image_folders(area: Path) -> list[Path]:
    """The 2D-3D-S folders of an area of S3DIS: the area's folder itself, or folders inside it or next to it."""
    name = _AREA.fullmatch(area.name)
    if name is None:
        return []
    near = [area, *sorted(area.iterdir()), *sorted(area.parent.iterdir())]
    numbered = [path for path in near if (match := _AREA.fullmatch(path.name)) and match["number"] == name["number"]]
    holding = {path.resolve(): path for path in reversed(numbered) if (path / "data" / "pose").is_dir()}
    return sorted(holding.values())


def _image_file(area: Path, match: re.Match, kind: str) -> Path:
    return area / "data" / kind / f"{match.string.removesuffix('pose.json')}{kind}.png"


def _read_view(path: Path) -> tuple[Float64[np.ndarray, "4 4"], Float64[np.ndarray, "3 3"]]:
    """Read world_from_camera and the camera matrix from a pose file.

    Its ``camera_rt_matrix`` is camera_from_world, 3x4. Raises BadInput naming the file.
    """
    try:
        data = parse_json(read_bytes(path, "the pose of an image of 2D-3D-S"))
        intrinsics, motion = (np.array(data[key], np.float64) for key in ("camera_k_matrix", "camera_rt_matrix"))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: {error!r}; expected JSON with camera_k_matrix and camera_rt_matrix") from error
    if intrinsics.shape != (3, 3) or motion.shape != (3, 4):
        raise BadInput(f"{path}: matrices of shapes {intrinsics.shape} and {motion.shape}; expected K 3x3 and RT 3x4")
    camera_from_world = np.vstack([motion, (0, 0, 0, 1)])
    try:
        check_pose(camera_from_world)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return invert(camera_from_world), intrinsics


def _camera(view: _View, width: int, height: int) -> Camera:
    """The camera of an image. In 2D-3D-S, 0 is the corner of the first pixel: the centre of 1080 pixels is at 540."""
    fx, fy, cx, cy = (float(view.intrinsics[row, column]) for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)))
    centred = abs(cx / width - 0.5) < 0.1 and abs(cy / height - 0.5) < 0.1
    if not (centred and np.isfinite([fx, fy]).all() and min(fx, fy) > 0):
        raise BadInput(
            f"{view.rgb} is {width}x{height}, and its pose file has fx {fx:g}, fy {fy:g}, centre ({cx:g}, {cy:g}); "
            "expected the intrinsics of an image of that size"
        )
    return Camera(fx, fy, cx - 0.5, cy - 0.5, width, height)


def _read_label_list(path: Path) -> list[str]:
    try:
        entries = parse_json(read_bytes(path, "2D-3D-S's list of labels"))
    except ValueError as error:
        raise BadInput(f"{path}: {error}; expected a JSON list of names like 'chair_3_office_1_5'") from error
    if not (isinstance(entries, list) and entries and all(isinstance(entry, str) for entry in entries)):
        raise BadInput(f"{path}: not a JSON list of names like 'chair_3_office_1_5'; use the file of 2D-3D-S")
    return entries
