"""A set of scenes: those below a folder, generated there first where the set asks for procedural rooms."""

from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.labels import LabelSpace
from wsss_ros.rooms.generator import RoomsConfig
from wsss_ros.scenes import open_scenes
from wsss_ros.types import Scene


class SceneSetConfig(Config):
    """Scenes below a folder; with ``rooms`` they are generated there first where they are missing."""

    folder: str = Field(description="Folder of scene folders.")
    scenes: str = Field("", description="Text file with one scene name a line (ScanNet's lists); empty takes all.")
    rooms: RoomsConfig | None = Field(None, description="Generate procedural rooms into the folder.")


def open_scene_set(chosen: SceneSetConfig, labels: LabelSpace) -> tuple[list[Scene], list[tuple[str, str]]]:
    """Open the scenes of a set that exist, as ``scenes.open_scenes`` does."""
    return open_scenes(chosen.folder, labels, chosen.scenes)
