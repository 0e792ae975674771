"""A set of scenes: a folder of scenes, into which procedural rooms can be generated."""

from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import Field

from wsss_ros.bags.bag import is_bag
from wsss_ros.bags.bag_scene import BagScene
from wsss_ros.config import Config
from wsss_ros.labels import LabelSpace
from wsss_ros.rooms.generator import RoomsConfig, generate_room
from wsss_ros.rooms.missing import generate_missing
from wsss_ros.scenes import open_scenes, scene_names
from wsss_ros.scenes.reading import Reading
from wsss_ros.scenes.without import without_classes
from wsss_ros.types import Scene


class RemovedClasses(Config):
    """Classes that some scenes lose, with their points and tags, by their dense labels: an experiment on the tags."""

    classes: dict[str, int] = Field(description="How many random scenes lose each class, by its name.")
    seed: int = Field(0, ge=0, description="Seed of the choice of the scenes.")


class SceneSetConfig(Config):
    """The scenes in a folder. With ``rooms``, those that are missing are procedural rooms to generate."""

    folder: str = Field(description="Folder of scene folders.")
    scenes: str = Field("", description="Text file with one scene name per line (ScanNet's lists); empty takes all.")
    complete: bool = Field(
        True, description="Classes that tags.csv or tags.json does not list are absent; false: they are unknown."
    )
    reading: Reading | None = Field(
        None, description="How its scene folders are read, where meta.yaml in them and their files do not say it."
    )
    rooms: RoomsConfig | None = Field(None, description="Generate procedural rooms into the folder.")
    removed: RemovedClasses | None = Field(
        None, description="Classes that the clouds of some scenes lose, for experiments with tags that all have."
    )


def open_scene_set(chosen: SceneSetConfig, labels: LabelSpace) -> tuple[list[Scene], list[tuple[str, str]]]:
    """Open the existing scenes of a set: the scenes, and (name, reason) of those left out (``scenes.open_scenes``).

    The folder may also be one bag.
    """
    if chosen.rooms is None and is_bag(Path(chosen.folder)):
        return [BagScene(Path(chosen.folder), labels, chosen.complete, reading=chosen.reading)], []
    scenes, left_out = open_scenes(chosen.folder, labels, chosen.scenes, chosen.complete, chosen.reading)
    if chosen.removed is not None:
        scenes = without_classes(scenes, labels, chosen.removed.classes, chosen.removed.seed)
    return scenes, left_out


def names_in_set(chosen: SceneSetConfig) -> list[str]:
    """The names of all scenes of a set, including rooms that are not generated yet.

    Raises BadInput when the folder, or the list of scenes, of a set without ``rooms`` cannot be read.
    """
    return list(_room_seeds(chosen.rooms)) if chosen.rooms else sorted(scene_names(chosen.folder, chosen.scenes))


def generate_missing_rooms(
    chosen: SceneSetConfig,
    names: Iterable[str] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Generate the procedural rooms of a set that do not exist yet: those in ``names``, or all without ``names``.

    Does nothing for a set without ``rooms``. ``workers`` and ``progress`` are passed to ``generate_missing``.
    """
    if chosen.rooms is None:
        return
    seeds = _room_seeds(chosen.rooms)
    targets = {seeds[name]: Path(chosen.folder) / name for name in (seeds if names is None else names)}
    generate_missing(generate_room, chosen.folder, targets, workers, progress, **chosen.rooms.options)


def _room_seeds(rooms: RoomsConfig) -> dict[str, int]:
    """The seed of each room, by its name."""
    return {rooms.scene_name(seed): seed for seed in range(rooms.seed, rooms.seed + rooms.scenes)}
