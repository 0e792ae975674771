"""What the online demo plays: rooms by seed, their tags, and the bags made of them or of a scene of your own.

*Tagged*: some rooms of a new kind for each round, with tags on every second image and on the room, as a person gives
them. *New*: other rooms of the same kind, which have no tags. *Old*: val rooms of the kinds that the shipped weights
learned. *Base*: training rooms of those kinds, which rounds may mix in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsss_ros.bags.recording import BagConfig
from wsss_ros.bags.scene_sequence import Stretch, Untagged
from wsss_ros.bags.writing import write_bag
from wsss_ros.files import write_json
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import open_scene
from wsss_ros.scenes.derived import up_of
from wsss_ros.types import BadInput, Scene

UNTAGGED = ("new", "old")  # sets that are scored
STYLE = "other"  # kinds of rooms and palettes (rooms/style.py) that are never trained on
TAGGED_EVERY = 2  # images of a tagged room
SEEDS = {"tagged": 21_000, "new": 22_000, "old": 9_000, "base": 1_000}  # of the first room of each set
MOST_SEEDS = 9  # a run's tagged rooms start 100 seeds after those of the run before; one more would reach SEEDS["new"]

Generate = Callable[..., list[Path]]  # (folder, rooms, first seed, frames=, style=) -> folders of the rooms


@dataclass(frozen=True)
class Plan:
    """How much is played, and how fast."""

    rounds: int = 3
    rooms: int = 5  # tagged in each round; every fourth is held out for the gate
    tagged_frames: int = 24
    scored_rooms: int = 10  # of each untagged set
    scored_frames: int = 8
    base: int = 30  # rooms of the old kinds that rounds may mix in
    hz: float = 5.0
    steps: int = 60
    silence_s: float = 1.2  # without images, after which a tagged room ends
    gap_s: float = 2.2  # between two tagged rooms
    write_period_s: float = 30.0  # of the evaluator: its plot takes a second, which must not show in the latencies


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises BadInput for seeds whose tagged rooms would also be scored."""
    if not all(0 <= seed <= MOST_SEEDS for seed in seeds):
        text = ",".join(map(str, seeds))
        raise BadInput(f"--seeds {text}: expected 0 to {MOST_SEEDS}; each has tagged rooms of its own")


# --- rooms ---


def rooms(folder: Path, plan: Plan, seeds: Sequence[int], labels: LabelSpace, generate: Generate) -> dict:
    """Generate the missing rooms below ``folder`` and tag some; returns the folders of the rooms by set.

    The sets are ``base``, ``new``, ``old`` and ``taggedSEED``; without ``seeds`` only ``base``.
    """

    def made(name: str, count: int, first: int, frames: int, style: str) -> list[Path]:
        return generate(folder / name, count, first, frames=frames, style=style)

    found = {"base": made("base", plan.base, SEEDS["base"], plan.tagged_frames, "default")}
    if seeds:
        found["new"] = made("new", plan.scored_rooms, SEEDS["new"], plan.scored_frames, STYLE)
        found["old"] = made("old", plan.scored_rooms, SEEDS["old"], plan.scored_frames, "default")
    for seed in seeds:
        first = SEEDS["tagged"] + 100 * seed
        tagged = made("tagged", plan.rounds * plan.rooms, first, plan.tagged_frames, STYLE)
        for room in tagged:
            write_tags(room, labels)
        found[f"tagged{seed}"] = tagged
    return found


def write_tags(folder: Path, labels: LabelSpace) -> None:
    """Write tags.json with the classes that are seen in the room and in every second image."""
    (folder / "tags.json").unlink(missing_ok=True)
    scene = open_scene(folder, labels)
    frames = {str(index): list(scene.image_tags(index) or ()) for index in range(0, len(scene), TAGGED_EVERY)}
    tags = {"scene": list(scene.tags or ()), "frames": {name: names for name, names in frames.items() if names}}
    write_json(folder / "tags.json", tags)


# --- bags ---


def room_bags(
    out: Path, seed: int, plan: Plan, folders: dict[str, list[Path]], labels: LabelSpace, report: Callable[[str], None]
) -> dict[str, Path]:
    """Write a bag of tagged rooms for each round (``tagged1`` ...) and one for each untagged set."""
    tagged = folders[f"tagged{seed}"]
    parts = {f"tagged{n + 1}": tagged[n * plan.rooms : (n + 1) * plan.rooms] for n in range(plan.rounds)}
    bags = {}
    for name, chosen in {**parts, **{name: folders[name] for name in UNTAGGED}}.items():
        report(f"writing {name}.mcap: {len(chosen)} rooms")
        gap_s = 0.5 if name in UNTAGGED else plan.gap_s
        config = BagConfig(rate_hz=plan.hz, gap_s=gap_s, cloud_every=1000)
        scenes = [open_scene(room, labels) for room in chosen]
        bags[name] = write_bag(scenes, out / f"{name}.mcap", config, overwrite=True)
    return bags


def scene_bags(out: Path, path: Path, plan: Plan, labels: LabelSpace, report: Callable[[str], None]) -> dict[str, Path]:
    """Write bags of your own scene: for each round stretches with its tags, and ``new``, all of it without tags."""
    scene = open_scene(path, labels)
    up = ",".join(f"{value:.6f}" for value in up_of(scene))  # of the scene: a stretch may see no floor
    config = BagConfig(rate_hz=plan.hz, gap_s=plan.gap_s, cloud_every=1000, up=up)
    length = len(scene) // (plan.rounds * plan.rooms)
    played: dict[str, list[Scene]] = {}
    for number in range(plan.rounds):
        starts = [(number + plan.rounds * part) * length for part in range(plan.rooms)]  # each round sees all of it
        played[f"tagged{number + 1}"] = [Stretch(scene, start, length) for start in starts]
    played["new"] = [Untagged(scene)]
    report(f"{path}: {len(scene)} frames in stretches of {length}")
    return {name: write_bag(scenes, out / f"{name}.mcap", config, overwrite=True) for name, scenes in played.items()}
