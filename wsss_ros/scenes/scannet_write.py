"""Writer of scenes in ScanNet's layout, which ``scannet.py`` reads and describes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8

from wsss_ros.files import PartialFolder
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.scenes import ply
from wsss_ros.scenes.images import write_depth, write_rgb, write_uint16
from wsss_ros.types import BadInput, Camera, Frame

POINTS = "_vh_clean_2.ply"
POINT_LABELS = "_vh_clean_2.labels.ply"
AGGREGATION = ".aggregation.json"
SEGMENTS = "_vh_clean_2.0.010000.segs.json"
TIMESTAMPS = "timestamps.txt"


class SceneWriter:
    """Writes a scene frame by frame, so that no frame has to stay in memory.

    The files are written into a hidden folder next to ``folder``. ``finish`` renames it to ``folder`` when all files
    are on disk, so a crash, a power cut or a full disk never leaves an incomplete scene. ``labels`` are the classes of
    the truth; without them the scene has no truth. As a context manager the writer removes an unfinished scene.

    Raises BadInput when the folder exists and is not empty. Each method raises BadInput when writing fails, for example
    on a full disk: then the unfinished scene is removed, and ``open`` is False.
    """

    def __init__(self, folder: str | Path, labels: LabelSpace | None = None) -> None:
        self.folder, self.labels = Path(folder), labels
        self.camera: Camera | None = None
        self._stamps_ns: list[int] = []
        self._partial: PartialFolder | None = None
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise BadInput(f"{folder} exists already; remove it or choose another name for the scene")
        with self._all_or_nothing():
            self._partial = PartialFolder(self.folder)
            for name in ("color", "depth", "pose", "intrinsic", *(["label-filt"] if labels else [])):
                (self._scene / name).mkdir(parents=True)

    def __enter__(self) -> "SceneWriter":
        """The writer itself."""
        return self

    def __exit__(self, *_) -> None:
        """Remove the scene if it is unfinished."""
        self.drop()

    def __len__(self) -> int:
        """Number of frames written."""
        return len(self._stamps_ns)

    @property
    def open(self) -> bool:
        """Whether frames can still be added: the scene is neither finished nor dropped."""
        return self._partial is not None

    def add(self, frame: Frame, truth: UInt8[np.ndarray, "H W"] | None = None) -> int:
        """Write one frame, and its labels if the scene has truth; returns its number, from 0 on.

        A frame without a pose is written with a lost pose (-inf), as ScanNet does. Raises BadInput, without any effect
        on the scene, for a frame that lacks depth or camera, or has another camera than the first one.
        """
        depth_m = self._checked_depth(frame, truth)
        number = len(self)
        pose = np.full((4, 4), -np.inf) if frame.world_from_camera is None else frame.world_from_camera
        with self._all_or_nothing():
            write_rgb(self._scene / "color" / f"{number}.jpg", frame.rgb)
            write_depth(self._scene / "depth" / f"{number}.png", depth_m)
            if truth is not None and self.labels is not None:
                write_uint16(self._scene / "label-filt" / f"{number}.png", self.labels.to_ids(truth).astype(np.uint16))
            _write_matrix(self._scene / "pose" / f"{number}.txt", pose)
        self.camera = frame.camera
        self._stamps_ns.append(frame.stamp_ns)
        return number

    def finish(
        self,
        xyz: Float[np.ndarray, "N 3"],
        rgb: UInt8[np.ndarray, "N 3"],
        point_labels: UInt8[np.ndarray, "N"] | None = None,
        instances: Int32[np.ndarray, "N"] | None = None,
        axis_alignment: np.ndarray | None = None,
        scene_type: str = "",
        texts: Mapping[str, str] | None = None,
    ) -> Path:
        """Write the cloud and rename the hidden folder to ``folder``; returns it.

        ``instances`` are object numbers, -1 for no object. A scene with truth needs ``point_labels`` and ``instances``.
        ``axis_alignment`` [4 4] is stored, but not applied to points and poses. ``texts`` are the contents of further
        text files by name. Raises BadInput unless there is one colour, label and instance per point.
        """
        truth = (point_labels, instances) if self.labels else ()
        if any(part is None or len(part) != len(xyz) for part in (rgb, *truth)):
            sizes = ", ".join("none" if part is None else str(len(part)) for part in (rgb, point_labels, instances))
            raise BadInput(f"{self.folder}: {len(xyz)} points, colours, labels, instances {sizes}; expected one each")
        with self._all_or_nothing():
            stem = self._scene / self.folder.name
            _write_points(stem, xyz, rgb)
            if self.labels is not None and point_labels is not None and instances is not None:
                _write_point_labels(stem, self.labels, xyz, point_labels)
                _write_instances(stem, self.labels, point_labels, instances)
            self._write_about(Path(f"{stem}.txt"), axis_alignment, scene_type)
            for name, text in (texts or {}).items():
                (self._scene / name).write_text(text)
            self._open_folder.publish()
        self.drop()
        return self.folder

    def drop(self) -> None:
        """Remove the scene if it is unfinished."""
        if self._partial is not None:
            self._partial.remove()
            self._partial = None

    @property
    def _scene(self) -> Path:
        return self._open_folder.inner

    @property
    def _open_folder(self) -> PartialFolder:
        if self._partial is None:
            raise BadInput(f"{self.folder}: the scene is already finished or dropped; start another")
        return self._partial

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            failure = error if self._partial is None else self._partial.failure(error) or error
            self.drop()
            raise BadInput(str(failure)) from error

    def _checked_depth(self, frame: Frame, truth: np.ndarray | None) -> Float32[np.ndarray, "H W"]:
        index = len(self)
        if frame.depth_m is None or frame.camera is None:
            raise BadInput(f"frame {index} lacks depth or a camera; a scene in ScanNet's layout needs both")
        if self.camera not in (None, frame.camera):
            raise BadInput(
                f"frame {index} has {frame.camera}, those before {self.camera}; expected one camera for the scene"
            )
        if (truth is None) != (self.labels is None):
            raise BadInput(f"frame {index} {'has no labels' if truth is None else 'has labels'}, unlike its scene")
        sizes = [image.shape[:2] for image in (frame.rgb, frame.depth_m, truth) if image is not None]
        if set(sizes) != {(frame.camera.height, frame.camera.width)}:
            raise BadInput(
                f"frame {index}: colour, depth, labels are (rows, columns) {sizes}; expected the size of {frame.camera}"
            )
        return frame.depth_m

    def _write_about(self, path: Path, axis_alignment: np.ndarray | None, scene_type: str) -> None:
        if any(self._stamps_ns):
            lines = (f"{index} {stamp}\n" for index, stamp in enumerate(self._stamps_ns))
            (self._scene / TIMESTAMPS).write_text("".join(lines))
        if self.camera is not None:
            _write_intrinsics(self._scene / "intrinsic", self.camera)
        _write_info(path, self.camera, len(self), axis_alignment, scene_type)


def write_scene(
    folder: str | Path,
    *,
    labels: LabelSpace,
    xyz: Float[np.ndarray, "N 3"],
    rgb: UInt8[np.ndarray, "N 3"],
    point_labels: UInt8[np.ndarray, "N"],
    instances: Int32[np.ndarray, "N"],
    frames: Iterable[tuple[Frame, np.ndarray]],
    axis_alignment: np.ndarray | None = None,
    scene_type: str = "",
) -> None:
    """Write one scene with truth in ScanNet's layout, completely or not at all; equal input gives equal bytes.

    ``frames`` yields frames with their labels, uint8 [H W]. ``SceneWriter`` describes the other arguments and the
    exceptions.
    """
    with SceneWriter(folder, labels) as writer:
        for frame, truth in frames:
            writer.add(frame, truth)
        writer.finish(xyz, rgb, point_labels, instances, axis_alignment, scene_type)


def _write_points(stem: Path, xyz: np.ndarray, rgb: np.ndarray) -> None:
    ply.write(f"{stem}{POINTS}", ply.colored_vertices(xyz, rgb, alpha=_opaque(xyz)))


def _write_point_labels(stem: Path, labels: LabelSpace, xyz: np.ndarray, point_labels: np.ndarray) -> None:
    ids = labels.to_ids(point_labels).astype(np.uint16)
    vertices = ply.colored_vertices(xyz, labels.colorize(point_labels), alpha=_opaque(xyz), label=ids)
    ply.write(f"{stem}{POINT_LABELS}", vertices)


def _opaque(xyz: np.ndarray) -> UInt8[np.ndarray, "N"]:
    return np.full(len(xyz), 255, np.uint8)


def _write_instances(stem: Path, labels: LabelSpace, point_labels: np.ndarray, instances: np.ndarray) -> None:
    """Write ScanNet's two JSON files: one segment per object and class, and one group per segment with a class."""
    key = instances.astype(np.int64) * 256 + point_labels
    kinds, segment_of_point = np.unique(key, return_inverse=True)
    named = [(s, int(k) % 256) for s, k in enumerate(kinds) if k >= 0 and k % 256 != UNLABELLED]
    groups = [
        {"id": i, "objectId": i, "segments": [segment], "label": labels.names[label]}
        for i, (segment, label) in enumerate(named)
    ]
    scene = {"sceneId": f"scannet.{stem.name}", "appId": "wsss_ros"}
    segments_file = f"{stem.name}{SEGMENTS}"
    aggregation = scene | {"segGroups": groups, "segmentsFile": f"scannet.{segments_file}"}
    segments = scene | {"params": {}, "segIndices": segment_of_point.ravel().tolist()}
    Path(f"{stem}{AGGREGATION}").write_text(json.dumps(aggregation))
    stem.with_name(segments_file).write_text(json.dumps(segments))


