"""Close-ups of single objects, each tagged with one class; they replace ImageNet on machines without it.

The paper's image network starts from weights that were trained to classify photographs of one object. The close-ups are
such photographs of procedural rooms: a camera looks at a piece of furniture from a distance at which it fills the view.
The tag is the class of that piece. The rooms have seeds of their own, never those of a training set.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8
from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.files import replace
from wsss_ros.labels import LabelSpace, scannet20
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.layout.plan import plan
from wsss_ros.rooms.layout.room import Room
from wsss_ros.rooms.missing import generate_missing
from wsss_ros.rooms.render.light import Light, shade
from wsss_ros.rooms.render.sensor import Sensor, exposure_gain
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.styles import style_named
from wsss_ros.rooms.walk import pose
from wsss_ros.types import BadInput, Camera

FIELD_OF_VIEW = np.radians(55)
LEAST_SHARE = 0.3  # smallest share of the tagged class in a picture; no other class of objects may have a larger share
_TRIES = 8  # largest number of views of one object that are tried
_BACKGROUND = ("wall", "floor")


class CloseupsConfig(Config):
    """Close-ups of single objects in procedural rooms. Missing files are generated into the folder."""

    folder: str = Field(description="Folder of the pictures, one file a room.")
    scenes: int = Field(ge=1, le=100_000, description="Number of rooms to photograph.")
    seed: int = Field(ge=0, description="Seed of the first room; keep it apart from those of training rooms.")
    views: int = Field(60, ge=1, description="Pictures of each room.")
    size: int = Field(96, ge=32, le=512, description="Edge of a picture, pixels.")
    style: str = Field("default", description="Tables of looks, by name (rooms/styles).")


def photograph_room(out_folder: str | Path, seed: int, views: int = 60, size: int = 96, style: str = "default") -> Path:
    """Take ``views`` close-ups of the objects of one room; returns the file, ``out_folder/closeups{seed:05d}.npz``.

    The file holds ``images`` uint8 [V size size 3] and ``tags`` uint8 [V]. Each class gets the same number of views, so
    rare classes have as many pictures as common ones. V is less than ``views`` if objects hide each other. The same
    seed gives the same pictures.

    Raises BadInput when no object of the room can be photographed, and when the file cannot be written.
    """
    labels, rng = scannet20(), np.random.default_rng([seed, 100])
    looks = style_named(style)
    room = plan(str(rng.choice(looks.kinds)), np.random.default_rng([seed, 101]), looks)
    world, objects = World(room, labels), _objects(room, labels)
    kit = Kit(np.random.default_rng([seed, 102]), looks)
    light, sensor = Light.draw(room, kit), Sensor.draw(kit)
    focal = size / 2 / np.tan(FIELD_OF_VIEW / 2)
    camera = Camera(focal, focal, (size - 1) / 2, (size - 1) / 2, size, size)
    classes, images, tags = sorted({label for label, _ in objects}), [], []
    for view in range(views):
        tag = classes[view % len(classes)]
        boxes = [box for label, box in objects if label == tag]
        picture = _photograph(world, camera, light, sensor, tag, boxes[rng.integers(len(boxes))], rng)
        if picture is not None:
            images.append(picture)
            tags.append(tag)
    if not images:
        raise BadInput(f"room {seed}: no object in it could be photographed; choose another seed")
    return _store(closeup_files(out_folder, 1, seed)[0], np.stack(images), np.array(tags, np.uint8))


def generate_closeups(
    out_folder: str | Path,
    scenes: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    **options,
) -> list[Path]:
    """Generate the close-ups of the rooms ``seed .. seed + scenes - 1``; existing files are kept.

    ``progress(done, total)`` is called after every room; ``options`` go to ``photograph_room``. Returns all files.
    """
    files = dict(zip(range(seed, seed + scenes), closeup_files(out_folder, scenes, seed), strict=True))
    return generate_missing(photograph_room, out_folder, files, workers, progress, **options)


def closeup_files(folder: str | Path, scenes: int, seed: int) -> list[Path]:
    """The files into which ``generate_closeups`` writes the close-ups, one for each room."""
    return [Path(folder) / f"closeups{s:05d}.npz" for s in range(seed, seed + scenes)]


def _objects(room: Room, labels: LabelSpace) -> list[tuple[int, Float64[np.ndarray, "2 3"]]]:
    """The labelled objects of the room: class and bounding box (lowest corner, highest corner) of each."""
    found: dict[tuple[int, str], list[np.ndarray]] = {}
    for number, spot in enumerate(room.placed):
        for part in spot.piece.parts:
            if part.label:
                found.setdefault((number, part.label), []).append(spot.vertices(part))
    boxes = {key: np.concatenate(vertices) for key, vertices in found.items()}
    return [(labels.index(name), np.stack([v.min(0), v.max(0)])) for (_, name), v in boxes.items()]


def _photograph(
    world: World,
    camera: Camera,
    light: Light,
    sensor: Sensor,
    tag: int,
    box: Float64[np.ndarray, "2 3"],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "S S 3"] | None:
    """A picture in which the class ``tag`` covers more than any other object class; None if all tries fail."""
    for _ in range(_TRIES):
        where = _viewpoint(world, box, rng)
        if where is None:
            continue
        view = world.cast(camera, where)
        seen = np.bincount(np.append(world.label, 255)[view.part], minlength=256) / view.part.size
        others = np.delete(seen[: len(scannet20())], [tag, *range(len(_BACKGROUND))])
        if seen[tag] >= LEAST_SHARE and seen[tag] > others.max(initial=0):
            linear = shade(world, camera, view, light, where[:3, 3], rng)
            return sensor.expose(linear, camera, exposure_gain(linear, sensor.exposure), rng)
    return None


def _viewpoint(world: World, box: np.ndarray, rng: np.random.Generator) -> Float64[np.ndarray, "4 4"] | None:
    """A random pose from which the camera looks at the box, at a distance at which the box about fills the view.

    None if this pose is outside the room or too near to a surface.
    """
    target = rng.uniform(*(box.mean(0) + side * 0.3 * np.ptp(box, 0) for side in (-1, 1)))
    extent = np.clip(np.linalg.norm(np.ptp(box, 0)), 0.4, 2.4)
    distance = extent / (2 * np.tan(FIELD_OF_VIEW / 2)) * rng.uniform(0.7, 1.3)
    yaw, pitch = rng.uniform(-np.pi, np.pi), -np.radians(rng.uniform(-10, 50))
    toward = pose(np.zeros(3), yaw, pitch, rng.normal(0, np.radians(4)))
    eye = target - distance * toward[:3, 2]
    room = np.array([world.room.width, world.room.depth, world.room.height])
    inside = ((eye > 0.1) & (eye < room - 0.1)).all()
    if not inside or world.clearance(eye[None])[0] < 0.1:
        return None
    toward[:3, 3] = eye
    return toward


def _store(file: Path, images: np.ndarray, tags: np.ndarray) -> Path:
    try:
        replace(file, lambda stream: np.savez(stream, images=images, tags=tags))
    except OSError as error:
        raise BadInput(f"{file}: could not be written, and nothing of it is left: {error}") from error
    return file
