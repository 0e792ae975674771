"""Folders of decoded data below a cache, each under a key of what it was decoded from."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from wsss_ros.files import PartialFolder
from wsss_ros.types import BadInput


def key_of(*described: Any) -> str:
    """A key that changes with any of these JSON values."""
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]


def stats(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Path, size and time of change of each file, for a key."""
    return [(str(file.resolve()), stat.st_size, stat.st_mtime_ns) for file in files for stat in [file.stat()]]


def store(place: Path, write: Callable[[Path], None], what: str) -> None:
    """Let ``write`` fill the folder ``place``, atomically. If another process has stored it meanwhile, that is kept.

    Raises BadInput, which names ``what``, when it cannot be stored.
    """
    try:
        with PartialFolder(place) as partial:
            write(partial.inner)
            if not place.is_dir():
                partial.publish()
    except OSError as error:
        if not place.is_dir():
            raise BadInput(f"{place}: {what} cannot be stored: {error}; change data.cache") from error
