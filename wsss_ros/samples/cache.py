"""Folders of decoded data below a cache, each under a key of what it was decoded from.

A cache saves time, and nothing depends on it: what cannot be stored stays in memory, and what is damaged is rebuilt.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from wsss_ros.files import PartialFolder
from wsss_ros.scenes.numpy_files import write_npy
from wsss_ros.types import BadInput

_log = logging.getLogger("wsss_ros")
_reported: set[tuple[Path, int | None]] = set()  # caches that could not be written, and why


def key_of(*described: Any) -> str:
    """A key that changes with any of these JSON values."""
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]


def stats(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Path, size and time of change of each file, for a key."""
    return [(str(file.resolve()), stat.st_size, stat.st_mtime_ns) for file in files for stat in [file.stat()]]


def is_stored(place: Path | None) -> bool:
    """Whether the folder exists. A cache that this user may not look into has nothing."""
    try:
        return place is not None and place.is_dir()
    except OSError:
        return False


def arrays(
    place: Path | None, compute: Callable[[], dict[str, np.ndarray]], what: str, needed: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays that are stored in the folder ``place``, mapped from disk; else they are computed and stored there.

    Args:
        place: the folder; None: nothing is stored.
        compute: returns the arrays by name.
        what: names them in messages.
        needed: names without which stored arrays are not complete.

    Raises:
        BadInput: they cannot be stored, and there is too little memory to go on without the cache.
    """
    if place is None:
        return compute()
    if (stored := _read(place, what, needed)) is not None:
        return stored
    computed = compute()
    if store(place, lambda inner: _save(inner, computed), what, sum(array.nbytes for array in computed.values())):
        return _read(place, what, needed) or computed
    return computed


def store(place: Path, write: Callable[[Path], None], what: str, size: int) -> bool:
    """Let ``write`` fill the folder ``place``, atomically. If another process has stored it meanwhile, that is kept.

    Returns False, and logs the reason once for each cache, when it cannot be stored: then the caller keeps ``size``
    bytes in memory. Raises BadInput when there is too little memory for them.
    """
    try:
        with PartialFolder(place) as partial:
            write(partial.inner)
            if not is_stored(place):
                partial.publish()
        return True
    except OSError as error:
        if is_stored(place):
            return True
        free = _available_bytes()
        if free is not None and free < size:
            text = f"without it {size:,} more bytes of memory are needed, {free:,} are free; change data.cache"
            raise BadInput(f"{what} cannot be stored: {error}; {text}") from error
        if (place.parent, error.errno) not in _reported:
            _reported.add((place.parent, error.errno))
            _log.warning(
                "%s (%s bytes) cannot be stored: %s; the work goes on without this cache, with more memory, and the "
                "next run decodes again",
                what,
                f"{size:,}",
                error,
            )
        return False


def discard(place: Path, what: str, reason: object) -> None:
    """Log that a stored folder is damaged, and delete it as far as the disk allows that."""
    _log.warning("%s: damaged (%s); %s will be decoded again", place, reason, what)
    shutil.rmtree(place, ignore_errors=True)


def _read(place: Path, what: str, needed: Collection[str]) -> dict[str, np.ndarray] | None:
    """The stored arrays; None where there are none, or damaged ones."""
    if not is_stored(place):
        return None
    try:
        stored = {file.stem: np.load(file, mmap_mode="r") for file in sorted(place.glob("*.npy"))}
        if missing := set(needed) - stored.keys():
            raise ValueError(f"{', '.join(sorted(missing))} missing")
        return stored
    except (OSError, ValueError, EOFError) as error:
        discard(place, what, error)
        return None


def _save(folder: Path, computed: dict[str, np.ndarray]) -> None:
    for name, array in computed.items():
        write_npy(folder / f"{name}.npy", array)


def _available_bytes() -> int | None:
    """The memory that new arrays can take; None where it is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
