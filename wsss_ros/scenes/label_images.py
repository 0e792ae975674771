"""Label images of a folder: class ids of 8 or 16 bits, palettes, or colours of the classes, as labels."""

from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from wsss_ros.files import files_below
from wsss_ros.labels import LabelSpace, ids
from wsss_ros.scenes.frame_choice import spread_over
from wsss_ros.scenes.images import decoding, open_image, read_bytes
from wsss_ros.scenes.numpy_files import read_npy
from wsss_ros.types import BadInput

SUFFIXES = (".png", ".npy", ".tif", ".tiff", ".bmp")
_NO_CLASS = ((0, 0, 0), (255, 255, 255), None)  # colours of unlabelled pixels
_COUNTED = 200  # images from which the reading of a folder is found


class LabelImages:
    """The label images below a folder, by their path without suffix.

    ``label_ids`` is what their numbers mean (``labels.ids.LabelIds``). It is checked on the numbers of up to 200 images
    when the first one is read. Images of three channels are colours of classes whatever it says; images with a palette
    are its indices, and colours with ``color``. Unlabelled are -1, 255, 65535 and, except for ``index``, 0.
    """

    def __init__(self, folder: Path, labels: LabelSpace, label_ids: str = "dataset") -> None:
        self.folder, self.labels, self.label_ids = folder, labels, label_ids

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files by their path below the folder, without suffix. Raises BadInput for two files of one name."""
        found: dict[str, Path] = {}
        for path in files_below(self.folder):
            if path.suffix.lower() in SUFFIXES:
                name = path.relative_to(self.folder).with_suffix("").as_posix()
                if name in found:
                    raise BadInput(f"{path}: another label image is {found[name].name}; keep one of them")
                found[name] = path
        return found

    def read(self, name: str) -> UInt8[np.ndarray, "H W"] | None:
        """The labels of the pixels of an image, None without a file. Raises BadInput naming a broken file."""
        path = self.files.get(name)
        if path is None:
            return None
        found = read_label_image(path, self.label_ids == "color")
        if found.ndim == 3:
            return ids.of_colors(str(path), found, self.labels)
        if self.label_ids in ("dataset", "auto"):
            self._check_palette(path, found)
        return self._reading(found)

    def _check_palette(self, path: Path, found: Int64[np.ndarray, "H W"]) -> None:
        """Raise BadInput where the palette has the colours of the classes, and they are not those of the indices."""
        palette = _palette(path)
        if palette is None:
            return
        counts = ids.count_ids(found)
        of_color = {color: label for label, color in enumerate(self.labels.colors)}
        named = {index: of_color.get(palette.get(index, (0, 0, 0))) for index in counts}
        said = {index: label for index, label in named.items() if label is not None}
        strange = [i for i, label in named.items() if label is None and palette.get(i) not in _NO_CLASS]
        if said and not strange and any(self._reading.table.get(index) != label for index, label in said.items()):
            total, names = sum(counts.values()), self.labels.names
            colors = ", ".join(f"{names[label]} {counts[index] / total:.0%}" for index, label in said.items())
            raise BadInput(
                f"{path}: its palette has the colours of the classes: {colors}; its numbers mean other classes: "
                f"{self._reading.described(counts)}. "
                f"Say which: --label-ids color, or one of {', '.join(ids.READINGS[1:])}"
            )

    def check(self) -> None:
        """Find what the numbers mean, if there are label images. Raises BadInput where that is not clear."""
        if self.files:
            self._reading  # noqa: B018  found once

    @cached_property
    def _reading(self) -> ids.IdReading:
        counts: Counter[int] = Counter()
        for path in spread_over(list(self.files.values()), _COUNTED):
            found = read_label_image(path, self.label_ids == "color")
            if found.ndim == 2:
                counts.update(ids.count_ids(found))
        return ids.choose(str(self.folder), counts, self.labels, self.label_ids)


def _palette(path: Path) -> dict[int, tuple[int, int, int]] | None:
    """The colour of each index, or None for an image without palette."""
    if path.suffix.lower() == ".npy":
        return None
    with Image.open(path) as image:
        values = image.getpalette() if image.mode == "P" else None
    return None if values is None else {i: tuple(values[3 * i : 3 * i + 3]) for i in range(len(values) // 3)}


def read_label_image(path: Path, colors: bool = False) -> Int64[np.ndarray, "H W"] | UInt8[np.ndarray, "H W 3"]:
    """The numbers of a label image, or its colours if it has three channels, or with ``colors`` a palette.

    Raises BadInput naming the file when it cannot be read.
    """
    pixels = read_npy(path).squeeze() if path.suffix.lower() == ".npy" else _pixels(path, colors)
    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8:
        return pixels
    whole = pixels.dtype.kind in "biu" or (pixels.dtype.kind == "f" and bool((pixels == np.round(pixels)).all()))
    if pixels.ndim != 2 or not whole:
        raise BadInput(f"{path}: {pixels.dtype} of shape {pixels.shape}; expected one whole number or colour a pixel")
    return pixels.astype(np.int64)


def _pixels(path: Path, colors: bool) -> np.ndarray:
    data = read_bytes(path, "a label image")
    with decoding(path, data, "a complete label image"):
        image: Image.Image = open_image(data)
        if image.mode == "P" and colors or image.mode in ("RGBA", "CMYK", "PA"):
            image = image.convert("RGB")
        return np.asarray(image.getchannel("L") if image.mode == "LA" else image)
