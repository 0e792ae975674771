"""Files of bags in a form that rosbags reads: compressed files are unpacked, journals of SQLite are applied.

What is made is kept in a temporary folder of this process, so that a bag that is opened again is not unpacked again.
"""

import contextlib
import logging
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import lz4.frame

try:
    from compression import zstd
except ImportError:
    from backports import zstd

from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")

MCAP_MAGIC = b"\x89MCAP0\r\n"
SQLITE_MAGIC = b"SQLite format 3\0"
ZSTD_MAGIC, LZ4_MAGIC = b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
PACKED = (".zstd", ".zst", ".lz4")  # suffixes of compressed files; the magic decides
_SUFFIX = {MCAP_MAGIC: ".mcap", SQLITE_MAGIC: ".db3"}
_COPY = 1 << 20
_folder: tempfile.TemporaryDirectory | None = None


def magic(path: Path) -> bytes:
    """The first bytes of a file. Raises BadInput for a file that cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(16)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error})") from error


def readable(path: Path) -> Path:
    """The path of a file that rosbags can read: ``path`` itself, or a copy or a link in a temporary folder.

    Raises BadInput for a file that cannot be read, and where the temporary folder has no room.
    """
    state = path.stat()
    return _readable(path, state.st_mtime_ns, state.st_size)


def message(data: bytes | memoryview) -> bytes | memoryview:
    """A serialised message; one that the recorder has compressed is unpacked. CDR never starts as these do.

    Raises BadInput where it cannot be unpacked.
    """
    start = bytes(data[:4])
    try:
        if start == ZSTD_MAGIC:
            return zstd.decompress(data)
        return lz4.frame.decompress(data) if start == LZ4_MAGIC else data
    except (zstd.ZstdError, RuntimeError, EOFError) as error:
        raise BadInput(f"a compressed message is damaged ({error})") from error


def clear() -> None:
    """Remove the temporary folder, where Python's exit handlers do not run."""
    global _folder
    _readable.cache_clear()
    if _folder is not None:
        _folder.cleanup()
        _folder = None


@lru_cache(maxsize=256)
def _readable(path: Path, changed_ns: int, size: int) -> Path:
    start = magic(path)
    if start[:4] in (ZSTD_MAGIC, LZ4_MAGIC):
        path = _unpacked(path, start[:4])
        start = magic(path)
    if start == SQLITE_MAGIC and (wal := Path(f"{path}-wal")).exists() and wal.stat().st_size:
        return _with_journal(path, wal)
    suffix = next((known for kind, known in _SUFFIX.items() if start.startswith(kind)), path.suffix)
    # rosbags goes by the suffix, and puts the path of SQLite into a URI as it is.
    if path.suffix == suffix and not (suffix == ".db3" and re.search("[?#%]", str(path))):
        return path
    link = _place(f"linked{suffix}")
    link.symlink_to(path.absolute())
    return link


def _unpacked(path: Path, start: bytes) -> Path:
    """The unpacked file; of one that is cut off, what can be unpacked."""
    target = _place(path.name.removesuffix(path.suffix) if path.suffix in PACKED else path.name)
    log.info("%s: unpacking to %s", path, target)
    make = zstd.ZstdDecompressor if start == ZSTD_MAGIC else lz4.frame.LZ4FrameDecompressor
    try:
        with open(path, "rb") as source, open(target, "wb") as file:
            file.writelines(_decompressed(source, make))
    except OSError as error:
        raise _no_room(path, error) from error
    return target


def _decompressed(source: BinaryIO, make: Callable[[], Any]) -> Iterator[bytes]:
    """The content of all frames of a file, as far as it is there."""
    stream = make()
    while block := source.read(_COPY):
        while block:
            try:
                yield stream.decompress(block)
            except (zstd.ZstdError, RuntimeError, EOFError):  # damaged
                return
            block = stream.unused_data if stream.eof else b""
            stream = make() if stream.eof else stream


def whole_pages(path: Path) -> Path:
    """A SQLite file that ends with a complete page: SQLite reads the rest of the last page as zeros."""
    with open(path, "rb") as file:
        page = int.from_bytes(file.read(18)[16:18], "big")  # 0 in a file that ends before
    page = 65_536 if page == 1 else page  # by the format of SQLite
    size = path.stat().st_size
    if not page or size % page == 0:
        return path
    target = _place(path.name)
    try:
        shutil.copyfile(path, target)
        os.truncate(target, size - size % page)
    except OSError as error:
        raise _no_room(path, error) from error
    return target


def _with_journal(path: Path, wal: Path) -> Path:
    """A copy of a SQLite file with the last messages, which its recorder has left in the journal."""
    target = _place(path.name.removesuffix(path.suffix) + ".db3")
    log.info("%s: the messages of its journal %s are read, too", path, wal.name)
    try:
        shutil.copyfile(path, target)
        shutil.copyfile(wal, f"{target}-wal")
    except OSError as error:
        raise _no_room(path, error) from error
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(target)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode=DELETE")
    return target


def _place(name: str) -> Path:
    """A path for a new file, in a folder of its own."""
    global _folder
    if _folder is None:
        _folder = tempfile.TemporaryDirectory(prefix="wsss_ros_bag_")
    return Path(tempfile.mkdtemp(dir=_folder.name)) / re.sub("[?#%]", "_", name)


def _no_room(path: Path, error: OSError) -> BadInput:
    return BadInput(f"{path}: cannot be unpacked to {tempfile.gettempdir()} ({error}); make room there, or set TMPDIR")


def uri(path: Path) -> str:
    """A SQLite file that is opened to read only, as it is."""
    return f"file:{quote(str(path))}?mode=ro&immutable=1"
