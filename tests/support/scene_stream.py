"""Views of a robot that passes flat walls, and stores that collect them."""

import itertools
import json
from pathlib import Path

import numpy as np

from wsss_ros.labels import scannet20
from wsss_ros.online.open_scene import OpenScene
from wsss_ros.online.settings import StoreConfig
from wsss_ros.online.store import SceneStore
from wsss_ros.online.stored_scene import StoredScene
from wsss_ros.scenes import open_scene
from wsss_ros.types import Camera, Frame

LABELS = scannet20()
CAMERA = Camera(60.0, 60.0, 31.5, 23.5, 64, 48)
SECOND = 1_000_000_000
HUNDREDS_OF_M = itertools.count(1)


def pose_at(x: float, y: float = 0.0, yaw_deg: float = 0.0) -> np.ndarray:
    """Return the pose of a level camera in a map whose z axis points up."""
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    pose = np.eye(4)
    pose[:3, :3] = np.array([[s, 0, c], [-c, 0, s], [0, -1, 0]])
    pose[:3, 3] = x, y, 1.0
    return pose


def view(x: float = 0, at_s: float = 0, yaw_deg: float = 0, camera: Camera = CAMERA, depth_m: float = 2) -> Frame:
    """Return a view of a flat wall; equal places look equal."""
    rng = np.random.default_rng(int(1000 * abs(x) + abs(yaw_deg)))
    rgb = rng.integers(0, 255, (camera.height, camera.width, 3), np.uint8)
    depth = np.full(rgb.shape[:2], depth_m, np.float32)
    return Frame(rgb, camera, depth, pose_at(x, yaw_deg=yaw_deg), SECOND + round(at_s * SECOND))


def walk(views: int = 5, step_m: float = 0.5) -> list[Frame]:
    """Return views along a line, two a second."""
    return [view(step_m * k, at_s=0.5 * k) for k in range(views)]


def store_in(folder: Path, every: int = 4, **changes) -> SceneStore:
    """Open a store with changed settings; every ``every``-th scene is held out."""
    return SceneStore(folder, StoreConfig(**changes), LABELS, every)


def collect(
    store: SceneStore, tags: tuple[str, ...] = ("wall", "chair"), views: int = 3, at_m: float | None = None
) -> StoredScene | None:
    """Store a scene with these tags on its last view; each time in another place, unless ``at_m`` is given."""
    scene = store.create()
    start_m = 100.0 * next(HUNDREDS_OF_M) if at_m is None else at_m
    for k in range(views):
        scene.add(view(start_m + 0.5 * k, at_s=0.5 * k))
    scene.tag_image(tags)
    return store.finish(scene, "asked for")


def discarded(folder: Path) -> list[dict]:
    """Return the lines of ``let_go.jsonl``."""
    return [json.loads(line) for line in (folder / "let_go.jsonl").read_text().splitlines()]


def names_below(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def opened(folder: Path, frames: list[Frame], **changes) -> OpenScene:
    """Return an open scene with these views."""
    scene = store_in(folder, **changes).create()
    for frame in frames:
        scene.add(frame)
    return scene


def is_complete(scene: StoredScene) -> bool:
    """Read every file of a scene of four frames."""
    back = open_scene(scene.folder, LABELS)
    frames = [back.frame(k) for k in range(len(back))]
    return len(frames) == scene.frames == 4 and len(back.cloud) > 256 and back.tags == scene.tags != ()
