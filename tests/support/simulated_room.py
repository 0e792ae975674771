"""Frames of a generated room, cast as rays, and that room written in the layouts of public data sets.

Each writer follows the published description of its format, and shares no code with the readers. Depth is rounded to
the steps of its format.
"""

import json
import struct
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation
from support.ray_rooms import world

from wsss_ros.rooms.views import choose_views
from wsss_ros.types import Camera, Frame

CAMERA = Camera(57.0, 58.0, 33.2, 23.1, 64, 48)
START_NS = 1_305_031_102_175_304_000
STEP_NS = 33_368_000
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


@lru_cache(maxsize=1)
def frames(count: int = 4) -> list[Frame]:
    """Views of a furnished room, in which z is up; colours tell the surfaces apart, a few pixels have no depth."""
    room = world("kitchen")
    found = []
    for at, pose in enumerate(choose_views(room, 48, 0)[0][:: 48 // count][:count]):
        view = room.cast(CAMERA, pose)
        depth_m = np.where(view.part >= 0, view.depth_m, 0).reshape(48, 64).astype(np.float32)
        depth_m[0, :3] = 0
        shade = 0.5 + 0.5 * np.sin(3 * view.point)
        rgb = np.rint(255 * np.where(view.part[:, None] >= 0, shade, 0)).reshape(48, 64, 3).astype(np.uint8)
        found.append(Frame(rgb, CAMERA, depth_m, pose, START_NS + at * STEP_NS, str(at)))
    return found


def seconds(stamp_ns: int) -> str:
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9 // 1000:06d}"


def write_image(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, **({"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}))


def write_depth(path: Path, depth_m: np.ndarray, per_metre: float = 1000.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(depth_m * per_metre).astype(np.uint16)).save(path)


def _rows(matrix: np.ndarray) -> str:
    return "".join(" ".join(f"{value:.9f}" for value in row) + "\n" for row in matrix)


def _tum_row(stamp: str, pose: np.ndarray) -> str:
    quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return " ".join([stamp, *(f"{value:.8f}" for value in (*pose[:3, 3], *quaternion))]) + "\n"


def write_frames(folder: Path, given: list[Frame]) -> None:
    """frame-NNNNNN.color.png, .depth.png, .pose.txt and a 3x3 matrix."""
    for at, frame in enumerate(given):
        _bundle_frame(folder, at, frame, "png")
    (folder / "camera-intrinsics.txt").write_text(_rows(CAMERA.matrix()))


def _bundle_frame(folder: Path, number: int, frame: Frame, ending: str) -> None:
    write_image(folder / f"frame-{number:06d}.color.{ending}", frame.rgb)
    write_depth(folder / f"frame-{number:06d}.depth.png", frame.depth_m)
    (folder / f"frame-{number:06d}.pose.txt").write_text(_rows(frame.world_from_camera))


def write_tum(folder: Path, given: list[Frame], per_metre: float = 5000.0) -> None:
    """No two streams share a stamp but poses are also at the time of each image; the lists are not sorted."""
    lists = {"rgb": "# color images\n", "depth": "# depth maps\n", "groundtruth": "# ground truth trajectory\n"}
    for frame in reversed(given):
        color, depth = seconds(frame.stamp_ns), seconds(frame.stamp_ns + 12_000_000)
        write_image(folder / "rgb" / f"{color}.png", frame.rgb)
        write_depth(folder / "depth" / f"{depth}.png", frame.depth_m, per_metre)
        lists["rgb"] += f"{color} rgb/{color}.png\n"
        lists["depth"] += f"{depth} depth/{depth}.png\n"
        lists["groundtruth"] += _tum_row(color, frame.world_from_camera)
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text(text)
    (folder / "intrinsics.txt").write_text(f"{CAMERA.fx} {CAMERA.fy} {CAMERA.cx} {CAMERA.cy}\n")


def write_icl_nuim(folder: Path, given: list[Frame]) -> None:
    """Poses of a world and cameras whose y axis is mirrored, by frame number from 1 on; image 0 has no pose."""
    pairs, poses, mirror = "", "", np.diag([1.0, -1.0, 1.0, 1.0])
    for at, frame in enumerate([given[0], *given]):
        write_image(folder / "rgb" / f"{at}.png", frame.rgb)
        write_depth(folder / "depth" / f"{at}.png", frame.depth_m, 5000)
        pairs += f"{at} depth/{at}.png {at} rgb/{at}.png\n"
        poses += _tum_row(str(at), mirror @ frame.world_from_camera @ mirror) if at else ""
    (folder / "associations.txt").write_text(pairs)
    (folder / "livingRoom1.gt.freiburg").write_text(poses)
    (folder / "intrinsics.txt").write_text(f"{CAMERA.fx} {CAMERA.fy} {CAMERA.cx} {CAMERA.cy}\n")


def write_redwood(folder: Path, given: list[Frame]) -> None:
    """Open3D's camera JSON has the matrix by columns; trajectory.log has blocks of five lines."""
    log = ""
    for at, frame in enumerate(given):
        write_image(folder / "color" / f"{at:05d}.jpg", frame.rgb)
        write_depth(folder / "depth" / f"{at:05d}.png", frame.depth_m)
        log += f"{at} {at} {at + 1}\n" + _rows(frame.world_from_camera)
    (folder / "trajectory.log").write_text(log)
    matrix = CAMERA.matrix().T.ravel().tolist()
    (folder / "intrinsic.json").write_text(json.dumps({"width": 64, "height": 48, "intrinsic_matrix": matrix}))


def write_seven_scenes(folder: Path, given: list[Frame]) -> None:
    """No intrinsics. The images are 640x480, so that the published ones hold for them."""
    for at, frame in enumerate(given):
        rgb = np.kron(frame.rgb, np.ones((10, 10, 1), np.uint8))
        big = replace(frame, rgb=rgb, depth_m=np.kron(frame.depth_m, np.ones((10, 10), np.float32)))
        _bundle_frame(folder, at, big, "png")


def write_bundle_fusion(folder: Path, given: list[Frame]) -> None:
    for at, frame in enumerate(given):
        _bundle_frame(folder, at, frame, "jpg")
    k = np.eye(4)
    k[:3, :3] = CAMERA.matrix()
    intrinsic = " ".join(f"{value:g}" for value in k.ravel())
    sizes = "".join(f"m_{kind}Width = 64\nm_{kind}Height = 48\n" for kind in ("color", "depth"))
    calibrations = "".join(
        f"m_calibration{kind}Intrinsic = {intrinsic}\nm_calibration{kind}Extrinsic = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1\n"
        for kind in ("Color", "Depth")
    )
    head = "m_versionNumber = 4\nm_sensorName = StructureSensor\n"
    (folder / "info.txt").write_text(f"{head}{sizes}m_depthShift = 1000\n{calibrations}m_frames.size = {len(given)}\n")


def write_replica(folder: Path, given: list[Frame]) -> None:
    for at, frame in enumerate(given):
        write_image(folder / "results" / f"frame{at:06d}.jpg", frame.rgb)
        write_depth(folder / "results" / f"depth{at:06d}.png", frame.depth_m, 6553.5)
    rows = (" ".join(f"{value:.9e}" for value in frame.world_from_camera.ravel()) for frame in given)
    (folder / "traj.txt").write_text("\n".join(rows) + "\n")
    values = {"w": 64, "h": 48, "fx": CAMERA.fx, "fy": CAMERA.fy, "cx": CAMERA.cx, "cy": CAMERA.cy, "scale": 6553.5}
    (folder.parent / "cam_params.json").write_text(json.dumps({"camera": values}))


def write_arkit_scenes(folder: Path, given: list[Frame]) -> None:
    """World to camera as axis and angle; stamps of images have 3 decimals, in seconds since the device started."""
    poses = ""
    for at, frame in enumerate(given):
        stamp = f"{98.764 + at / 10:.3f}"
        write_image(folder / "lowres_wide" / f"40777060_{stamp}.png", frame.rgb)
        write_depth(folder / "lowres_depth" / f"40777060_{stamp}.png", frame.depth_m)
        camera_from_world = np.linalg.inv(frame.world_from_camera)
        vector = Rotation.from_matrix(camera_from_world[:3, :3]).as_rotvec()
        poses += " ".join([stamp, *(f"{value:.9f}" for value in (*vector, *camera_from_world[:3, 3]))]) + "\n"
        pincam = folder / "lowres_wide_intrinsics" / f"40777060_{stamp}.pincam"
        pincam.parent.mkdir(exist_ok=True)
        pincam.write_text(f"64 48 {CAMERA.fx} {CAMERA.fy} {CAMERA.cx} {CAMERA.cy}\n")
    (folder / "lowres_wide.traj").write_text(poses)


def write_nerfstudio(folder: Path, given: list[Frame]) -> None:
    """OpenGL's camera axes; the centre of the first pixel is at (0.5, 0.5); frames are not sorted."""
    listed = []
    for at, frame in enumerate(given):
        write_image(folder / "images" / f"frame_{at + 1:05d}.png", frame.rgb)
        write_depth(folder / "depth" / f"frame_{at + 1:05d}.png", frame.depth_m)
        pose = (frame.world_from_camera @ FLIP).tolist()
        name = f"frame_{at + 1:05d}.png"
        listed.append({"file_path": f"images/{name}", "depth_file_path": f"depth/{name}", "transform_matrix": pose})
    camera = {"fl_x": CAMERA.fx, "fl_y": CAMERA.fy, "cx": CAMERA.cx + 0.5, "cy": CAMERA.cy + 0.5, "w": 64, "h": 48}
    content = {"camera_model": "OPENCV", **camera, "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0, "frames": listed[::-1]}
    (folder / "transforms.json").write_text(json.dumps(content))


def write_colmap(folder: Path, given: list[Frame], scale: float = 1.0) -> None:
    """A model whose unit is 1 / ``scale`` metres, with the 3D points of every image."""
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    centre = CAMERA.cx + 0.5, CAMERA.cy + 0.5
    cameras = f"# Camera list\n1 PINHOLE 64 48 {CAMERA.fx} {CAMERA.fy} {centre[0]} {centre[1]}\n"
    images, points = "# Image list with two lines of data per image:\n", "# 3D point list\n"
    for at, frame in enumerate(given):
        write_image(folder / "images" / f"IMG_{2031 + at}.png", frame.rgb)
        write_depth(folder / "depth" / f"IMG_{2031 + at}.png", frame.depth_m)
        inverse = np.linalg.inv(frame.world_from_camera)
        x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat()
        t = inverse[:3, 3] * scale
        images += " ".join([str(at + 1), *(f"{v:.9f}" for v in (w, x, y, z, *t)), "1", f"IMG_{2031 + at}.png"]) + "\n"
        seen = []
        for v, u in np.argwhere(frame.depth_m[4::9, 4::9] > 0) * 9 + 4:
            d = float(frame.depth_m[v, u])
            point = frame.world_from_camera @ [(u - CAMERA.cx) / CAMERA.fx * d, (v - CAMERA.cy) / CAMERA.fy * d, d, 1]
            number = len(points.splitlines())
            points += f"{number} {' '.join(f'{x:.6f}' for x in point[:3] * scale)} 0 0 0 0.5 {at + 1} {len(seen)}\n"
            seen.append(f"{u + 0.5} {v + 0.5} {number}")
        images += " ".join(seen) + "\n"
    for name, text in (("cameras", cameras), ("images", images), ("points3D", points)):
        (model / f"{name}.txt").write_text(text)


def write_colmap_binary(folder: Path, given: list[Frame]) -> None:
    """The same model in COLMAP's binary form."""
    write_colmap(folder, given)
    model = folder / "sparse" / "0"
    rows = {name: _rows_of(model / f"{name}.txt") for name in ("cameras", "images", "points3D")}
    (number, _, *size, fx, fy, cx, cy) = rows["cameras"][0].split()
    camera = struct.pack("<iiQQ4d", int(number), 1, *map(int, size), *map(float, (fx, fy, cx, cy)))
    (model / "cameras.bin").write_bytes(struct.pack("<Q", 1) + camera)
    images = [struct.pack("<Q", len(given))]
    for line, seen in zip(rows["images"][::2], rows["images"][1::2], strict=True):
        *pose, camera_id, name = line.split()[1:]
        images.append(
            struct.pack("<i7di", int(line.split()[0]), *map(float, pose), int(camera_id)) + name.encode() + b"\0"
        )
        words = seen.split()
        points = [struct.pack("<ddq", 1.5, 2.5, -1)]  # a point of the image without one of the model
        points += [struct.pack("<ddq", float(u), float(v), int(p)) for u, v, p in zip(*[iter(words)] * 3, strict=True)]
        images += [struct.pack("<Q", len(points)), *points]
    (model / "images.bin").write_bytes(b"".join(images))
    points = [struct.pack("<Q", len(rows["points3D"]))]
    for number, *words in map(str.split, rows["points3D"]):
        xyz, error, track = map(float, words[:3]), float(words[6]), map(int, words[7:9])
        points.append(struct.pack("<Q3d3BdQii", int(number), *xyz, 0, 0, 0, error, 1, *track))
    (model / "points3D.bin").write_bytes(b"".join(points))
    for name in rows:
        (model / f"{name}.txt").unlink()


def _rows_of(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


WRITERS = {
    "frames": write_frames,
    "tum": write_tum,
    "icl_nuim": write_icl_nuim,
    "redwood": write_redwood,
    "7scenes": write_seven_scenes,
    "bundlefusion": write_bundle_fusion,
    "replica": write_replica,
    "arkitscenes": write_arkit_scenes,
    "nerfstudio": write_nerfstudio,
    "colmap": write_colmap,
}


def write(folder: Path, layout: str) -> Path:
    """The room in a layout; returns the folder, whose name is one that the layout has."""
    place = folder / {"7scenes": "seq-01"}.get(layout, layout)
    place.mkdir(parents=True)
    {**WRITERS, "colmap_binary": write_colmap_binary}[layout](place, frames())
    return place
