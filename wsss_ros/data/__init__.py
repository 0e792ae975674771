"""Scenes on disk. ``open_scene`` finds the reader; what they offer is ``types.Scene``."""

from pathlib import Path

from wsss_ros.data.rgbd_folder import RgbdFolder
from wsss_ros.data.scannet import POINTS, ScanNetScene
from wsss_ros.labels import LabelSpace
from wsss_ros.types import BadInput, Scene

_WANTED = f"'*{POINTS}' (ScanNet), 'frame-*.color.*' or the folders color, depth and pose (posed RGB-D frames)"


def open_scene(path: str | Path, labels: LabelSpace) -> Scene:
    """The scene in a folder, whatever its layout. Raises BadInput that lists what was looked for."""
    path = Path(path)
    if not path.is_dir():
        what = "a file" if path.exists() else "no such folder"
        raise BadInput(f"{path}: {what}; wanted a scene folder with {_WANTED}")
    if any(path.glob(f"*{POINTS}")):
        return ScanNetScene(path, labels)
    if any(path.glob("frame-*.color.*")) or all((path / kind).is_dir() for kind in ("color", "depth", "pose")):
        return RgbdFolder(path, labels)
    inside = sorted(entry.name for entry in path.iterdir())
    held = f"holds {', '.join(inside[:5])}{' and more' if len(inside) > 5 else ''}" if inside else "is empty"
    raise BadInput(f"{path} {held}; wanted one scene folder with {_WANTED}")
