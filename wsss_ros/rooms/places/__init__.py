"""Whole furnished places, modelled in one file: each becomes scenes in ScanNet's layout.

A place is a folder with ``mesh.glb`` or ``model.glb`` (``library.folder``). Its materials say their class, as
``nyu40`` in their extras. ``reading`` makes objects of it, ``inside`` finds where a camera can be, and
``generate_place`` records a walk.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from wsss_ros.labels import scannet20
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.missing import generate_missing
from wsss_ros.rooms.places.inside import add_lamps, add_outside, find_free_floor
from wsss_ros.rooms.places.reading import read_place
from wsss_ros.rooms.recording import check_recording, record
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.styles import DEFAULT
from wsss_ros.rooms.views import Views, better_half, cells_seen, choose_complementary, safe_walk
from wsss_ros.rooms.walk import drive, walk

FRAMES = 120  # views of a place, unless the caller says how many
LONGER = 4  # the views are chosen from a walk so many times as long, to see the whole place


def generate_place(
    out_folder: str | Path,
    seed: int,
    place: str | Path,
    frames: int | None = None,
    size: tuple[int, int] = (320, 240),
    views: Views = "walk",
) -> Path:
    """Record a walk through a place in ScanNet's layout; returns the folder of the scene.

    The seed decides the walk, the light and the camera. ``views`` is "walk" for a camera that is carried by hand, or
    "robot" for an upright camera on a robot. The folder is named after the place and the seed.

    Raises BadInput when the place cannot be read, has no labelled floor or none to walk on, for fewer than 2 frames,
    and when the scene exists already.
    """
    check_recording("place", seed, frames, size, views)
    labels, kit = scannet20(), Kit(np.random.default_rng([seed, 7]), DEFAULT)
    room = read_place(Path(place), labels, kit)
    add_outside(room)
    world = World(room, labels)
    find_free_floor(world, str(place))
    lamps = add_lamps(room)
    poses, steps = _choose_views(world, frames or FRAMES, seed, views)
    folder = Path(out_folder) / place_name(place, seed, views)
    record(folder, world, labels, poses, steps, seed, size, f"Place ({Path(place).resolve().name})", lamps)
    return folder


def _choose_views(
    world: World, frames: int, seed: int, views: Views
) -> tuple[Float64[np.ndarray, "F 4 4"], Int64[np.ndarray, "F"]]:
    """Views of a long walk that show the whole place; of a robot's drive, from those that show the most things."""
    poses = safe_walk(world, LONGER * frames, seed, drive if views == "robot" else walk)
    steps = better_half(world, poses) if views == "robot" else np.arange(len(poses))
    steps = steps[choose_complementary(cells_seen(world, poses[steps]), frames)]
    return poses[steps], steps


def generate_places(
    out_folder: str | Path,
    place: str | Path,
    scenes: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    **options,
) -> list[Path]:
    """Record a walk for each of the seeds ``seed .. seed + scenes - 1``, as ``generate_place`` does.

    Existing scenes are kept. ``progress(done, total)`` is called after every scene. Returns all folders.
    """
    views = options.get("views", "walk")
    folders = {s: Path(out_folder) / place_name(place, s, views) for s in range(seed, seed + scenes)}
    return generate_missing(generate_place, out_folder, folders, workers, progress, place=place, **options)


def place_name(place: str | Path, seed: int, views: Views = "walk") -> str:
    """The name of a scene's folder, such as robot-aws_small_house0000_00 for a drive through scene__aws_small_house."""
    drives, name = "robot-" if views == "robot" else "", Path(place).resolve().name.split("__")[-1]
    return f"{drives}{re.sub(r'[^A-Za-z0-9_-]+', '_', name)}{seed:04d}_00"
