"""Weights that never change, by version, and which of them is in use. A crash leaves whole versions or none."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from wsss_ros.files import read_json, sync, write_json
from wsss_ros.networks.checkpoint import file_of
from wsss_ros.types import KINDS, BadInput

log = logging.getLogger("wsss_ros")

FIRST = "0000"
_FILES = ("image.safetensors", "cloud.safetensors")
_ABOUT = "about.json"


@dataclass(frozen=True)
class Version:
    """Two checkpoints that nobody writes to, named after the round that made them."""

    name: str
    image: Path
    cloud: Path
    about: dict


def make(folder: Path, name: str, image: Path, cloud: Path, about: dict) -> Version:
    """Copies of two checkpoints as ``folder/name``, there when they are whole and on disk; what is there is kept."""
    if not (folder / name).is_dir():
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
    return at(folder, name)


def at(folder: Path, name: str) -> Version:
    """The version of that name. Raises BadInput when it is not there or not whole."""
    own = folder / name
    try:
        about = read_json(own / _ABOUT)
        broken = [file for file, digest in about["files"].items() if _digest(own / file) != digest]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{own}: no whole version of weights ({error!r}); take another one") from error
    if broken:
        raise BadInput(f"{own}: {', '.join(broken)} changed since it was written; take another version")
    return Version(name, *(file_of(own, kind) for kind in KINDS), about)


class Versions:
    """The folder ``weights``: one folder a version, and ``current.json``, which says what is in use and was before.

    ``use`` and ``rollback`` swap ``current.json`` atomically. At most ``keep`` versions stay, and always the one in
    use and the one before it. For one process; others may ``make`` versions meanwhile.
    """

    def __init__(self, folder: Path, keep: int, image: Path, cloud: Path):
        """Opens the folder; an empty one begins with these checkpoints. Raises BadInput when no version is whole."""
        self.folder, self.keep = folder, keep
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".*"):
            _remove(leftover) if leftover.is_dir() else leftover.unlink()
        if not self._names():
            make(folder, FIRST, image, cloud, {"round": 0, "begun_with": [str(image), str(cloud)]})
        elif (folder / FIRST).is_dir() and not self._began_with(image, cloud):
            told = "%s began with other weights than %s and %s and goes on with its own; for these give another folder"
            log.warning(told, folder.parent, image, cloud)
        state = self._read()
        self._current, history = self._newest_whole(state["history"])
        self._state = {**state, "history": history}
        try:
            self._write(history, state["settled"])
        except OSError as error:  # no reason not to start
            log.warning("%s/current.json stays as it was: %s", folder, error)

    def _began_with(self, *files: Path) -> bool:
        try:
            digests = at(self.folder, FIRST).about["files"].values()
            return [_digest(file) for file in files] == list(digests)
        except (BadInput, OSError):  # damaged, or gone since
            return False

    def current(self) -> Version:
        return self._current

    @property
    def history(self) -> list[str]:
        """Versions in the order in which they came into use; the last one is in use."""
        return list(self._state["history"])

    def use(self, name: str, settled: int) -> None:
        """Promote a version by the decision of round ``settled``. Said again, that changes nothing.

        OSError: the disk does not take it, and nothing was changed.
        """
        if settled > self._state["settled"]:
            promoted = at(self.folder, name)
            self._write([*self.history, name], settled)
            self._current = promoted
            self._prune()

    def rollback(self) -> str:
        """Back to the version before that is still whole; returns its name. Raises BadInput where there is none.

        OSError: the disk does not take it, and nothing was changed.
        """
        before, history = self._current.name, self.history[:-1]
        if not history:
            raise BadInput(f"there is no version before {before}; nothing was changed")
        found, history = self._newest_whole(history)
        self._write(history, self._state["settled"])
        self._current = found
        return found.name

    def _newest_whole(self, history: list[str]) -> tuple[Version, list[str]]:
        """Of the history, and what is left of it: damaged versions drop out with a warning."""
        faults = []
        for count in range(len(history), 0, -1):
            try:
                return at(self.folder, history[count - 1]), history[:count]
            except BadInput as error:
                log.warning("%s; trying the version before", error)
                faults.append(str(error))
        told = f"{self.folder}: no version can be used: {'; '.join(faults)}"
        raise BadInput(f"{told}; move the folder away to begin anew")

    def _read(self) -> dict:
        try:
            state = read_json(self.folder / "current.json")
            return {"history": [str(name) for name in state["history"]], "settled": int(state["settled"])}
        except FileNotFoundError:
            return {"history": self._names(), "settled": 0}
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s/current.json cannot be read (%s); the newest whole version is taken", self.folder, error)
            return {"history": self._names(), "settled": 0}

    def _write(self, history: list[str], settled: int) -> None:
        state = {"version": history[-1], "history": history, "settled": settled}
        write_json(self.folder / "current.json", state, indent=None)
        self._state = state  # last: what the disk refuses is not so

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
    """Both checkpoints and what is known of them, synced and read-only."""
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
