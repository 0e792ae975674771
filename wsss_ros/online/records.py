"""Files of the rounds: plan and decision of each, and the log of all decisions. Every file is complete or not there."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from wsss_ros.files import finite, not_written, read_json, write_json
from wsss_ros.networks.checkpoint import file_of
from wsss_ros.types import KINDS, BadInput

log = logging.getLogger("wsss_ros")
Record = TypeVar("Record")

PLAN, DECISION, RUN = "plan.json", "decision.json", "run"
SETS = ("new", "memory", "base")  # of held-out scenes


@dataclass(frozen=True)
class Plan:
    """What a round trains on and is judged by. It is written first, so that the round can be resumed.

    ``new``, ``memory`` and ``base`` are names of scenes to train on; ``held_out`` are the scored scenes by set.
    ``held_back`` are scenes that this round holds out for good, because nothing else was held out.
    """

    round: int
    begins_from: str
    seed: int
    steps: int
    batch: int
    new: list[str]
    memory: list[str]
    base: list[str]
    held_out: dict[str, list[str]]
    held_back: list[str] = field(default_factory=list)
    halved: bool = False  # the batch, because memory ran out

    def for_log(self) -> dict:
        """Return the fields that the log keeps."""
        kept = ("begins_from", "seed", "new", "memory", "base", "held_out", "held_back")
        return {name: getattr(self, name) for name in kept}


@dataclass(frozen=True)
class Decision:
    """How a round ended. ``version`` is in use after it.

    ``before`` and ``after`` are held-out scores of the weights it started from and of the candidate, by set:
    ``{"new": {"image_tags": 0.81, "image_consistency": 0.6, "cloud_tags": 0.9, "cloud_consistency": 0.8,
    "agreement": 0.7, "images": 8, "clouds": 1, "links": 900, "values": {"image_tags": {"scene": [0.9, ...]}}}}``,
    None where there was nothing to measure. Both are empty for a round that was given up. ``more`` is for the log.

    ``networks`` says for each kind of network whether it was promoted, and why:
    ``{"image": {"promoted": True, "why": ...}, "cloud": ...}``. ``promoted`` is True if any was. In records of earlier
    releases ``networks`` is empty, and ``promoted`` is for both.
    """

    round: int
    promoted: bool
    why: str
    before: dict
    after: dict
    version: str
    more: dict = field(default_factory=dict)
    networks: dict = field(default_factory=dict)

    def took(self, kind: str) -> bool:
        """Whether the network of this kind was promoted; for anything else, whether any was."""
        return self.networks.get(kind, {}).get("promoted", self.promoted)

    @property
    def result(self) -> str:
        """What was promoted, in words."""
        taken = [kind for kind in KINDS if self.took(kind)]
        if len(taken) == 1:
            return f"promoted the {taken[0]} network"
        return "promoted both networks" if taken else "not promoted"

    def without_values(self) -> dict:
        """Return the fields for display: without the scores of single images and clouds, and without ``more``."""
        short = {key: value for key, value in asdict(self).items() if key != "more"}
        for when in ("before", "after"):
            scores = short[when].items()
            short[when] = {name: {key: v for key, v in own.items() if key != "values"} for name, own in scores}
        return short

    @property
    def judged(self) -> bool:
        """Whether the gate judged the round; otherwise it was given up."""
        return bool(self.before)


def given_up(plan: Plan, why: str) -> Decision:
    """Return the decision that the weights stay."""
    return Decision(plan.round, False, f"given up: {why}", {}, {}, plan.begins_from, plan.for_log())


def write(folder: Path, name: str, record: Plan | Decision) -> None:
    """Write a record. Numbers that are not finite become null, which every JSON reader accepts."""
    write_json(folder / name, finite(asdict(record)))


def read(folder: Path, name: str, kind: type[Record]) -> Record | None:
    """Read a record; None where there is no such file. Raises BadInput when it is broken."""
    try:
        return from_values(kind, read_json(folder / name))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{folder / name}: cannot be read ({error}); remove {folder} to drop the round") from error


def from_values(kind: type[Record], values: dict) -> Record:
    """Build a record from JSON; unknown keys are ignored."""
    return kind(**{part.name: values[part.name] for part in fields(cast(Any, kind)) if part.name in values})


def candidate_files(folder: Path) -> tuple[Path, Path]:
    """Return the candidate files of the round in ``folder``, image and cloud; in earlier rounds with previous names."""
    image, cloud = (file_of(folder / RUN, kind, prefix="candidate_") for kind in KINDS)
    return image, cloud


def delete_training(folder: Path, keep: Sequence[str] = ()) -> None:
    """Delete the large files of a round's training; keep configuration, data list, losses and the files in ``keep``."""
    for entry in (folder / RUN).glob("*"):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.suffix not in (".json", ".yaml") and entry.name not in keep:
            entry.unlink(missing_ok=True)


class Log:
    """``rounds.jsonl``: one decision a line, synced to disk. A last line that a crash cut short is removed."""

    def __init__(self, path: Path):
        self.path = path
        content = path.read_bytes() if path.exists() else b""
        complete, _, rest = content.rpartition(b"\n")
        if rest:
            log.warning("%s: its last line was cut short by a crash; it is removed", path)
            os.truncate(path, len(content) - len(rest))
        self.decisions = [found for line in complete.splitlines() if (found := self._decision(line))]

    def _decision(self, line: bytes) -> Decision | None:
        try:
            return from_values(Decision, json.loads(line))
        except (ValueError, TypeError) as error:
            log.warning("%s: a line cannot be read (%s) and is ignored", self.path, error)
            return None

    def append(self, decision: Decision) -> None:
        """Add a decision. Raises OSError, and leaves the file as it was, when the disk does not take it."""
        line = json.dumps(finite(asdict(decision))).encode() + b"\n"
        try:
            self._append(line)
        except OSError as error:
            raise not_written(self.path, error, "the log is as it was", size=len(line)) from error
        self.decisions.append(decision)

    def _append(self, line: bytes) -> None:
        with open(self.path, "ab", buffering=0) as file:
            size = file.tell()
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, "the disk took only part of a line")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
