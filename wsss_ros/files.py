"""Atomic files and folders, which get their name only when they are complete; text, JSON; locks between processes."""

import codecs
import errno
import fcntl
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import yaml

from wsss_ros.types import BadInput

_MOST_REPEATED = 100_000  # entries of a YAML text that are there by references alone
_PARTIAL = ".partial-"  # part of the names of hidden folders that are not complete
_NOTHING = "nothing of it is left"


class NotWritten(OSError):
    """A file or folder could not be written. The text names it, the cause, what was needed and what was kept."""

    def __str__(self) -> str:
        return str(self.strerror)


_CAUSES = {  # what to do, by the number of the error
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space there or give another path"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "give a path that this user may write to"),
    errno.EFBIG: "raise the limit of the size of a file (ulimit -f) or give another file system",
    errno.EIO: "the disk or its connection fails: give another path",
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.EISDIR), "a file is where a folder should be, or the reverse"),
    errno.ENOENT: "its folder is missing or was removed",
}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_WRITING = (*_FULL, errno.EROFS, errno.EFBIG, errno.EIO)


def not_written(path: Path, error: OSError, kept: str = "", written: int = 0, size: int | None = None) -> NotWritten:
    """The error of a file or folder that was not written.

    Args:
        path: of the file or folder.
        error: of the system.
        kept: what is still there.
        written: bytes that the disk took before it was full.
        size: bytes of the complete file, if they are known.
    """
    number = error.errno or 0
    reason = os.strerror(number) if number else str(error)
    if number in _FULL:
        free = free_bytes(path) if number == errno.ENOSPC else None  # quotas are not in it
        needed = f"{size:,}" if size else f"more than {written:,}" if written else ""
        sizes = [f"{needed} bytes are needed" if needed else "", "" if free is None else f"{free:,} bytes are free"]
        reason += f": {', '.join(filter(None, sizes))}" if any(sizes) else ""
    elif error.filename and str(path) not in str(error.filename) and _PARTIAL not in str(error.filename):
        reason += f": {error.filename}"
    parts = [f"{path}: cannot be written ({reason})", _CAUSES.get(number, ""), kept]
    return NotWritten(number, "; ".join(part for part in parts if part))


def plain_error(error: OSError) -> str:
    """The text of an error of the system: the path, the reason, and what to do."""
    if isinstance(error, NotWritten) or error.errno is None:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    hint = _CAUSES.get(error.errno, "") if error.errno in _OF_WRITING else ""
    return f"{where}{error.strerror}{'; ' if hint else ''}{hint}"


def free_bytes(path: Path) -> int | None:
    """The bytes that this user can still write to the file system of ``path``; None where it is not known."""
    for folder in (path, *path.absolute().parents):
        with suppress(OSError):
            state = os.statvfs(folder)
            return state.f_bavail * state.f_frsize
    return None


def size_of(folder: Path) -> int:
    """The bytes of all files below a folder."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += file.lstat().st_size if file.is_file() else 0
    return total


def expanded(path: str | Path) -> Path:
    """``path`` with the home in place of ``~``. Raises BadInput for a user without a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise BadInput(f"{path}: this user has no home ({error}); set HOME, or give a path without ~") from error


def writable_folder(path: Path) -> Path:
    """Create the folder, if it is missing; returns it. Raises NotWritten, an OSError, when it takes no file."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(path, error) from error
    check_writable(path)
    return path


def check_writable(folder: Path) -> None:
    """Ask, before long work, whether its results can go into the folder, which is not created if it is missing.

    Raises NotWritten, an OSError, when no file can be created there.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=there, prefix=".", suffix=".partial") as file:
            file.write(b"0")
    except OSError as error:
        raise not_written(folder, error) from error


def replace(path: Path, write: Callable[[BinaryIO], Any], size: int | None = None) -> None:
    """Replace the file ``path`` atomically; missing folders are created.

    ``write`` writes into a hidden file next to ``path``. This file is renamed to ``path``, with mode 0644, when it is
    complete and on disk. A link to a file stays one: its target is replaced. Devices and pipes are written to, and so
    are files of a ``PartialFolder``, which appear together. When ``write`` raises or the disk is full, the old file is
    unchanged and the hidden file is removed.

    ``size`` is the number of bytes that will be written, if it is known. Raises NotWritten, an OSError.
    """
    path = Path(path)
    kept, written = _NOTHING, 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_written_in_place(path):
            with open(path, "wb") as file:
                write(file)
            return
        target = Path(os.path.realpath(path))
        kept = "the previous file is unchanged" if target.exists() else kept
        handle, partial = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            with suppress(PermissionError):  # on file systems without modes
                os.chmod(partial, 0o644)
            os.replace(partial, target)
        except BaseException:
            with suppress(OSError):
                written = os.path.getsize(partial)
                os.unlink(partial)
            raise
    except OSError as error:
        raise not_written(path, error, kept, written, size) from error


