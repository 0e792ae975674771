"""The replay memory: whole tagged scenes in ScanNet's layout, bounded, with the classes kept even.

A scene is a folder with ``tags.json`` and ``scene.json`` below ``scenes/``, so every offline command works on it.
One process at a time may hold a store: whoever opens it removes what a crash left unfinished.
"""

import json
import logging
import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from wsss_ros.files import read_json, remove_partial_folders
from wsss_ros.labels import LabelSpace
from wsss_ros.online.open_scene import OpenScene
from wsss_ros.online.settings import StoreConfig
from wsss_ros.samples.prepared import LEAST_POINTS
from wsss_ros.scenes.scannet_write import SceneWriter
from wsss_ros.scenes.tags import TagFile
from wsss_ros.types import BadInput

__all__ = ["OpenScene", "SceneStore", "StoredScene", "least_missed"]

ABOUT, TAGS = "scene.json", "tags.json"
_LEAVING = ".let-go"  # ends the names of hidden folders of scenes that are being deleted
_SAME_VIEWS = 2  # make a replay; one alone may be a simulated robot that begins at its dock again
_BLOCK = 4096  # bytes; a small file takes as much on most disks
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class StoredScene:
    """One whole scene. ``tagged_frames`` are those with tags of their own, without which it teaches images nothing.

    ``number`` counts the scenes ever stored, from 1 on. ``held_out`` scenes are for the gate alone. ``again_of`` names
    stored scenes of which it shows views again (a bag that was played once more), by the ``fingerprints`` of theirs.
    """

    name: str
    folder: Path
    tags: tuple[str, ...]
    held_out: bool
    frames: int
    bytes: int
    began_ns: int
    number: int
    tagged_frames: int
    fingerprints: frozenset[int] = frozenset()
    again_of: tuple[str, ...] = ()


