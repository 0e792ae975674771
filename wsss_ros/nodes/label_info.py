"""The class names on a latched topic, where vision_msgs is installed."""

from collections.abc import Callable
from typing import Any

from wsss_ros.labels import LabelSpace
from wsss_ros.nodes.qos import MAP

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:  # the PyPI wheels of ROS have no vision_msgs
    LabelInfo = VisionClass = None


class LabelInfoTopic:
    """The names of the classes on a latched topic, by label. Without vision_msgs nothing is published."""

    def __init__(self, node: Any, topic: str = "label_info") -> None:
        # Not a lifecycle publisher: the names are valid from configure on.
        self._node, self._publisher = node, None if LabelInfo is None else node.create_publisher(LabelInfo, topic, MAP)

    def publish(self, labels: LabelSpace) -> None:
        """Publish these classes in place of those before."""
        if self._publisher is not None:
            classes = [VisionClass(class_id=index, class_name=name) for index, name in enumerate(labels.names)]
            self._publisher.publish(LabelInfo(class_map=classes))

    def close(self) -> None:
        """Destroy the publisher: late subscribers get no names any more."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)


def names_of(message: Any) -> dict[int, str]:
    """The names of the ids in a LabelInfo."""
    return {int(each.class_id): str(each.class_name) for each in message.class_map}


def subscribe_label_info(node: Any, take: Callable[[dict[int, str]], None]) -> Any:
    """Call ``take`` with the names of each ``label_info``, while the node is active. None without vision_msgs."""
    if LabelInfo is None:
        return None
    return node.subscribe(LabelInfo, "label_info", lambda message: take(names_of(message)), MAP, "names", lambda: False)
