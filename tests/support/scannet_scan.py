"""A scan as ScanNet distributes it: mesh, ``.sens``, zipped labels, exported frames and the table of labels."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from support import sens_files

from wsss_ros.scenes import images
from wsss_ros.scenes.scannet_labels import LABEL_TABLE
from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.types import Camera

NAME = "scene0000_00"
COLOR, DEPTH = Camera(64.0, 64.0, 31.5, 23.5, 64, 48), Camera(30.0, 31.0, 15.5, 11.5, 32, 24)
LOST = np.full((4, 4), -np.inf)
# id, raw_category, category, nyu40id, nyu40class: as in the table, with rows whose names suggest another class.
ROWS = (
    ("1", "wall", "wall", "1", "wall"),
    ("2", "chair", "chair", "5", "chair"),
    ("6", "couch", "couch", "6", "sofa"),
    ("8", "shelf", "shelf", "15", "shelves"),
    ("28", "doorframe", "door frame", "8", "door"),
    ("80", "blinds", "blinds", "13", "blinds"),
    ("49", "monitor", "monitor", "40", "otherprop"),
    ("12", "trash can", "trash can", "39", "otherfurniture"),
    ("98", "radiator", "radiator", "39", "otherfurniture"),
    ("88", "bookshelf", "bookshelf", "10", "bookshelf"),
    ("1164", "object", "object", "", ""),
)
TSV = "id\traw_category\tcategory\tnyu40id\tnyu40class\n" + "".join("\t".join(row) + "\n" for row in ROWS)
# Their names among the 20 classes; "" where they are not one of them.
CLASSES = {
    **{"wall": "wall", "chair": "chair", "couch": "sofa", "shelf": "", "doorframe": "door", "blinds": ""},
    **{"monitor": "", "trash can": "otherfurniture", "radiator": "otherfurniture", "bookshelf": "bookshelf"},
    "object": "",
}


def camera_pose(number: int) -> np.ndarray:
    """Upright, looking along +y, a step to the right with each number."""
    return np.array([[1, 0, 0, 0.25 * number], [0, 0, 1, -2], [0, -1, 0, 1.5], [0, 0, 0, 1]], float)


def recorded_views(count: int = 4, lost: tuple[int, ...] = ()) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pose, colour of another size than depth, depth in millimetres."""
    v, u = np.mgrid[: COLOR.height, : COLOR.width]
    rows, columns = np.mgrid[: DEPTH.height, : DEPTH.width]
    return [
        (
            LOST if i in lost else camera_pose(i),
            np.stack([u * 4, v * 5, np.full_like(u, 40 * i)], axis=2).astype(np.uint8),
            (1500 + 10 * i + rows + columns).astype(np.uint16),
        )
        for i in range(count)
    ]


def png_bytes(ids: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(ids).save(file, "PNG")
    return file.getvalue()


def raw_ids(number: int) -> np.ndarray:
    """Raw ids of one of the rows above in the upper half, wall below; of the colour image's size."""
    ids = np.ones((COLOR.height, COLOR.width), np.uint16)
    ids[: COLOR.height // 2] = int(ROWS[number % len(ROWS)][0])
    return ids


def write_scan(root: Path, labels, kind: str = "scans", axis_alignment: np.ndarray | None = None) -> Path:
    """The folder of a scan with 200 points and no frames, in the form of ScanNet's own."""
    rng = np.random.default_rng(0)
    points = {"xyz": rng.normal(size=(200, 3)).astype(np.float32), "rgb": np.full((200, 3), 99, np.uint8)}
    points |= {"point_labels": np.repeat([0, 4], 100).astype(np.uint8), "instances": np.full(200, -1, np.int32)}
    folder = root / kind / NAME
    write_scene(folder, labels=labels, **points, frames=[], axis_alignment=axis_alignment)
    for name in ("color", "depth", "pose", "label-filt", "intrinsic"):
        (folder / name).rmdir()
    info = folder / f"{NAME}.txt"
    info.write_text("".join(line for line in info.read_text().splitlines(True) if not line.startswith("labelIds")))
    (root / LABEL_TABLE).write_text(TSV)
    return folder


def add_sens(folder: Path, views: list, cut: int = 0) -> Path:
    data = sens_files.recording(COLOR, DEPTH, views, sens_files.JPEG)
    (folder / f"{NAME}.sens").write_bytes(data[: len(data) - cut])
    return folder / f"{NAME}.sens"


def add_zip(folder: Path, members: dict[str, bytes], kind: str = "_2d-label-filt.zip") -> Path:
    with zipfile.ZipFile(folder / f"{NAME}{kind}", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return folder / f"{NAME}{kind}"


def export_frames(folder: Path, views: list, name: str = "{}") -> None:
    """What ScanNet's exporter makes of such a .sens file."""
    for kind in ("color", "depth", "pose"):
        (folder / kind).mkdir(parents=True)
    for number, (pose, rgb, steps) in enumerate(views):
        stem = name.format(number)
        (folder / "color" / f"{stem}.jpg").write_bytes(sens_files.encode_color(rgb, sens_files.JPEG))
        images.write_uint16(folder / "depth" / f"{stem}.png", steps)
        np.savetxt(folder / "pose" / f"{stem}.txt", pose)


def write_intrinsics(folder: Path, pattern: str) -> None:
    for kind, camera in (("color", COLOR), ("depth", DEPTH)):
        k = np.eye(4)
        k[:3, :3] = camera.matrix()
        (folder / pattern.format(kind)).parent.mkdir(exist_ok=True)
        np.savetxt(folder / pattern.format(kind), k)
