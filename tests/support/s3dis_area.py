"""Areas of S3DIS and 2D-3D-S written small, in the exact formats of the data sets."""

import json

import numpy as np
from PIL import Image

from wsss_ros.labels import s3dis

UUID = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
SPACE = s3dis()
ENTRIES = ["<UNK>_0_<UNK>_0_0", "ceiling_1_office_1_5", "bookcase_7_office_1_5", "chair_3_office_1_5", "wall_1_WC_2_5"]
SIZE = 40
# Looks along the world's +y from (1, -2, 1.5): camera x is world x, camera y is world -z.
CAMERA_FROM_WORLD = np.array([[1.0, 0, 0, -1], [0, 0, -1, 1.5], [0, 1, 0, 2]])


def write_room(area, room="office_1", **objects):
    """``objects`` are class_number=rows, text or numbers."""
    folder = area / room / "Annotations"
    folder.mkdir(parents=True)
    for name, rows in objects.items():
        text = rows if isinstance(rows, bytes) else "".join(_row(row) for row in rows).encode()
        (folder / f"{name}.txt").write_bytes(text)
    return area / room


def _row(row):
    x, y, z, *rgb = row
    return f"{x:.3f} {y:.3f} {z:.3f} {' '.join(map(str, rgb))}\n"


def write_view(
    area, room="office_1", frame=3, *, motion=CAMERA_FROM_WORLD, depth=1024, semantic=1, size=SIZE, uuid=UUID
):
    """The four files of one image; ``depth`` and ``semantic`` are images, or one value for all pixels."""
    stem = f"camera_{uuid}_{room}_frame_{frame}_domain"
    for kind in ("rgb", "depth", "pose", "semantic"):
        (area / "data" / kind).mkdir(parents=True, exist_ok=True)
    rgb = np.full((size, size, 3), 90, np.uint8)
    Image.fromarray(rgb).save(area / "data" / "rgb" / f"{stem}_rgb.png")
    depth = np.broadcast_to(depth, (size, size)).astype(np.uint16)
    Image.fromarray(depth).save(area / "data" / "depth" / f"{stem}_depth.png")
    indices = np.broadcast_to(semantic, (size, size)).astype(np.int64)
    digits = np.stack([indices >> 16, (indices >> 8) & 255, indices & 255], axis=-1).astype(np.uint8)
    Image.fromarray(digits).save(area / "data" / "semantic" / f"{stem}_semantic.png")
    pose = {
        "camera_k_matrix": [[30.0, 0, size / 2], [0, 30.0, size / 2], [0, 0, 1]],
        "camera_rt_matrix": np.asarray(motion).tolist(),
        "camera_uuid": uuid,
        "frame_num": frame,
        "room": f"{room}_5",
    }
    (area / "data" / "pose" / f"{stem}_pose.json").write_text(json.dumps(pose))
    return stem


def write_labels(root, entries=ENTRIES):
    (root / "assets").mkdir(exist_ok=True)
    (root / "assets" / "semantic_labels.json").write_text(json.dumps(entries))
