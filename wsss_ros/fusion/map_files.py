"""Semantic maps on disk: one file, which is replaced atomically. A process that is killed leaves the previous file."""

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsss_ros.files import parse_json, replace
from wsss_ros.fusion.semantic_map import STATE
from wsss_ros.scenes.numpy_files import read_npz
from wsss_ros.types import BadInput

_FORMAT = 1
_ABOUT = "about"


@dataclass(frozen=True)
class AboutMap:
    """What a saved map is of: the names of its classes, its frame, the edge of its voxels."""

    classes: tuple[str, ...]
    frame_id: str
    voxel_size_m: float


def is_map_file(path: Path) -> bool:
    """Whether a file has the parts of a saved map, by their names."""
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as parts:
            return {f"{name}.npy" for name in (_ABOUT, "key", "clock")} <= set(parts.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def write_map(path: Path, about: AboutMap, state: dict[str, np.ndarray]) -> None:
    """Replace ``path`` by this map, atomically. Raises OSError; the previous file is then unchanged."""
    text = json.dumps({"format": _FORMAT, **asdict(about)})
    written: dict[str, Any] = {_ABOUT: np.frombuffer(text.encode(), np.uint8), **state}
    remove_partial(path)
    replace(path, lambda file: np.savez(file, **written))


def read_map(path: Path) -> tuple[AboutMap, dict[str, np.ndarray]]:
    """A map that was written. Raises BadInput where there is no such file, or it is broken or of another kind."""
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a semantic map that was saved")
    try:
        found = read_npz(path)
        about = parse_json(found[_ABOUT].tobytes())
        kind = about["format"]
        if kind == _FORMAT:
            made = AboutMap(tuple(map(str, about["classes"])), str(about["frame_id"]), float(about["voxel_size_m"]))
            return made, {name: found[name].copy() for name in STATE}
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: not a semantic map, or a damaged one ({error}); expected a file of ~/save") from error
    raise BadInput(f"{path}: a semantic map of format {kind}; this version reads {_FORMAT}")


def remove_partial(path: Path) -> None:
    """Delete what killed processes left next to ``path``. Only one process may write this file."""
    for left in path.parent.glob(f".{path.name}.*.partial"):
        left.unlink(missing_ok=True)
