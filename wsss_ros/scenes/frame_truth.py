"""True labels of posed frames: a folder of label images next to the colour images."""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.frame_match import check_shift
from wsss_ros.scenes.frame_names import read_series
from wsss_ros.scenes.label_images import LabelImages
from wsss_ros.types import BadInput

FOLDERS = ("label", "labels", "semantic", "semantics", "semantic_class")
_KIND = re.compile(r"[._-](labels?|semantics?|gt)$")  # at the end of a name: what the file is, not which one
_log = logging.getLogger("wsss_ros")


class FrameTruth:
    """The label images in one of ``FOLDERS`` in a scene folder, by the names of the frames.

    A label image has the name of the colour image, as ``rgb/12.jpg`` and ``label/12.png``, or the same number or time
    in its name, as ``rgb_12.jpg`` and ``semantic_class_12.png``. ``label_ids`` is that of ``LabelImages``. Raises
    BadInput for label images in two folders.
    """

    def __init__(self, folder: Path, frames: Sequence[str], labels: LabelSpace, label_ids: str = "dataset") -> None:
        found = [images for name in FOLDERS if (images := LabelImages(folder / name, labels, label_ids)).files]
        if len(found) > 1:
            names = " and ".join(f"{images.folder.name}/" for images in found)
            raise BadInput(f"{folder}: label images in {names}; expected those of the frames in one folder")
        self._frames, self._images = frames, found[0] if found else None

    def read(self, frame: str) -> UInt8[np.ndarray, "H W"] | None:
        """The labels of a frame, None without a label image. Raises BadInput naming a broken file."""
        name = self._names.get(frame)
        return None if name is None or self._images is None else self._images.read(name)

    def file(self, frame: str) -> Path | None:
        """The label image of a frame, or None."""
        name = self._names.get(frame)
        return None if name is None or self._images is None else self._images.files[name]

    @cached_property
    def _names(self) -> dict[str, str]:
        """The names in ``LabelImages`` by frame. A warning says how many label images belong to no frame.

        Raises BadInput for numbers that are shifted against those of the frames.
        """
        if self._images is None:
            return {}
        files = self._images.files
        found = _by_name(self._frames, files) or _by_number(self._frames, files)
        if left := sorted(files.keys() - found.values()):
            expected = "" if found else f"; expected the names of the colour images, such as {self._frames[0]}.png"
            _log.warning(
                "%s: %d of %d label images belong to no frame that can be used, such as %s%s",
                *(self._images.folder, len(left), len(files), files[left[0]].name, expected),
            )
        return found


def _by_name(frames: Sequence[str], files: Mapping[str, Path]) -> dict[str, str]:
    """The label images with the names of frames. A name that occurs twice belongs to no frame."""
    names = {name: _KIND.sub("", name.rpartition("/")[2]) for name in files}
    counts, once = Counter(names.values()), {frame for frame, count in Counter(frames).items() if count == 1}
    return {short: name for name, short in names.items() if short in once and counts[short] == 1}


def _by_number(frames: Sequence[str], files: Mapping[str, Path]) -> dict[str, str]:
    """The label images with the numbers or times of frames. Raises BadInput for numbers that are shifted."""
    by_path = {path: name for name, path in files.items()}
    try:
        of_frames, of_labels = read_series(map(Path, frames), "colour"), read_series(by_path, "label")
    except BadInput:  # several series, whose numbers say nothing
        return {}
    if of_frames.is_time != of_labels.is_time:
        return {}
    check_shift(of_frames, of_labels)
    both = of_frames.files.keys() & of_labels.files.keys()
    return {of_frames.files[key].name: by_path[of_labels.files[key]] for key in both}
