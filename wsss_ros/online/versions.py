"""Versions of weights that never change, and which of them is in use. A crash leaves complete versions or none."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from wsss_ros.files import not_written, read_json, sync, write_json
from wsss_ros.networks.checkpoint import file_of
from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")

FIRST = "0000"
_FILES = ("image.safetensors", "cloud.safetensors")
_ABOUT = "about.json"


@dataclass(frozen=True)
class Version:
    """Two read-only checkpoints, named after the round that made them."""

    name: str
    image: Path
    cloud: Path
    about: dict


def make(folder: Path, name: str, image: Path, cloud: Path, about: dict) -> Version:
    """Copy two checkpoints to ``folder/name``, which appears when it is complete and on disk; an existing one stays."""
    if not (folder / name).is_dir():
        size = sum(file.stat().st_size for file in (image, cloud))
        try:
            _make(folder, name, image, cloud, about)
        except OSError as error:
            raise not_written(folder / name, error, "no part of this version is left", size=size) from error
    return at(folder, name)


def _make(folder: Path, name: str, image: Path, cloud: Path, about: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Not a files.PartialFolder: a read-only folder cannot leave the folder that it is in, only change its name.
    partial = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=folder))
    try:
        _fill(partial, image, cloud, {"version": name, **about})
        os.rename(partial, folder / name)
        sync(folder)
    except BaseException:
        _remove(partial)
        raise


def at(folder: Path, name: str) -> Version:
    """Return the version of that name. Raises BadInput when it does not exist or is damaged."""
    own = folder / name
    try:
        about = read_json(own / _ABOUT)
        broken = [file for file, digest in about["files"].items() if _digest(own / file) != digest]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{own}: not a complete version of weights ({error!r}); take another one") from error
    if broken:
        raise BadInput(f"{own}: {', '.join(broken)} changed since it was written; take another version")
    return Version(name, file_of(own, "image"), file_of(own, "cloud"), about)


class Versions:
    """The folder ``weights``: one folder a version, and ``current.json`` with the version in use and its history.

    ``use`` and ``rollback`` replace ``current.json`` atomically. At most ``keep`` versions stay, always including the
    one in use and the one before it. For one process; others may call ``make`` at the same time.
    """

    def __init__(self, folder: Path, keep: int, image: Path, cloud: Path):
        """Open the folder; an empty one gets these checkpoints. Raises BadInput when no version is complete."""
        self.folder, self.keep = folder, keep
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".*"):
            _remove(leftover) if leftover.is_dir() else leftover.unlink()
        if not self._names():
            make(folder, FIRST, image, cloud, {"round": 0, "begun_with": [str(image), str(cloud)]})
        elif (folder / FIRST).is_dir() and not self._started_with(image, cloud):
            text = "%s started with other weights than %s and %s and keeps its own; to use these, give another folder"
            log.warning(text, folder.parent, image, cloud)
        state = self._read()
        self._current, history = self._newest_complete(state["history"])
        self._state = {**state, "history": history}
        try:
            self._write(history, state["settled"])
        except OSError as error:  # a full disk does not prevent the start
            log.warning("%s/current.json stays as it was: %s", folder, error)

    def _started_with(self, *files: Path) -> bool:
        try:
            digests = at(self.folder, FIRST).about["files"].values()
            return [_digest(file) for file in files] == list(digests)
        except (BadInput, OSError):  # damaged or deleted
            return False

    def current(self) -> Version:
        """Return the version in use."""
        return self._current

    @property
    def history(self) -> list[str]:
        """Names of the versions in the order of their use; the last one is in use."""
        return list(self._state["history"])

    def use(self, name: str, settled: int) -> None:
        """Promote a version by the decision of round ``settled``; repeated, it changes nothing.

        Raises OSError when the disk does not take it; then nothing was changed.
        """
        if settled > self._state["settled"]:
            promoted = at(self.folder, name)
            self._write([*self.history, name], settled)
            self._current = promoted
            self._prune()

    def rollback(self) -> str:
        """Return to the last complete version before this one; return its name. Raises BadInput where there is none.

        Raises OSError when the disk does not take it; then nothing was changed.
        """
        before, history = self._current.name, self.history[:-1]
        if not history:
            raise BadInput(f"there is no version before {before}; nothing was changed")
        found, history = self._newest_complete(history)
        self._write(history, self._state["settled"])
        self._current = found
        return found.name

    def _newest_complete(self, history: list[str]) -> tuple[Version, list[str]]:
        """Return the newest complete version of the history, and the history up to it; log each damaged version."""
        faults = []
        for count in range(len(history), 0, -1):
            try:
                return at(self.folder, history[count - 1]), history[:count]
            except BadInput as error:
                log.warning("%s; trying the previous version", error)
                faults.append(str(error))
        text = f"{self.folder}: no version can be used: {'; '.join(faults)}"
        raise BadInput(f"{text}; move the folder away to start over")

    def _read(self) -> dict:
        try:
            state = read_json(self.folder / "current.json")
            return {"history": [str(name) for name in state["history"]], "settled": int(state["settled"])}
        except FileNotFoundError:
            return {"history": self._names(), "settled": 0}
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s/current.json cannot be read (%s); the newest complete version is taken", self.folder, error)
            return {"history": self._names(), "settled": 0}

    def _write(self, history: list[str], settled: int) -> None:
        state = {"version": history[-1], "history": history, "settled": settled}
        write_json(self.folder / "current.json", state, indent=None)
        self._state = state  # only after the disk took it

    def _prune(self) -> None:
        """Delete the oldest beyond ``keep``."""
        names, needed = self._names(), self.history[-2:]
        gone = [name for name in names if name not in needed][: max(0, len(names) - self.keep)]
        if gone:
            self._write([name for name in self.history if name not in gone], self._state["settled"])
        for name in gone:
            hidden = self.folder / f".{name}.deleted"
            os.rename(self.folder / name, hidden)
            _remove(hidden)

    def _names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and path.name.isdigit())


def _fill(folder: Path, image: Path, cloud: Path, about: dict) -> None:
    """Write both checkpoints and ``about.json``, synced and read-only."""
    for source, name in zip((image, cloud), _FILES, strict=True):
        shutil.copyfile(source, folder / name)
    about = {**about, "files": {name: _digest(folder / name) for name in _FILES}}
    (folder / _ABOUT).write_text(json.dumps(about, indent=1))
    for name in (*_FILES, _ABOUT):
        sync(folder / name)
        (folder / name).chmod(0o444)
    sync(folder)
    folder.chmod(0o555)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _remove(folder: Path) -> None:
    folder.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
