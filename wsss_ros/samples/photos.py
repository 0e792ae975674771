"""Photographs prepared for training: decoded once into one file on disk, which every run, worker and process maps."""

import io
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from wsss_ros.files import read_json, write_json
from wsss_ros.labels import LabelSpace
from wsss_ros.samples import cache as caches
from wsss_ros.samples.prepared import shrunk
from wsss_ros.types import BadInput, Photos

_FORMAT = 2  # version of the stored files; a new version rebuilds older folders
_PIXELS, _INDEX = "pixels.u8", "index.json"  # the pictures one after the other; their sizes and the faults of others
_WHAT = "the photographs"
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class PreparedPhotos:
    """Tagged photographs, each at its own size; their pixels are mapped from disk.

    ``sizes`` are height and width, ``starts`` the places of the first values in ``pixels``. ``image_tags`` and
    ``image_known`` are multi-hot; a class with 0 in ``image_known`` could not be judged. ``squeezed`` photographs have
    lost their aspect ratio.
    """

    name: str
    names: tuple[str, ...]
    image_tags: Float32[np.ndarray, "F C"]
    image_known: Float32[np.ndarray, "F C"]
    squeezed: Bool[np.ndarray, "F"]
    sizes: Int64[np.ndarray, "F 2"]
    starts: Int64[np.ndarray, "F"]
    pixels: UInt8[np.ndarray, "N"]

    def __len__(self) -> int:
        return len(self.names)

    def image(self, frame: int) -> UInt8[np.ndarray, "3 h w"]:
        """A photograph."""
        height, width = self.sizes[frame]
        start = self.starts[frame]
        return self.pixels[start : start + 3 * height * width].reshape(3, height, width)

    def image_name(self, frame: int) -> str:
        """The name of a photograph in messages."""
        return self.names[frame]

    def is_squeezed(self, frame: int) -> bool:
        """Whether a photograph has lost its aspect ratio."""
        return bool(self.squeezed[frame])


def prepare_photos(
    photos: Photos,
    labels: LabelSpace,
    cache: str | Path,
    long_side: int = 512,
    squeezed: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[PreparedPhotos, list[tuple[str, str]]]:
    """Decode every photograph once, at most ``long_side`` pixels long; returns them, and (name, reason) of the others.

    The pixels are stored below ``cache``, under a key of the files and ``long_side``; a second call maps them.
    ``squeezed`` is a pattern for the names of photographs that have lost their aspect ratio; empty for none.
    ``progress(done, total)`` is called after every photograph. Raises BadInput when no photograph can be decoded.
    """
    place = Path(cache) / f"{photos.name}-{caches.key_of(_FORMAT, long_side, caches.stats(photos.files))}"
    stored, pixels = _read(place) or _decoded(place, photos, long_side, progress or (lambda done, total: None))
    left_out = [(photos.names[index], reason) for index, reason in stored["faults"]]
    for name, reason in left_out:
        _log.warning("photograph '%s' is left out: %s", name, reason)
    frames, sizes = stored["frames"], np.array(stored["sizes"], np.int64).reshape(-1, 2)
    if not frames:
        raise BadInput(f"{photos.name}: none of {len(photos)} photographs can be decoded; the first: {left_out[0][1]}")
    unknown = np.stack([labels.multi_hot(photos.image_unknown(index)) for index in frames])
    names = tuple(photos.names[index] for index in frames)
    counts = 3 * sizes.prod(axis=1)
    ready = PreparedPhotos(
        photos.name,
        names,
        np.stack([labels.multi_hot(photos.image_tags(index)) for index in frames]),
        1 - unknown,
        np.array([bool(squeezed) and fnmatchcase(name, squeezed) for name in names]),
        sizes,
        np.cumsum(counts) - counts,
        pixels,
    )
    return ready, left_out


def _read(place: Path) -> tuple[dict[str, Any], UInt8[np.ndarray, "N"]] | None:
    """The index and the pixels that are stored; None where there are none, or damaged ones."""
    if not caches.is_stored(place):
        return None
    try:
        stored = read_json(place / _INDEX)
        size = (place / _PIXELS).stat().st_size
        expected = sum(3 * height * width for height, width in stored["sizes"])
        if size != expected:
            raise ValueError(f"{size:,} bytes of pixels, expected {expected:,}")
        return stored, np.memmap(place / _PIXELS, np.uint8, mode="r") if size else np.zeros(0, np.uint8)
    except (OSError, ValueError, KeyError, TypeError) as error:
        caches.discard(place, _WHAT, error)
        return None


def _decoded(
    place: Path, photos: Photos, long_side: int, progress: Callable[[int, int], None]
) -> tuple[dict[str, Any], UInt8[np.ndarray, "N"]]:
    """Decode and store the photographs; without a cache they are decoded into memory."""

    def write(folder: Path) -> None:
        with open(folder / _PIXELS, "wb") as file:
            index = _decode(file.write, photos, long_side, progress)
        write_json(folder / _INDEX, index, indent=None)

    if caches.store(place, write, _WHAT, len(photos) * 3 * long_side**2) and (stored := _read(place)):
        return stored
    memory = io.BytesIO()
    return _decode(memory.write, photos, long_side, progress), np.frombuffer(memory.getbuffer(), np.uint8)


def _decode(
    write: Callable[[bytes], object], photos: Photos, long_side: int, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Write the pixels of all photographs; returns their index."""
    frames: list[int] = []
    sizes: list[tuple[int, int]] = []
    faults: list[tuple[int, str]] = []

    def decode(index: int) -> np.ndarray | str:
        try:
            return shrunk(photos.rgb(index), long_side).numpy()
        except BadInput as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for index, picture in enumerate(pool.map(decode, range(len(photos)))):
            if isinstance(picture, str):
                faults.append((index, picture))
            else:
                write(picture.tobytes())
                frames.append(index)
                sizes.append(picture.shape[1:])
            progress(index + 1, len(photos))
    return {"frames": frames, "sizes": sizes, "faults": faults}
