"""Close-ups of single things, each tagged with one class: what ImageNet is to the paper, for machines without it.

The paper's image network starts from weights that learned to name the one thing a photograph shows. These pictures are
such photographs of procedural rooms: a camera is turned to a piece of furniture and stepped back until it fills the
view, and the one tag is the class the camera was turned to. Rooms of their own seeds, never those of a training set.
"""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, UInt8

from wsss_ros.config import ImageAugment
from wsss_ros.files import replace
from wsss_ros.labels import LabelSpace, scannet20
from wsss_ros.rooms.generated import make_missing
from wsss_ros.rooms.layout import Room, plan
from wsss_ros.rooms.render import Light, Sensor, World, exposure_gain, shade
from wsss_ros.rooms.style import Kit, style_named
from wsss_ros.rooms.walk import pose
from wsss_ros.samples import augment
from wsss_ros.samples.samples import Sample
from wsss_ros.types import BadInput, Camera

FIELD_OF_VIEW = np.radians(55)
LEAST_SHARE = 0.3  # of the picture shows the class it is tagged with, and no other thing shows more
_TRIES = 8  # views of a thing before another one gets its turn
_BACKGROUND = ("wall", "floor")


def generate(out_folder: str | Path, seed: int, views: int = 60, size: int = 96, style: str = "default") -> Path:
    """Photograph the things of one room ``views`` times; writes and returns ``out_folder/closeups{seed:05d}.npz``.

    It holds ``images`` uint8 [V size size 3] and ``tags`` uint8 [V]; classes take turns, so that rare ones are not.
    The same seed gives the same pictures. Fewer than ``views`` come where things hide behind each other.
    """
    labels, rng = scannet20(), np.random.default_rng([seed, 100])
    looks = style_named(style)
    room = plan(str(rng.choice(looks.kinds)), np.random.default_rng([seed, 101]), looks)
    world, things = World(room, labels), _things(room, labels)
    kit = Kit(np.random.default_rng([seed, 102]), looks)
    light, sensor = Light.draw(room, kit), Sensor.draw(kit)
    focal = size / 2 / np.tan(FIELD_OF_VIEW / 2)
    camera = Camera(focal, focal, (size - 1) / 2, (size - 1) / 2, size, size)
    classes, images, tags = sorted({label for label, _ in things}), [], []
    for turn in range(views):
        wanted = classes[turn % len(classes)]
        boxes = [box for label, box in things if label == wanted]
        picture = _photograph(world, camera, light, sensor, wanted, boxes[rng.integers(len(boxes))], rng)
        if picture is not None:
            images.append(picture)
            tags.append(wanted)
    if not images:
        raise BadInput(f"room {seed}: no thing in it could be photographed; take another seed")
    return _store(files(out_folder, 1, seed)[0], np.stack(images), np.array(tags, np.uint8))


def generate_set(
    out_folder: str | Path,
    scenes: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    **options,
) -> list[Path]:
    """Close-ups of the rooms ``seed .. seed + scenes - 1``; those that exist already are kept."""
    made = dict(zip(range(seed, seed + scenes), files(out_folder, scenes, seed), strict=True))
    return make_missing(generate, out_folder, made, workers, progress, **options)


def files(folder: str | Path, scenes: int, seed: int) -> list[Path]:
    """Where ``generate_set`` puts the pictures of these rooms."""
    return [Path(folder) / f"closeups{s:05d}.npz" for s in range(seed, seed + scenes)]


class CloseupSamples:
    """Pictures of one thing each, from files of ``generate``. Raises BadInput for a missing or broken file."""

    def __init__(self, files: Sequence[Path], labels: LabelSpace, settings: ImageAugment):
        if labels.names != scannet20().names:
            raise BadInput(f"close-ups show the classes of ScanNet's 20, not those of '{labels.name}'; leave them out")
        images, tags, self.names = [], [], []
        for file in files:
            try:
                with np.load(file) as stored:
                    images.append(stored["images"])
                    tags.append(stored["tags"])
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                raise BadInput(f"{file}: not readable as close-ups ({error}); delete it, it is made anew") from error
            self.names += [f"{file.stem}#{k}" for k in range(len(tags[-1]))]
        self.images = torch.from_numpy(np.concatenate(images)).permute(0, 3, 1, 2).contiguous()
        self.tags = torch.from_numpy(np.concatenate(tags)).long()
        self.settings, self.classes = settings, len(labels)

    def __len__(self) -> int:
        return len(self.tags)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """The augmented picture, its tag as multi-hot."""
        image, settings = self.images[index], self.settings
        view = augment.random_view(rng, image.shape[2], image.shape[1], settings.long_side, settings.crop)
        crop = augment.apply_views(image[None], [view], settings.crop)
        color = torch.from_numpy(augment.random_color_matrix(rng, *settings.jitter))
        tags = torch.zeros(self.classes)
        tags[self.tags[index]] = 1
        return {"images": augment.apply_color_matrices(crop, color[None])[0], "image_tags": tags}


def _things(room: Room, labels: LabelSpace) -> list[tuple[int, Float64[np.ndarray, "2 3"]]]:
    """Every labelled thing in the room: its class and the box around it."""
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
    wanted: int,
    box: Float64[np.ndarray, "2 3"],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "S S 3"] | None:
    """A picture in which the wanted class is what one sees, or None after a few tries."""
    for _ in range(_TRIES):
        where = _viewpoint(world, box, rng)
        if where is None:
            continue
        view = world.cast(camera, where)
        seen = np.bincount(np.append(world.label, 255)[view.part], minlength=256) / view.part.size
        others = np.delete(seen[: len(scannet20())], [wanted, *range(len(_BACKGROUND))])
        if seen[wanted] >= LEAST_SHARE and seen[wanted] > others.max(initial=0):
            linear = shade(world, camera, view, light, where[:3, 3], rng)
            return sensor.expose(linear, camera, exposure_gain(linear, sensor.exposure), rng)
    return None


def _viewpoint(world: World, box: np.ndarray, rng: np.random.Generator) -> Float64[np.ndarray, "4 4"] | None:
    """A camera in the room, clear of everything, that looks at some part of the box from where it fills the view."""
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
