"""A single cloud file as a scene without frames."""

from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import LabelSpace, ids
from wsss_ros.scenes.cloud_files import CloudFile, open_cloud
from wsss_ros.scenes.reading import Reading, refuse_others
from wsss_ros.scenes.tags import tags_of_cloud
from wsss_ros.types import BadInput, Cloud, Frame


class CloudScene:
    """The cloud of a file (``cloud_files.open_cloud``), with labels if the file has them. Implements ``types.Scene``.

    ``reading`` says the unit, the columns of a file without names, and what numbers of labels mean (``labels.ids``).
    The name is that of the file without suffix. Up is z, unless the points clearly show another direction. Tags are
    those of the labels. The file is read at once. Raises BadInput as ``open_cloud`` does.
    """

    world_up: tuple[float, float, float] | None = None
    world_frame = "map"
    complete = True
    unknown: tuple[str, ...] = ()
    skipped: Counter[str] = Counter()

    def __init__(self, path: str | Path, labels: LabelSpace, reading: Reading | None = None) -> None:
        self.path, self.labels, self.reading = Path(path), labels, reading or Reading()
        self.folder, self.name, self.sources = self.path.parent, self.path.stem, (self.path,)
        why = "they are those of folders of frames; a cloud file has a unit"
        refuse_others(reading, ("unit", "columns", "label_ids"), self.path, why)
        self._file: CloudFile = open_cloud(self.path, self.reading.unit, self.reading.columns)

    @property
    def cloud(self) -> Cloud:
        """All points of the file, in its order."""
        return self._file.cloud

    def cloud_truth(self) -> UInt8[np.ndarray, "N"] | None:
        """Labels of the points, None for a file without. Raises BadInput where their meaning is not clear."""
        found = self._file.ids
        if found is None:
            return None
        return ids.choose(str(self.path), ids.count_ids(found), self.labels, self.reading.label_ids)(found)

    @cached_property
    def tags(self) -> tuple[str, ...] | None:
        """The classes of at least 0.05 % of the points; None without labels."""
        truth = self.cloud_truth()
        return None if truth is None else tags_of_cloud(truth, self.labels)

    def __len__(self) -> int:
        return 0

    def frame(self, index: int) -> Frame:
        """Raises BadInput: there are no frames."""
        raise BadInput(f"{self.path}: a cloud has no frames; expected a scene folder or a bag")

    def frame_truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """None: there are no frames."""
        return None

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        """None: there are no frames."""
        return None

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """None: there are no frames."""
        return ()
