"""The class names on latched topics: as LabelInfo, where vision_msgs is installed, and next to a cloud also as text.

The names of the labels of a cloud on the topic ``NAME`` are on ``NAME/label_info`` and ``NAME/label_names``. The second
one is a std_msgs/String with JSON, such as ``{"0": "wall", "1": "floor"}``, which needs no further package.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8
from std_msgs.msg import String

from wsss_ros.bags import codec
from wsss_ros.bags.bag_labels import LABEL_NAMES, names_as_text, names_of, names_of_text
from wsss_ros.fusion.label_table import LabelTable, table_of
from wsss_ros.labels import LabelSpace
from wsss_ros.nodes.health import OK
from wsss_ros.nodes.qos import MAP
from wsss_ros.types import few_of

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:  # the PyPI wheels of ROS have no vision_msgs
    LabelInfo = VisionClass = None


class LabelInfoTopic:
    """The names of the classes on latched topics, by label; as LabelInfo only where vision_msgs is installed.

    ``cloud`` is the resolved topic of a cloud with these labels. Without one, the only topic is ``label_info``.
    """

    def __init__(self, node: Any, cloud: str = "") -> None:
        # Not lifecycle publishers: the names are valid from configure on.
        self._node, topic = node, f"{cloud}/label_info" if cloud else "label_info"
        self._info = None if LabelInfo is None else node.create_publisher(LabelInfo, topic, MAP)
        self._text = node.create_publisher(String, f"{cloud}/{LABEL_NAMES}", MAP) if cloud else None

    def publish(self, labels: LabelSpace) -> None:
        """Publish these classes in place of those before."""
        if self._info is not None:
            classes = [VisionClass(class_id=index, class_name=name) for index, name in enumerate(labels.names)]
            self._info.publish(LabelInfo(class_map=classes))
        if self._text is not None:
            self._text.publish(String(data=names_as_text(dict(enumerate(labels.names)))))

    def close(self) -> None:
        """Destroy the publishers: late subscribers get no names any more."""
        for publisher in (self._info, self._text):
            if publisher is not None:
                self._node.destroy_publisher(publisher)


def names_of_cloud(cloud: str, take: Callable[[dict[int, str]], None]) -> list[tuple[Any, ...]]:
    """What to subscribe to for the names of the labels of a cloud: arguments of ``Node.subscribe``.

    ``cloud`` is its resolved topic. ``take`` is called with the names of each message.
    """
    kinds: list[tuple[Any, str, Callable[[Any], None]]] = [
        (String, LABEL_NAMES, lambda message: take(names_of_text(message.data)))
    ]
    if LabelInfo is not None:
        kinds.append((LabelInfo, "label_info", lambda message: take(names_of(message))))
    return [(kind, f"{cloud}/{end}", read, MAP, "names", lambda: False) for kind, end, read in kinds]


def subscribe_label_info(node: Any, take: Callable[[dict[int, str]], None]) -> Any:
    """Call ``take`` with the names of each ``label_info``, while the node is active. None without vision_msgs."""
    if LabelInfo is None:
        return None
    return node.subscribe(LabelInfo, "label_info", lambda message: take(names_of(message)), MAP, "names", lambda: False)


class PredictedLabels:
    """Label images of any model as labels of a label space: matched by the names of ``label_info``, once it came.

    Before, and without vision_msgs, their numbers are those of the label space.
    """

    def __init__(self, node: Any, space: LabelSpace) -> None:
        self._node, self._space = node, space
        self._table: LabelTable | None = None

    def start(self) -> None:
        """Subscribe to ``label_info``, until the node is deactivated."""
        self._table = None
        subscribe_label_info(self._node, self.take)

    def take(self, names: dict[int, str]) -> None:
        """Take names. Classes that the label space does not have are reported. Raises BadInput as ``table_of``."""
        self._table = table_of(names, self._space.names)
        report_foreign(self._node, self._table, self._space, OK)

    def read(self, message: Any) -> UInt8[np.ndarray, "H W"]:
        """The labels of an image. Raises BadInput for an encoding without ids, and for too few bytes."""
        table = self._table
        return codec.image_to_labels(message) if table is None else table.known(codec.image_to_ids(message))


def report_foreign(node: Any, table: LabelTable, space: LabelSpace, level: int) -> None:
    """Report the names of labels that are not classes of ``space``."""
    if table.foreign:
        names = few_of(table.foreign)
        text = f"classes: '{space.name}' does not have {names}, which the labels have that come; they have none here"
        node.report_problem("classes", f"{text}; set label_space, or weights of these classes", level)
