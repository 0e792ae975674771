"""Writing scenes in ScanNet's own layout; ``scannet.py`` reads them and says what the layout is."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from wsss_ros.data import ply
from wsss_ros.data.images import write_depth, write_rgb, write_uint16
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.types import BadInput, Camera, Frame

POINTS = "_vh_clean_2.ply"
POINT_LABELS = "_vh_clean_2.labels.ply"
AGGREGATION = ".aggregation.json"
SEGMENTS = "_vh_clean_2.0.010000.segs.json"
TIMESTAMPS = "timestamps.txt"

_VERTEX = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("alpha", "u1")]


def write_scene(
    folder: str | Path,
    *,
    labels: LabelSpace,
    xyz: Float32[np.ndarray, "N 3"],
    rgb: UInt8[np.ndarray, "N 3"],
    point_labels: UInt8[np.ndarray, "N"],
    instances: Int32[np.ndarray, "N"],
    frames: Iterable[tuple[Frame, np.ndarray]],
    axis_alignment: np.ndarray | None = None,
    scene_type: str = "",
) -> None:
    """Write one scene in ScanNet's layout; equal input gives equal bytes.

    ``frames`` yields views with depth, all of one camera, and their labels uint8 [H W]; they are numbered
    from 0. A view without a pose is written as lost (-inf), as ScanNet does. ``instances`` are object
    numbers, -1 for none. ``axis_alignment`` [4 4] is only noted down: points and poses stay unaligned.

    Everything is written into a hidden folder beside ``folder``, which takes that name when it is whole, so
    a crash or a full disk never leaves half a scene. Raises BadInput when the folder exists and holds anything,
    when the input does not fit together, and when the disk does not take it.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} exists already; remove it or choose another name for the scene")
    if not len(xyz) == len(rgb) == len(point_labels) == len(instances):
        sizes = f"{len(xyz)} points, {len(rgb)} colours, {len(point_labels)} labels, {len(instances)} instances"
        raise BadInput(f"{folder}: {sizes}; wanted one of each per point")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        scene = partial / folder.name
        scene.mkdir()
        stem = scene / folder.name
        _write_points(stem, labels, xyz, rgb, point_labels)
        _write_instances(stem, labels, point_labels, instances)
        camera, count = _write_frames(scene, labels, frames)
        _write_info(Path(f"{stem}.txt"), camera, count, axis_alignment, scene_type)
        os.replace(scene, folder)
    except OSError as error:
        raise BadInput(f"{folder}: could not be written, and nothing of it is left: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_points(stem: Path, labels: LabelSpace, xyz: np.ndarray, rgb: np.ndarray, point_labels: np.ndarray) -> None:
    vertices = np.empty(len(xyz), _VERTEX + [("label", "<u2")])
    for axis, name in enumerate(("x", "y", "z")):
        vertices[name] = xyz[:, axis]
    vertices["alpha"], vertices["label"] = 255, labels.to_ids(point_labels)
    _set_rgb(vertices, rgb)
    ply.write(f"{stem}{POINTS}", vertices[[name for name, _ in _VERTEX]])
    _set_rgb(vertices, labels.colorize(point_labels))
    ply.write(f"{stem}{POINT_LABELS}", vertices)


def _set_rgb(vertices: np.ndarray, rgb: np.ndarray) -> None:
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = rgb[:, channel]


def _write_instances(stem: Path, labels: LabelSpace, point_labels: np.ndarray, instances: np.ndarray) -> None:
    """One segment per object and class; objects of a class become groups, in ScanNet's two JSON files."""
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


def _write_frames(
    scene: Path, labels: LabelSpace, frames: Iterable[tuple[Frame, np.ndarray]]
) -> tuple[Camera | None, int]:
    """Returns the camera of all frames and their number."""
    for name in ("color", "depth", "pose", "label-filt", "intrinsic"):
        (scene / name).mkdir()
    camera, stamps_ns = None, []
    for index, (frame, truth) in enumerate(frames):
        _check_frame(index, frame, truth, camera)
        camera = frame.camera
        pose = np.full((4, 4), -np.inf) if frame.world_from_camera is None else frame.world_from_camera
        write_rgb(scene / "color" / f"{index}.jpg", frame.rgb)
        write_depth(scene / "depth" / f"{index}.png", frame.depth_m)
        write_uint16(scene / "label-filt" / f"{index}.png", labels.to_ids(truth).astype(np.uint16))
        _write_matrix(scene / "pose" / f"{index}.txt", pose)
        stamps_ns.append(frame.stamp_ns)
    if any(stamps_ns):
        (scene / TIMESTAMPS).write_text("".join(f"{index} {stamp}\n" for index, stamp in enumerate(stamps_ns)))
    if camera is not None:
        _write_intrinsics(scene / "intrinsic", camera)
    return camera, len(stamps_ns)


def _check_frame(index: int, frame: Frame, truth: np.ndarray, camera: Camera | None) -> None:
    if frame.depth_m is None or frame.camera is None:
        raise BadInput(f"frame {index} lacks depth or a camera; a scene in ScanNet's layout needs both")
    if camera is not None and frame.camera != camera:
        raise BadInput(f"frame {index} has {frame.camera}, those before {camera}; wanted one camera for the scene")
    sizes = [image.shape[:2] for image in (frame.rgb, frame.depth_m, truth)]
    if set(sizes) != {(frame.camera.height, frame.camera.width)}:
        raise BadInput(f"frame {index}: colour, depth, labels are (rows, columns) {sizes}; its {frame.camera} is not")


def _write_intrinsics(folder: Path, camera: Camera) -> None:
    intrinsic = np.eye(4)
    intrinsic[:3, :3] = camera.matrix()
    for kind in ("color", "depth"):
        _write_matrix(folder / f"intrinsic_{kind}.txt", intrinsic)
        _write_matrix(folder / f"extrinsic_{kind}.txt", np.eye(4))


def _write_matrix(path: Path, matrix: np.ndarray) -> None:
    """Text that reads back as the same float64 numbers."""
    path.write_text("".join(" ".join(repr(float(value)) for value in row) + "\n" for row in matrix))


def _write_info(path: Path, camera: Camera | None, frames: int, alignment: np.ndarray | None, scene_type: str) -> None:
    flat = {
        "axisAlignment": np.eye(4) if alignment is None else alignment,
        "colorToDepthExtrinsics": np.eye(4),
    }
    info = {key: " ".join(repr(float(value)) for value in np.ravel(matrix)) for key, matrix in flat.items()}
    for kind in ("color", "depth") if camera else ():
        info |= {f"{kind}Width": camera.width, f"{kind}Height": camera.height}
        info |= {f"fx_{kind}": camera.fx, f"fy_{kind}": camera.fy, f"mx_{kind}": camera.cx, f"my_{kind}": camera.cy}
    info |= {"numColorFrames": frames, "numDepthFrames": frames, "sceneType": scene_type, "labelIds": "nyu40"}
    path.write_text("".join(f"{key} = {value}\n" for key, value in sorted(info.items())))
