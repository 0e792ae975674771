"""Label images of any model with depth, camera and pose; and what their ids mean."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Integer, UInt8

from wsss_ros.bags import codec
from wsss_ros.fusion.label_table import LabelTable, classes_of, parse_names, table_of
from wsss_ros.fusion.scan_labels import fitted
from wsss_ros.labels import LabelSpace
from wsss_ros.nodes.health import OK
from wsss_ros.nodes.label_info import LabelInfo, subscribe_label_info
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.view_inputs import View
from wsss_ros.types import Camera, few_of


@dataclass(frozen=True)
class PosedIds:
    """A label image with its ids, and the depth, camera and pose of its pixels."""

    ids: Integer[np.ndarray, "H W"]
    depth_m: Float32[np.ndarray, "H W"]
    camera: Camera
    world_from_camera: Float64[np.ndarray, "4 4"]
    stamp_ns: int


class LabelView(View):
    """A label image and its companions. Its size may be another one than that of the camera, in equal proportions."""

    def content(self) -> PosedIds:
        """The ids with depth, camera and pose. Raises BadInput for images that cannot be read or do not fit."""
        ids = self.ids()
        camera, depth_m = self.registered((ids.shape[1], ids.shape[0]))
        return PosedIds(ids, depth_m, camera, self.companions.pose.world_from_camera, self.stamp_ns)

    def ids(self) -> Integer[np.ndarray, "H W"]:
        """The ids at the size of the camera. Raises BadInput for an encoding without ids."""
        return fitted(codec.image_to_ids(self.message), *self.companions.optics.color.picture_size)


class LabelNames:
    """What the ids of the label images mean: the parameter ``label_names``, else ``label_info``, else ``label_space``.

    ``labels`` is called on the worker; the names may change at any time on the executor's thread.
    """

    def __init__(self, node: Node, label_names: str, space: LabelSpace) -> None:
        """Raises BadInput for ``label_names`` that cannot be read."""
        self._node, self._space = node, space
        self._given = parse_names(label_names) if label_names.strip() else None
        self._of_space = dict(enumerate(space.names))
        self._names = self._given or self._of_space
        self.source = "label_names" if self._given else f"label_space {space.name}"
        self._table: tuple[dict[int, str], LabelTable] | None = None  # and the names that it was made of
        self._is_source_known = self._given is not None
        classes_of(self._names)

    def start(self) -> None:
        """Subscribe to ``label_info``, until the node is deactivated."""
        if self._given is None:
            subscribe_label_info(self._node, self.take)

    def take(self, names: dict[int, str]) -> None:
        """Take the names of a ``label_info``. Raises BadInput where they cannot be classes; the previous ones stay."""
        classes_of(names)
        table_of(names, ())
        if names != self._names or self.source != "label_info":
            self._names, self.source, self._is_source_known = names, "label_info", True

    @property
    def assumed(self) -> bool:
        """Whether nothing but the label space says what the ids mean."""
        return self._names is self._of_space

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the names stand for."""
        return classes_of(self._names)

    def labels(self, ids: Integer[np.ndarray, "H W"], classes: tuple[str, ...]) -> UInt8[np.ndarray, "H W"]:
        """The labels of an image, of the classes of the map. What is odd about its ids is reported."""
        self._report_source()
        table = self._table_for(classes)
        labels = table.labels(ids)
        if unknown := table.unknown(ids, labels):
            self._node.health.drop("label ids without a name")
            text = (
                f"label ids: {few_of(unknown)} have no name in {self.source} ({len(self._names)} names); their pixels "
                "do not vote; set label_names, or let the model publish label_info"
            )
            self._node.report_problem("label ids", text)
        return labels

    def _table_for(self, classes: tuple[str, ...]) -> LabelTable:
        names = self._names  # another thread may replace them while the table is made
        if self._table is None or self._table[0] is not names or self._table[1].classes != classes:
            self._table = names, table_of(names, classes)
            self._report_foreign(self._table[1])
        return self._table[1]

    def _report_source(self) -> None:
        if self._is_source_known:
            return
        self._is_source_known = True
        missing = "" if LabelInfo is not None else " (vision_msgs is not installed)"
        text = (
            f"no label_info{missing}: the ids of the label images are read as classes of '{self._space.name}'; for "
            "another model set label_names"
        )
        self._node.report_problem("no label_info", text, OK)

    def _report_foreign(self, table: LabelTable) -> None:
        if table.foreign:
            text = (
                f"classes: the map does not have {few_of(table.foreign)}, which {self.source} names; their pixels are "
                "unlabelled; ~/reset starts a map with these classes"
            )
            self._node.report_problem("classes", text)
