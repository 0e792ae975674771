"""``let_go.jsonl``: the scenes that are gone, each with the reason, one a line."""

import json
import logging
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TypedDict

from wsss_ros.online.stored_scene import StoredScene

log = logging.getLogger("wsss_ros")


class Discard(TypedDict, total=False):
    """One line of the file. ``number`` is that of the stored scene, None for one that was never stored."""

    scene: str
    tags: list[str]
    bytes: int
    reason: str
    number: int | None
    frames: int
    held_out: bool


def discard_of(scene: StoredScene, reason: str) -> Discard:
    """Return the line for a stored scene."""
    return Discard(
        scene=scene.name,
        tags=list(scene.tags),
        bytes=scene.bytes,
        reason=reason,
        number=scene.number,
        frames=scene.frames,
        held_out=scene.held_out,
    )


class DiscardedScenes:
    """Names and numbers of the scenes that are gone, in memory and in the file.

    ``last_reason`` is why the last one was discarded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_reason = ""
        self.numbers = self._read()  # 0: never stored

    def add(self, line: Discard) -> None:
        """Append a line. Where the disk is too full for it, only the log reports the scene."""
        self.last_reason = line["reason"]
        self.numbers[line["scene"]] = line["number"] or 0
        text = json.dumps({"utc": datetime.now(timezone.utc).isoformat(timespec="seconds")} | line)
        try:
            with open(self.path, "a") as file:  # on a new line, if the last one was cut short
                file.write("\n" * _is_cut_short(self.path) + text + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            log.warning("%s lacks scene %s: %s", self.path, line["scene"], error)

    def _read(self) -> dict[str, int]:
        numbers = {}
        for line in self.path.read_text(errors="replace").splitlines() if self.path.is_file() else ():
            try:
                entry = json.loads(line)
                numbers[entry["scene"]] = int(entry["number"] or 0)
            except (ValueError, KeyError, TypeError):
                log.warning("%s: ignored a broken line: %.80s", self.path, line)
        return numbers


def _is_cut_short(path: Path) -> bool:
    """Whether the last line of the file has no end, as after a power cut."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read() not in (b"", b"\n")
