"""The replay memory: complete tagged scenes in ScanNet's layout, bounded, with the classes kept even.

A scene is a folder below ``scenes/`` with ``tags.json`` and ``scene.json``, so every offline command works on it. One
process at a time may hold a store: opening it removes what a crash left unfinished.
"""

import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from wsss_ros.files import expanded, remove_partial_folders, writable_folder
from wsss_ros.labels import LabelSpace
from wsss_ros.online.discarded import Discard, DiscardedScenes, discard_of
from wsss_ros.online.open_scene import OpenScene
from wsss_ros.online.settings import StoreConfig
from wsss_ros.online.stored_scene import ABOUT, TAGS, StoredScene, least_needed, read
from wsss_ros.samples.prepared import LEAST_POINTS
from wsss_ros.scenes.scannet_write import SceneWriter
from wsss_ros.types import BadInput

_LEAVING = ".let-go"  # ends the names of hidden folders of scenes that are being deleted
_SAME_VIEWS = 2  # make a replay; a single one may be a simulated robot that starts at its dock again
log = logging.getLogger("wsss_ros")


class SceneStore:
    """The scenes below ``folder/scenes``. Every ``held_out_every``-th one is held out for good when it is stored.

    A scene that shows views of a stored scene again, as a bag does that is played once more, is held out if that scene
    is. If it shows views of both sides it is discarded: otherwise the gate would judge by what was trained on.

    Discarded scenes are noted with the reason in ``folder/let_go.jsonl``. Scenes whose names are in ``pinned`` stay
    when room is made: a round reads them. Raises BadInput when the folder cannot be written.
    """

    def __init__(self, folder: str | Path, config: StoreConfig, labels: LabelSpace, held_out_every: int = 4) -> None:
        self.folder, self.config, self.labels = expanded(folder), config, labels
        self.held_out_every = held_out_every
        self.pinned: set[str] = set()
        self._open: list[OpenScene] = []
        self._lock = threading.Lock()  # held while scenes are listed or moved
        self._known: dict[str, tuple[tuple[int, int], StoredScene | None]] = {}
        try:
            writable_folder(self._place)
        except OSError as error:
            raise BadInput(f"{folder}: no place for scenes: {error}") from error
        self._discarded = DiscardedScenes(self.folder / "let_go.jsonl")
        self._sweep()

    @property
    def _place(self) -> Path:
        return self.folder / "scenes"

    @property
    def last_discard(self) -> str:
        """Why the last scene was discarded."""
        return self._discarded.last_reason

    # --- scenes in and out ---

    def create(self, name: str = "") -> OpenScene:
        """Start a new scene; its name is made unique and safe as a file name. Raises BadInput when the disk is full."""
        scene = OpenScene(SceneWriter(self._place / self._free_name(name)), self.config, self.labels)
        self._open.append(scene)
        return scene

    def scenes(self) -> list[StoredScene]:
        """Return the complete scenes, oldest first, with the tags now in their files.

        Logs a warning for a scene that cannot be read.
        """
        with self._lock:
            names = (name for name in os.listdir(self._place) if name[0] != ".")
            self._known = {name: self._read_if_new(name) for name in names}
            return sorted((scene for _, scene in self._known.values() if scene), key=lambda scene: scene.number)

    def finish(self, scene: OpenScene, why: str) -> StoredScene | None:
        """Store the scene and make room for it; ``why`` is the reason of its end. None if it is discarded.

        Raises BadInput for a scene that is finished already, and for a full disk: then the scene is discarded and all
        stored ones stay complete.
        """
        if scene not in self._open:
            raise BadInput(f"{scene.name} is finished already; start another")
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
        """Move all scenes to a folder below ``archive/`` and return it; open scenes are discarded.

        Raises BadInput when the disk refuses; then no scene is moved.
        """
        for opened in self._open:
            self._drop(opened, "the memory was reset")
        self._open, scenes = [], self.scenes()
        archive = self._free_archive()
        try:
            archive.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:
                os.replace(self._place, archive)
                self._place.mkdir()
        except OSError as error:
            raise BadInput(f"{self.folder}: the memory could not be moved to {archive} ({error})") from error
        for stored in scenes:
            reason = f"the memory was reset; kept in {archive.relative_to(self.folder)}"
            self._discarded.add(discard_of(stored, reason))
        return archive

    def _unusable(self, scene: OpenScene) -> str:
        if scene.lost:
            return scene.lost
        if scene.frames < self.config.min_frames:
            return f"{scene.frames} frames of {scene.received} views; expected {self.config.min_frames} or more"
        if not scene.tags:
            return "it has no tags"
        if (points := len(scene.cloud)) < LEAST_POINTS:
            return f"its cloud has {points} points; expected {LEAST_POINTS} or more"
        return ""

    def _again_of(self, scene: OpenScene) -> list[StoredScene]:
        """Compare all received views: another replay may keep other ones."""
        return [stored for stored in self.scenes() if len(stored.fingerprints & scene.seen) >= _SAME_VIEWS]

    def _save(self, scene: OpenScene, why: str, again_of: Sequence[StoredScene]) -> None:
        number = 1 + max([*(each.number for each in self.scenes()), *self._discarded.numbers.values()], default=0)
        about = {
            "number": number,
            "held_out": again_of[0].held_out if again_of else number % self.held_out_every == 0,
            "began_ns": scene.started_ns,
            "ended_ns": scene.ended_ns,
            "why_ended": why,
            "frames": scene.frames,
            "received": scene.received,
            "fingerprints": scene.fingerprints,
            "again_of": [each.name for each in again_of],
        }
        meaning = {} if self.config.complete_tags else {"complete": False}
        tags = {"scene": scene.tag_list.written, "frames": scene.tags_by_frame(), **meaning}
        texts = {ABOUT: json.dumps(about, indent=1), TAGS: json.dumps(tags, indent=1)}
        cloud = scene.cloud
        scene.writer.finish(cloud.xyz, cloud.rgb, texts=texts)

    def _drop(self, scene: OpenScene, reason: str) -> None:
        """Discard a scene that was never stored."""
        scene.writer.drop()
        self._discarded.add(
            Discard(
                scene=scene.name,
                tags=list(scene.tags),
                bytes=0,
                reason=reason,
                number=None,
                frames=scene.frames,
            )
        )

    # --- room ---

    def _make_room(self, newest: StoredScene) -> None:
        """Discard scenes until the rest is within the bounds; the newest one only if it is too large by itself."""
        if newest.bytes > self.config.max_gb * 1e9:
            size = f"it takes {newest.bytes / 1e9:.3f} GB, and all may take {self.config.max_gb} GB"
            self._discard(newest, size)
            return
        while reason := self._too_much(scenes := self.scenes()):
            kept = self.pinned | {newest.name}
            candidates = [scene for scene in scenes if scene.name not in kept]
            if not candidates:
                log.warning("%s: %s, but a round reads them all", self.folder, reason)
                return
            scene = least_needed(candidates, scenes, self.held_out_every)
            self._discard(scene, reason)
            log.info("scene %s is discarded: %s", scene.name, reason)

    def _too_much(self, scenes: Sequence[StoredScene]) -> str:
        taken_gb = sum(scene.bytes for scene in scenes) / 1e9
        if len(scenes) > self.config.max_scenes:
            return f"{len(scenes)} scenes, {self.config.max_scenes} may stay; the others cover its classes best"
        if taken_gb > self.config.max_gb:
            return f"{taken_gb:.3f} GB, {self.config.max_gb} may stay; the others cover its classes best"
        return ""

    def _discard(self, scene: StoredScene, reason: str) -> None:
        """Rename the folder, note the scene, then delete it: after a crash in between ``_sweep`` does the rest."""
        leaving = scene.folder.with_name(f".{scene.name}{_LEAVING}")
        with self._lock:
            os.replace(scene.folder, leaving)
        self._discarded.add(discard_of(scene, reason))
        shutil.rmtree(leaving, ignore_errors=True)

    # --- names and files ---

    def _free_name(self, preferred: str) -> str:
        """Return a name that the store never had: rounds and the log refer to scenes by name."""
        taken = {*self._discarded.numbers, *(scene.name for scene in self._open), *os.listdir(self._place)}
        base = re.sub(r"[^A-Za-z0-9_-]+", "_", preferred).strip("_-")[:64]
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
            return version, read(folder, name, self.labels) if version[0] else None
        except (BadInput, OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is left out: %s", folder, error)
            return version, None

    def _sweep(self) -> None:
        """Finish what a crash interrupted: remove incomplete scenes and scenes that were being deleted."""
        for name in remove_partial_folders(self._place):
            log.warning("%s: removed scene %s, which a crash had left unfinished", self.folder, name)
        for leaving in self._place.glob(f".*{_LEAVING}"):
            name = leaving.name[1:].removesuffix(_LEAVING)
            if name not in self._discarded.numbers:
                _, scene = self._read_if_new(leaving.name)
                reason = "room was made when the store was interrupted"
                line = discard_of(scene, reason) if scene else Discard(tags=[], bytes=0, reason=reason, number=None)
                self._discarded.add({**line, "scene": name})
                log.info("scene %s is discarded: %s", name, reason)
            shutil.rmtree(leaving, ignore_errors=True)


def _on_both_sides(scenes: Sequence[StoredScene]) -> str:
    sides = {scene.held_out: scene.name for scene in scenes}
    if len(sides) < 2:
        return ""
    return f"it shows views of '{sides[False]}', for training, and of '{sides[True]}', held out: a bag played again?"


def _changed_ns(path: str) -> int:
    """Return when the file changed; 0 where there is no such file."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _utc() -> datetime:
    return datetime.now(timezone.utc)
