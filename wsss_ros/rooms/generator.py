"""Procedural rooms in ScanNet's layout, for machines without ScanNet.

The generator plans a room (``layout``: the places of the pieces; ``furniture``: their shapes; ``styles``: their looks),
plans a camera walk (``walk``, ``views``), and has ``recording`` render the views (``render``, ``shots``), fuse them
to a cloud and write the scene. The same seed gives the same bytes, in any process.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.labels import scannet20
from wsss_ros.rooms.layout.plan import plan
from wsss_ros.rooms.layout.recipes import KINDS
from wsss_ros.rooms.missing import generate_missing
from wsss_ros.rooms.recording import check_recording, record
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.stock import open_stock
from wsss_ros.rooms.styles import Style, style_named
from wsss_ros.rooms.views import Views, choose_views
from wsss_ros.types import BadInput

FRAMES = (60, 120)  # range of the number of views, from which the seed chooses
# The names of kinds of rooms in ScanNet's own .txt files.
SCENE_TYPES = {
    "bedroom": "Bedroom / Hotel", "living_room": "Living room / Lounge", "kitchen": "Kitchen", "office": "Office",
    "bathroom": "Bathroom", "library": "Library", "studio": "Apartment", "classroom": "Classroom",
    "meeting_room": "Conference Room", "washroom": "Laundry Room",
}  # fmt: skip


class RoomsConfig(Config):
    """The number of rooms to generate, and their seeds, kinds and looks."""

    scenes: int = Field(ge=1, le=100_000, description="Number of rooms to generate.")
    seed: int = Field(ge=0, description="Seed of the first room; the others follow.")
    frames: int = Field(0, ge=0, description="Views of each room; 0 for 60 to 120, by its seed.")
    style: str = Field("default", description="Tables of looks, by name (rooms/styles).")
    kinds: tuple[str, ...] = Field((), description="Kinds of rooms to choose from; empty for those of the style.")
    size: tuple[int, int] = Field((320, 240), description="Width and height of the views, pixels.")
    furniture: tuple[str, ...] = Field(
        (), description="Furniture libraries: folders of models, or .sh3f files; empty for procedural furniture only."
    )
    views: Views = Field("walk", description="walk: a camera carried by hand; robot: upright, 0.3 to 1.6 m high.")

    @property
    def options(self) -> dict:
        """The arguments of ``generate_room`` in addition to the folder and the seed."""
        return dict(
            frames=self.frames or None, style=self.style, kinds=self.kinds, size=self.size, furniture=self.furniture,
            views=self.views,
        )  # fmt: skip

    def scene_name(self, seed: int) -> str:
        """The name of the folder of a seed's room."""
        return scene_name(seed, self.style, self.furniture, self.views)


def generate_room(
    out_folder: str | Path,
    seed: int,
    kind: str | None = None,
    frames: int | None = None,
    size: tuple[int, int] = (320, 240),
    style: str = "default",
    kinds: Sequence[str] = (),
    furniture: Sequence[str | Path] = (),
    views: Views = "walk",
) -> Path:
    """Generate one room and write it in ScanNet's layout; returns its folder.

    ``kind`` is one of ``KINDS``, ``frames`` the number of views and ``size`` their (width, height). Without them the
    seed chooses: a kind of ``kinds`` or, when that is empty, of the style; 60 to 120 views. ``style`` names the tables
    of ``styles.STYLES`` from which looks are drawn; any style can furnish any kind. ``furniture`` are libraries of
    models (``rooms.library``): rooms then have real models and pictures, are fuller, and things lie about. ``views`` is
    "walk" for a camera that is carried by hand, or "robot" for an upright camera on a robot.

    The folder is ``out_folder/room{seed:04d}_00``; with a style other than the default its name starts with the style,
    and libraries and other views are named before it, as in ``models-robot-room0001_00``. The kind and such a style are
    in the scene's ``.txt`` as ``sceneType``.

    Raises BadInput for an unknown kind or style, a path that is not a furniture library, fewer than 2 frames, and when
    the scene exists already.
    """
    looks = style_named(style)
    check_recording("room", seed, frames, size, views)
    for name in (kind, *kinds) if kind else kinds:
        if name not in KINDS:
            raise BadInput(f"no room of kind '{name}'; there are: {', '.join(KINDS)}")
    stock = open_stock(tuple(str(path) for path in furniture))
    folder = Path(out_folder) / scene_name(seed, style, furniture, views)
    random_kind, random_frames = _drawn(seed, looks, kinds)
    labels = scannet20()
    room = plan(kind or random_kind, np.random.default_rng([seed, 1]), looks, stock)
    world = World(room, labels)
    poses, steps = choose_views(world, frames or random_frames, seed, views)
    scene_type = SCENE_TYPES[room.kind] + ("" if style == "default" else f" (style {style})")
    record(folder, world, labels, poses, steps, seed, size, scene_type)
    return folder


def generate_rooms(
    out_folder: str | Path,
    scenes: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    **options,
) -> list[Path]:
    """Generate the rooms of the seeds ``seed .. seed + scenes - 1``; existing rooms are kept. Returns all folders.

    ``progress(done, total)`` is called after every room; ``options`` are passed to ``generate_room``. With several
    ``workers`` the rooms are generated in parallel processes, with the same bytes.
    """
    named = {key: options[key] for key in ("style", "furniture", "views") if key in options}
    folders = {s: Path(out_folder) / scene_name(s, **named) for s in range(seed, seed + scenes)}
    return generate_missing(generate_room, out_folder, folders, workers, progress, **options)


def scene_name(seed: int, style: str = "default", furniture: Sequence[str | Path] = (), views: Views = "walk") -> str:
    """The name of the room's folder: furniture libraries and views other than the default's, the style, the seed."""
    libraries = [re.sub(r"[^a-z0-9]+", "", Path(path).stem.lower()) or "models" for path in furniture]
    parts = [*libraries, *([views] if views != "walk" else [])]
    return "".join(f"{part}-" for part in parts) + f"{'room' if style == 'default' else style}{seed:04d}_00"


def _drawn(seed: int, style: Style, kinds: Sequence[str]) -> tuple[str, int]:
    """The kind of room and the number of views that the seed chooses."""
    rng = np.random.default_rng([seed, 0])
    kind, frames = style.kinds[rng.integers(len(style.kinds))], int(rng.integers(FRAMES[0], FRAMES[1] + 1))
    return kinds[int(rng.integers(len(kinds)))] if kinds else kind, frames
