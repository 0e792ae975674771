"""The scenes of the trial: procedural rooms with dense truth, and stretches of real scenes that have tags only."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from wsss_ros.bench.online_plan import STYLE, write_tags
from wsss_ros.files import PartialFolder, read_json, write_json
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import open_scene
from wsss_ros.scenes.derived import fused, upright_rotation
from wsss_ros.scenes.scannet_write import SceneWriter
from wsss_ros.types import Scene

# (rooms, first seed, views, style) of each set. The seeds are those of no other data set of the project.
ROOMS = {
    "taught": (10, 24_000, 16, STYLE),
    "held_out": (8, 24_500, 16, STYLE),
    "base": (30, 1_000, 24, "default"),
    "base_held_out": (12, 1_500, 16, "default"),
    "truth_new": (16, 22_000, 6, STYLE),
    "truth_old": (16, 9_000, 6, "default"),
}
_NEXT = 50  # seeds from the rooms of one draw to those of the next; rooms of the base are the same
LENGTH = 8  # tagged frames of a stretch of a real scene
_ONLY = ("floor", "wall", "chair", "cabinet")  # the class of a round with one class

Generate = Callable[..., list[Path]]  # (folder, rooms, first seed, frames=, style=) -> folders of the rooms


def rooms(out: Path, online: Path, labels: LabelSpace, generate: Generate, draw: int = 0) -> dict[str, list[str]]:
    """Generate the missing rooms below ``out`` and link the tagged ones into the learner's folder; names by set.

    Another ``draw`` has other rooms, except those of the base.
    """
    names = {}
    for name, (count, first, frames, style) in ROOMS.items():
        seed = first + (0 if name == "base" else _NEXT * draw)
        made = generate(out / name, count, seed, frames=frames, style=style)
        names[name] = [room.name for room in made]
        for room in made if name in ("taught", "held_out") else ():
            if not (online / "scenes" / room.name).exists():
                write_tags(room, labels)
                (online / "scenes" / room.name).symlink_to(room.absolute())
    return names


def stretches(path: Path, place: str, online: Path, labels: LabelSpace) -> dict[str, list[str]]:
    """Cut a real scene into stretches in the learner's folder; two of every five are held out. Names by set."""
    scene = open_scene(path, labels)
    tagged = [index for index in range(len(scene)) if scene.image_tags(index)]
    found: dict[str, list[str]] = {"taught": [], "held_out": []}
    level = None
    for number, start in enumerate(range(0, len(tagged) - LENGTH + 1, LENGTH)):
        name = f"{place}_{number:02d}"
        if not (online / "scenes" / name).exists():
            level = upright_rotation(scene) if level is None else level
            _write_stretch(scene, tagged[start : start + LENGTH], online / "scenes" / name, level, labels)
        found["held_out" if number % 5 in (1, 3) else "taught"].append(name)
    return found


def _write_stretch(scene: Scene, frames: Sequence[int], folder: Path, level: np.ndarray, labels: LabelSpace) -> None:
    """Write frames of a scene with their tags as the store of the learner does; its z axis points up."""
    alignment = np.eye(4)
    alignment[:3, :3] = level
    tags = {str(place): list(scene.image_tags(index) or ()) for place, index in enumerate(frames)}
    union = [name for name in labels.names if any(name in names for names in tags.values())]
    with SceneWriter(folder) as writer:
        for index in frames:
            writer.add(scene.frame(index))
        cloud = fused(scene.frame(index) for index in frames)
        text = json.dumps({"scene": union, "frames": tags})
        writer.finish(cloud.xyz, cloud.rgb, axis_alignment=alignment, texts={"tags.json": text})


def spoil(
    scenes: Sequence[str], online: Path, prefix: str, labels: LabelSpace, fault: str, index: int, draw: int = 0
) -> list[str]:
    """Copy scenes by links, with spoilt tags; returns the names of the copies.

    *wrong tags*: classes are exchanged, in all scenes or (odd ``index``) in the first half of them. *one class*: every
    frame and scene has the same single tag. Another ``draw`` exchanges other classes.
    """
    rng = np.random.default_rng([index, 5, draw] if draw else [index, 5])
    cycle = rng.permutation(len(labels))
    exchanged = {labels.names[one]: labels.names[other] for one, other in zip(cycle, np.roll(cycle, 1), strict=True)}
    made = []
    for place, name in enumerate(scenes):
        keep = fault == "wrong tags" and index % 2 == 1 and 2 * place >= len(scenes)
        if keep:
            made.append(name)
            continue

        def change(names: Sequence[str]) -> list[str]:
            if fault == "one class":
                return [_ONLY[index % len(_ONLY)]]
            return [exchanged[name] for name in names]

        made.append(_with_tags(online / "scenes" / name, online / "scenes" / f"{prefix}_{name}", change))
    return made


def _with_tags(scene: Path, folder: Path, change: Callable[[Sequence[str]], list[str]]) -> str:
    """Link everything of a scene into ``folder``, with changed tags; returns the name of the folder."""
    if not folder.exists():
        tags = read_json(scene / "tags.json")
        partial = PartialFolder(folder)
        for entry in scene.resolve().iterdir():
            if entry.name != "tags.json":
                (partial.inner / entry.name).symlink_to(entry)
        frames = {name: change(names) for name, names in tags["frames"].items()}
        write_json(partial.inner / "tags.json", {"scene": change(tags["scene"]), "frames": frames})
        partial.publish()
    return folder.name
