"""Atomic files and folders, which get their name only when they are complete; text, JSON; locks between processes."""

import codecs
import fcntl
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import yaml

_MOST_REPEATED = 100_000  # entries of a YAML text that are there by references alone
_PARTIAL = ".partial-"  # part of the names of hidden folders that are not complete


def replace(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Replace the file ``path`` atomically; missing folders are created.

    ``write`` writes into a hidden file next to ``path``. This file is renamed to ``path``, with mode 0644, when it is
    complete and on disk. When ``write`` raises or the disk is full (OSError), the old file is unchanged and the hidden
    file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by UTF-8 text, as ``replace`` does."""
    replace(path, lambda file: file.write(text.encode()))


def write_json(path: Path, content: Any, indent: int | None = 1) -> None:
    """Replace ``path`` by JSON, as ``replace`` does."""
    write_text(path, json.dumps(content, indent=indent))


def decode(data: bytes) -> str:
    """The text of a file in UTF-8 or UTF-16, with or without a byte order mark, else in Windows-1252 or Latin-1.

    Line ends become a single newline.
    """
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return _plain_ends(data.decode(encoding, "replace"))
    has_zeros = data[:1000].count(0) > len(data[:1000]) / 4
    guessed = [] if not has_zeros else ["utf-16-be" if data[0] == 0 else "utf-16-le"]
    for encoding in (*guessed, "utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            return _plain_ends(data.decode(encoding))
    return _plain_ends(data.decode("latin-1"))


def _plain_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises OSError, and ValueError when it is not JSON."""
    return parse_json(decode(path.read_bytes()))


def parse_json(text: str | bytes) -> Any:
    """The content of a JSON text. Raises ValueError, also for one that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_yaml(text: str) -> Any:
    """The content of a YAML text. Raises ValueError, also for one that is nested too deeply or refers to itself.

    A few lines with references can stand for billions of entries, which a message or a copy would write out: a text
    that stands for many more entries than it has is refused.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            sizes: dict[int, int] = {}
            if _entries(node, sizes) > _MOST_REPEATED + len(sizes):
                raise ValueError("its references stand for too many entries")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except (yaml.YAMLError, TypeError, OverflowError, AttributeError, KeyError, IndexError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _entries(node: yaml.Node, sizes: dict[int, int]) -> int:
    """The number of entries of a YAML node when references are written out; ``sizes`` has those of seen nodes."""
    if id(node) not in sizes:
        sizes[id(node)] = _MOST_REPEATED + (1 << 30)  # what a node inside itself counts
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = [each for part in parts for each in (part if isinstance(part, tuple) else (part,))]
        sizes[id(node)] = 1 + sum(_entries(each, sizes) for each in inner)
    return sizes[id(node)]


def finite(value: Any) -> Any:
    """A copy of ``value`` in which None replaces NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class PartialFolder:
    """A hidden folder next to ``path``. The caller writes into ``inner``; ``publish`` renames it to ``path``.

    Before ``publish``, ``path`` does not change. As a context manager it removes a folder that was not published.
    Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._outer = Path(tempfile.mkdtemp(prefix=f".{path.name}{_PARTIAL}", dir=path.parent))
        self.inner = self._outer / path.name  # a folder inside, because other users may not read mkdtemp's own
        try:
            self.inner.mkdir()
        except OSError:
            self.remove()
            raise

    def __enter__(self) -> "PartialFolder":
        return self

    def __exit__(self, *_) -> None:
        self.remove()

    def publish(self, on_disk: bool = False) -> None:
        """Rename the folder to ``path``.

        With ``on_disk``, wait first until every file is on the disk, so that a power cut never leaves a part of it.
        Raises OSError, also when ``path`` is a folder with content.
        """
        if on_disk:
            sync_all(self.inner)
        os.replace(self.inner, self.path)
        if on_disk:
            sync(self.path.parent)
        self.remove()

    def remove(self) -> None:
        """Delete the hidden folder, if it was not published."""
        shutil.rmtree(self._outer, ignore_errors=True)


def remove_partial_folders(folder: Path) -> list[str]:
    """Delete the partial folders that killed processes left in ``folder``; returns the names of their targets.

    Only safe while no other process writes into ``folder``.
    """
    left = sorted(folder.glob(f".*{_PARTIAL}*"))
    for partial in left:
        shutil.rmtree(partial, ignore_errors=True)
    return [partial.name[1:].partition(_PARTIAL)[0] for partial in left]


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(folder: Path) -> None:
    """Flush a folder and everything below it to the disk, several files in parallel."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sync, [*folder.rglob("*"), folder]))


def lock(path: Path, wait: bool = False, shared_by_forks: bool = True) -> TextIO:
    """Lock the file ``path``, which is created if it is missing, until the returned file is closed.

    If the lock is held elsewhere, this waits (with ``wait``) or raises OSError (without). A process that ends, for any
    reason, releases its locks. With ``shared_by_forks`` the lock belongs to the opened file: forked processes hold it,
    too, and one process cannot take it twice. Without it, the lock belongs to this process only: forked workers that
    end a little later do not hold it.
    """
    file = open(path, "w")  # noqa: SIM115  the caller closes it
    take = fcntl.flock if shared_by_forks else fcntl.lockf
    try:
        take(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        file.close()
        raise
    return file
