"""Folders of small photographs with tags."""

from pathlib import Path

import numpy as np
from PIL import Image

TAGS = {
    "kitchen/a": ("wall, counter", "sink", "train"),
    "kitchen/b": ("wall, floor", "", "train"),
    "living/c": ("sofa", "wall, floor", "train"),
    "d": ("wall, sofa", "", "val"),
}


def size_of(index: int) -> tuple[int, int]:
    """Width and height of the photograph ``index``; each has its own."""
    return 60 + 4 * index, 40 + 8 * index


def write_photo(path: Path, index: int) -> None:
    """A photograph of one colour with a lighter left half."""
    width, height = size_of(index)
    rgb = np.full((height, width, 3), 20 * index, np.uint8)
    rgb[:, : width // 2] += 100
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, lossless=True)


def write_photos(folder: Path, suffixes: tuple[str, ...] = (".png", ".webp", ".PNG", ".png")) -> Path:
    """The folder with the photographs and the rows of ``TAGS``, split and unknown classes included."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (frame, suffix) in enumerate(zip(TAGS, suffixes, strict=True)):
        write_photo(folder / f"{frame}{suffix}", index)
    write_rows(folder, TAGS)
    return folder


def write_rows(folder: Path, rows: dict[str, tuple[str, str, str]]) -> None:
    """``tags.csv`` with these rows."""
    lines = [f'{frame},"{tags}","{unknown}",{split},someone' for frame, (tags, unknown, split) in rows.items()]
    (folder / "tags.csv").write_text("\n".join(["frame,tags,unknown,split,source", *lines]) + "\n")