def _write_intrinsics(folder: Path, camera: Camera) -> None:
    intrinsic = np.eye(4)
    intrinsic[:3, :3] = camera.matrix()
    for kind in ("color", "depth"):
        _write_matrix(folder / f"intrinsic_{kind}.txt", intrinsic)
        _write_matrix(folder / f"extrinsic_{kind}.txt", np.eye(4))


def _write_matrix(path: Path, matrix: np.ndarray) -> None:
    """Write a matrix as text that reads back as the same float64 numbers."""
    path.write_text("".join(" ".join(repr(float(value)) for value in row) + "\n" for row in matrix))


def _write_info(path: Path, camera: Camera | None, frames: int, alignment: np.ndarray | None, scene_type: str) -> None:
    flat = {
        "axisAlignment": np.eye(4) if alignment is None else alignment,
        "colorToDepthExtrinsics": np.eye(4),
    }
    info: dict[str, str | float] = {}
    for key, matrix in flat.items():
        info[key] = " ".join(repr(float(value)) for value in np.ravel(matrix))
    if camera is not None:
        for kind in ("color", "depth"):
            info |= {f"{kind}Width": camera.width, f"{kind}Height": camera.height}
            info |= {f"fx_{kind}": camera.fx, f"fy_{kind}": camera.fy, f"mx_{kind}": camera.cx, f"my_{kind}": camera.cy}
    info |= {"numColorFrames": frames, "numDepthFrames": frames, "sceneType": scene_type, "labelIds": "nyu40"}
    path.write_text("".join(f"{key} = {value}\n" for key, value in sorted(info.items())))
