"""A complete scene on disk, and which of several scenes the memory needs least."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsss_ros.files import read_json
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.tags import TagFile

ABOUT, TAGS = "scene.json", "tags.json"
_BLOCK = 4096  # bytes that a small file takes on most disks


@dataclass(frozen=True)
class StoredScene:
    """One complete scene.

    Attributes:
        number: Scenes stored before it, plus 1; also counts scenes that are gone.
        held_out: Whether only the gate uses it.
        fingerprints: Of its frames, see ``scene_views.fingerprint``.
        again_of: Names of stored scenes whose views it shows again, as a bag does that is played once more.
    """

    name: str
    folder: Path
    tags: tuple[str, ...]
    held_out: bool
    frames: int
    bytes: int
    started_ns: int
    number: int
    fingerprints: frozenset[int] = frozenset()
    again_of: tuple[str, ...] = ()


def read(folder: Path, name: str, labels: LabelSpace) -> StoredScene:
    """Read a scene from its files. Raises BadInput, OSError, ValueError, KeyError or TypeError for broken ones."""
    about = read_json(folder / ABOUT)
    tags = TagFile.of(folder, labels)
    size = sum(-(-path.stat().st_size // _BLOCK) * _BLOCK for path in folder.rglob("*") if path.is_file())
    return StoredScene(
        name=name,
        folder=folder,
        tags=tags.scene if tags else (),
        held_out=about["held_out"],
        frames=about["frames"],
        bytes=size,
        started_ns=about["began_ns"],
        number=about["number"],
        fingerprints=frozenset(about.get("fingerprints", ())),
        again_of=tuple(about.get("again_of", ())),
    )


def least_needed(candidates: Iterable[StoredScene], scenes: Sequence[StoredScene], every: int) -> StoredScene:
    """Return the candidate whose loss leaves the classes of ``scenes`` best covered; of equal ones the first.

    No class loses its last scene while another choice exists. After that, held-out scenes go if more than one in
    ``every`` is held out, else scenes for training. Among these it is the scene after whose loss the rarest class has
    the most scenes, then the next rarest class, and so on.
    """
    counts = {side: Counter(tag for s in scenes if s.held_out == side for tag in s.tags) for side in (True, False)}
    surplus = sum(scene.held_out for scene in scenes) * every > len(scenes)

    def remains(scene: StoredScene) -> tuple[bool, bool, list[int]]:
        here, there = counts[scene.held_out], counts[not scene.held_out]
        no_last = all(here[tag] + there[tag] > 1 for tag in scene.tags)
        return no_last, scene.held_out == surplus, sorted(here[tag] - (tag in scene.tags) for tag in here)

    return max(candidates, key=remains)