def _is_written_in_place(path: Path) -> bool:
    is_special = path.exists() and not path.is_file() and not path.is_dir()
    return is_special or any(_PARTIAL in part for part in path.parts)


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by UTF-8 text, as ``replace`` does; names of files that are not UTF-8 keep their bytes."""
    data = text.encode(errors="surrogateescape")
    replace(path, lambda file: file.write(data), len(data))


def write_json(path: Path, content: Any, indent: int | None = 1) -> None:
    """Replace ``path`` by JSON, as ``replace`` does."""
    write_text(path, json.dumps(content, indent=indent))


def visible(path: Path) -> bool:
    """Whether a name is that of a file or folder of a person: not hidden, and not one that an operating system adds.

    macOS adds ``._NAME`` and ``__MACOSX``, network disks ``@eaDir``.
    """
    return not path.name.startswith(".") and path.name not in ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")


def files_below(folder: Path) -> list[Path]:
    """The visible files below a folder, sorted. Links to folders are followed, unless they lead to one around them."""
    found: list[Path] = []
    entered = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        inside = Path(place)
        entered.add(os.path.realpath(place))
        folders[:] = [
            name for name in folders if visible(Path(name)) and os.path.realpath(inside / name) not in entered
        ]
        found += [path for name in names if visible(path := inside / name) and path.is_file()]
    return sorted(found)


def is_unicode(data: bytes) -> bool:
    """Whether ``decode`` reads the text of a file as Unicode, and not by a guess of its encoding."""
    try:
        data.decode()
        return True
    except UnicodeDecodeError:
        return data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or data[:1000].count(0) > len(data[:1000]) / 4


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
        tab = next((at for at, line in enumerate(text.splitlines(), 1) if re.match(r" *\t", line)), None)
        hint = "" if tab is None else f"; line {tab} begins with a tab: YAML takes spaces there"
        raise ValueError(" ".join(str(error).split()) + hint) from error


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

    Before ``publish``, ``path`` does not change. As a context manager it removes a folder that was not published, and
    an error of the disk names ``path``. Raises NotWritten, an OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._outer = Path(tempfile.mkdtemp(prefix=f".{path.name}{_PARTIAL}", dir=path.parent))
            self.inner = self._outer / path.name  # a folder inside, because other users may not read mkdtemp's own
            try:
                self.inner.mkdir()
            except OSError:
                self.remove()
                raise
        except OSError as error:
            raise not_written(path, error) from error

    def __enter__(self) -> "PartialFolder":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        failure = self.failure(error) if isinstance(error, OSError) else None
        self.remove()
        if failure is not None:
            raise failure from error

    def failure(self, error: OSError) -> NotWritten | None:
        """The error that names ``path``; None for an error that is not about writing this folder, but some input."""
        is_ours = str(self._outer) in f"{error.filename} {error}" or error.filename is None
        if not is_ours:
            return None
        return not_written(self.path, error, _NOTHING, size_of(self._outer))

    def publish(self) -> None:
        """Rename the folder to ``path``, when every file is on the disk: a power cut never leaves a part of it.

        Raises OSError, also when ``path`` is a folder with content.
        """
        sync_all(self.inner)
        os.replace(self.inner, self.path)
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

    If the lock is held elsewhere, this waits (with ``wait``) or raises BlockingIOError (without). A process that ends,
    for any reason, releases its locks. With ``shared_by_forks`` the lock belongs to the opened file: forked processes
    hold it, too, and one process cannot take it twice. Without it, the lock belongs to this process only: forked
    workers that end a little later do not hold it. Raises NotWritten, an OSError, where the disk has no locks.
    """
    file = None
    try:
        file = open(path, "w")  # noqa: SIM115  the caller closes it
        take = fcntl.flock if shared_by_forks else fcntl.lockf
        take(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return file
    except BaseException as error:
        if file is not None:
            file.close()
        if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
            raise not_written(path, error) from error
        raise