class SceneStore:
    """The scenes below ``folder/scenes``. Every ``held_out_every``-th is held out, for good, when it is stored.

    A scene that shows views of a stored one again, as a bag played once more does, is held out if that one is, and let
    go where it shows views of both sides: else the gate would judge by what was trained on.

    What goes is noted in ``folder/let_go.jsonl``, with the reason; ``last_let_go`` is the last one. Names in ``pinned``
    are not let go to make room (scenes a round reads just now). Raises BadInput when the folder cannot be written.
    """

    def __init__(
        self, folder: str | Path, config: StoreConfig, labels: LabelSpace, held_out_every: int = 4
    ) -> None:
        self.folder, self.config, self.labels = Path(folder).expanduser(), config, labels
        self.held_out_every = held_out_every
        self.pinned: set[str] = set()
        self.last_let_go = ""
        self._open: list[OpenScene] = []
        self._lock = threading.Lock()  # between who lists the scenes and who moves one
        self._known: dict[str, tuple[tuple[int, int], StoredScene | None]] = {}
        try:
            self._place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{folder}: no place for scenes ({error}); choose another folder") from error
        self._gone = self._read_let_go()
        self._sweep()

    @property
    def _place(self) -> Path:
        return self.folder / "scenes"

    # --- scenes in and out ---

    def begin(self, name: str = "") -> OpenScene:
        """A new scene; its name is made unique, and safe as a file name. Raises BadInput when the disk is full."""
        scene = OpenScene(SceneWriter(self._place / self._free_name(name)), self.config, self.labels)
        self._open.append(scene)
        return scene

    def scenes(self) -> list[StoredScene]:
        """The whole ones, oldest first, tags as the files say now; those that cannot be read are warned about."""
        with self._lock:
            names = (name for name in os.listdir(self._place) if name[0] != ".")
            self._known = {name: self._read_if_new(name) for name in names}
            return sorted((scene for _, scene in self._known.values() if scene), key=lambda scene: scene.number)

    def finish(self, scene: OpenScene, why: str) -> StoredScene | None:
        """Give the scene its place and make room for it; ``why`` it ended. None where it is let go: ``last_let_go``.

        Raises BadInput for a scene that is finished already, and for a full disk: then it is let go, too, and those
        that were stored before stay whole.
        """
        if scene not in self._open:
            raise BadInput(f"{scene.name} is finished already; begin another")
        self._open.remove(scene)
        with scene.lock:
            again_of = self._again_of(scene)
            if reason := self._unusable(scene) or _on_both_sides(again_of):
                self._drop(scene, reason)
                return None
            try:
                self._save(scene, why, again_of)
            except BadInput as error:
                self._drop(scene, str(error))
                raise
        stored = next(stored for stored in self.scenes() if stored.name == scene.name)
        self._make_room(stored)
        return stored if stored.folder.is_dir() else None

    def reset(self) -> Path:
        """Empty the memory: all scenes move to a folder below ``archive/``, which is returned; open ones are dropped.

        Raises BadInput, and moves nothing, when the disk refuses.
        """
        for scene in self._open:
            self._drop(scene, "the memory was reset")
        self._open, scenes = [], self.scenes()
        archive = self._free_archive()
        try:
            archive.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:
                os.replace(self._place, archive)
                self._place.mkdir()
        except OSError as error:
            raise BadInput(f"{self.folder}: the memory could not be moved to {archive} ({error})") from error
        for scene in scenes:
            self._note(_line(scene, f"the memory was reset; kept in {archive.relative_to(self.folder)}"))
        return archive

    def _unusable(self, scene: OpenScene) -> str:
        if scene.lost:
            return scene.lost
        if scene.frames < self.config.min_frames:
            return f"{scene.frames} frames of {scene.received} views; wanted {self.config.min_frames} or more"
        if not scene.tags:
            return "nobody said what is in it"
        if (points := len(scene.cloud)) < LEAST_POINTS:
            return f"its cloud has {points} points; wanted {LEAST_POINTS} or more"
        return ""

    def _again_of(self, scene: OpenScene) -> list[StoredScene]:
        """Of all views received, for another replay may keep other ones."""
        return [stored for stored in self.scenes() if len(stored.fingerprints & scene.seen) >= _SAME_VIEWS]

    def _save(self, scene: OpenScene, why: str, again_of: Sequence[StoredScene]) -> None:
        number = 1 + max([*(each.number for each in self.scenes()), *self._gone.values()], default=0)
        about = {
            "number": number,
            "held_out": again_of[0].held_out if again_of else number % self.held_out_every == 0,
            "began_ns": scene.began_ns,
            "ended_ns": scene.ended_ns,
            "why_ended": why,
            "frames": scene.frames,
            "received": scene.received,
            "fingerprints": scene.fingerprints,
            "again_of": [each.name for each in again_of],
        }
        tags = {"scene": list(scene.tags), "frames": scene.tags_by_frame()}
        texts = {ABOUT: json.dumps(about, indent=1), TAGS: json.dumps(tags, indent=1)}
        cloud = scene.cloud
        scene.writer.finish(cloud.xyz, cloud.rgb, texts=texts)

    def _drop(self, scene: OpenScene, reason: str) -> None:
        scene.writer.drop()
        self._note(
            {
                "scene": scene.name,
                "tags": list(scene.tags),
                "bytes": 0,
                "reason": reason,
                "number": None,
                "frames": scene.frames,
            }
        )

    # --- room ---

    def _make_room(self, newest: StoredScene) -> None:
        """Let scenes go until the rest is within the bounds; the newest only where it is too large by itself."""
        if newest.bytes > self.config.max_gb * 1e9:
            self._let_go(newest, f"it takes {newest.bytes / 1e9:.3f} GB, and all may take {self.config.max_gb} GB")
            return
        while reason := self._too_much(scenes := self.scenes()):
            kept = self.pinned | {newest.name}
            candidates = [scene for scene in scenes if scene.name not in kept]
            if not candidates:
                _log.warning("%s: %s, but a round reads them all", self.folder, reason)
                return
            self._let_go(least_missed(candidates, scenes, self.held_out_every), reason)

    def _too_much(self, scenes: Sequence[StoredScene]) -> str:
        taken_gb = sum(scene.bytes for scene in scenes) / 1e9
        if len(scenes) > self.config.max_scenes:
            return f"{len(scenes)} scenes, {self.config.max_scenes} may stay; the others cover its classes best"
        if taken_gb > self.config.max_gb:
            return f"{taken_gb:.3f} GB, {self.config.max_gb} may stay; the others cover its classes best"
        return ""

    def _let_go(self, scene: StoredScene, reason: str) -> None:
        """It leaves in one step, then it is noted, then deleted: after a crash in between ``_sweep`` does the rest."""
        leaving = scene.folder.with_name(f".{scene.name}{_LEAVING}")
        with self._lock:
            os.replace(scene.folder, leaving)
        self._note(_line(scene, reason))
        shutil.rmtree(leaving, ignore_errors=True)

    def _note(self, line: dict) -> None:
        """Append to ``let_go.jsonl``. A disk too full for a line is told to the log only."""
        self.last_let_go = line["reason"]
        self._gone[line["scene"]] = line["number"] or 0
        line = {"utc": _utc().isoformat(timespec="seconds")} | line
        _log.info("scene %s is let go: %s", line["scene"], line["reason"])
        try:
            with open(self.folder / "let_go.jsonl", "a") as file:  # from a new line on, where the last was cut short
                file.write("\n" * _cut_short(file.name) + json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            _log.warning("%s: let_go.jsonl lacks scene %s: %s", self.folder, line["scene"], error)

    # --- names and files ---

    def _free_name(self, wanted: str) -> str:
        """Never one that the store had before: rounds and the log refer to scenes by name."""
        taken = {*self._gone, *(scene.name for scene in self._open), *os.listdir(self._place)}
        base = re.sub(r"[^A-Za-z0-9_-]+", "_", wanted).strip("_-")[:64]
        names = [base] if base else []
        stem = base or f"scene_{_utc():%Y%m%d_%H%M%S}"
        return next(name for name in (*names, *(f"{stem}_{n}" for n in range(1, len(taken) + 2))) if name not in taken)

    def _free_archive(self) -> Path:
        stem = self.folder / "archive" / f"{_utc():%Y%m%d_%H%M%S}"
        paths = (stem, *(stem.with_name(f"{stem.name}_{n}") for n in range(2, 1000)))
        return next(path for path in paths if not path.exists())

    def _read_if_new(self, name: str) -> tuple[tuple[int, int], StoredScene | None]:
        folder = self._place / name
        version = (_changed_ns(f"{folder}/{ABOUT}"), _changed_ns(f"{folder}/{TAGS}"))
        if name in self._known and self._known[name][0] == version:
            return self._known[name]
        try:
            return version, _read(folder, name, self.labels) if version[0] else None
        except (BadInput, OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is left out: %s", folder, error)
            return version, None

    def _read_let_go(self) -> dict[str, int]:
        """Names of the scenes that are gone, with their numbers (0: never stored). Half a line is passed over."""
        gone, path = {}, self.folder / "let_go.jsonl"
        for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
            try:
                entry = json.loads(line)
                gone[entry["scene"]] = int(entry["number"] or 0)
            except (ValueError, KeyError, TypeError):
                _log.warning("%s: passed over a broken line: %.80s", path, line)
        return gone

    def _sweep(self) -> None:
        """Finish what a crash interrupted: scenes that were not whole, and scenes on their way out."""
        for name in remove_partial_folders(self._place):
            _log.warning("%s: removed scene %s, which a crash had left unfinished", self.folder, name)
        for leaving in self._place.glob(f".*{_LEAVING}"):
            name = leaving.name[1:].removesuffix(_LEAVING)
            if name not in self._gone:
                _, scene = self._read_if_new(leaving.name)
                why = "room was made when the store was interrupted"
                line = _line(scene, why) if scene else {"tags": [], "bytes": 0, "reason": why, "number": None}
                self._note(line | {"scene": name})
            shutil.rmtree(leaving, ignore_errors=True)


def least_missed(candidates: Iterable[StoredScene], scenes: Sequence[StoredScene], every: int) -> StoredScene:
    """The candidate whose loss leaves the classes of ``scenes`` best covered; of equal ones the first.

    No class loses its last scene while another choice exists. Then held-out scenes go where they are more than one in
    ``every``, else scenes for training. Among those it is the one after whose loss the rarest class there has the most
    scenes, then the next rarest, and so on.
    """
    counts = {side: Counter(tag for s in scenes if s.held_out == side for tag in s.tags) for side in (True, False)}
    surplus = sum(scene.held_out for scene in scenes) * every > len(scenes)

    def remains(scene: StoredScene) -> tuple[bool, bool, list[int]]:
        here, there = counts[scene.held_out], counts[not scene.held_out]
        no_last = all(here[tag] + there[tag] > 1 for tag in scene.tags)
        return no_last, scene.held_out == surplus, sorted(here[tag] - (tag in scene.tags) for tag in here)

    return max(candidates, key=remains)


def _read(folder: Path, name: str, labels: LabelSpace) -> StoredScene:
    about = read_json(folder / ABOUT)
    tags, numbers = TagFile.of(folder, labels), range(about["frames"])
    size = sum(-(-path.stat().st_size // _BLOCK) * _BLOCK for path in folder.rglob("*") if path.is_file())
    return StoredScene(
        name=name,
        folder=folder,
        tags=tags.scene if tags else (),
        held_out=about["held_out"],
        frames=about["frames"],
        bytes=size,
        began_ns=about["began_ns"],
        number=about["number"],
        tagged_frames=sum(bool(tags.image(str(number))) for number in numbers) if tags else 0,
        fingerprints=frozenset(about.get("fingerprints", ())),
        again_of=tuple(about.get("again_of", ())),
    )


def _on_both_sides(scenes: Sequence[StoredScene]) -> str:
    sides = {scene.held_out: scene.name for scene in scenes}
    if len(sides) < 2:
        return ""
    return f"it shows views of '{sides[False]}', for training, and of '{sides[True]}', held out: a bag played again?"


def _line(scene: StoredScene, reason: str) -> dict:
    kept = {"number": scene.number, "frames": scene.frames, "held_out": scene.held_out}
    return {"scene": scene.name, "tags": list(scene.tags), "bytes": scene.bytes, "reason": reason} | kept


def _changed_ns(path: str) -> int:
    """0 where there is no such file."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _cut_short(path: str) -> bool:
    """Whether the file's last line has no end, as a power cut leaves it."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read() not in (b"", b"\n")


def _utc() -> datetime:
    return datetime.now(timezone.utc)
