"""The class names on a latched topic, where vision_msgs is installed."""

from collections.abc import Callable
from typing import Any

from wsss_ros.labels import LabelSpace
from wsss_ros.nodes.qos import MAP

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:  # the PyPI wheels of ROS have no vision_msgs
    LabelInfo = VisionClass = None


def publish_label_info(node: Any, labels: LabelSpace) -> Any:
    """Publish ``label_info`` once, latched. Returns its publisher, or None without vision_msgs."""
    if LabelInfo is None:
        return None
    # Not a lifecycle publisher: the names are valid from configure on.
    publisher = node.create_publisher(LabelInfo, "label_info", MAP)
    classes = [VisionClass(class_id=index, class_name=name) for index, name in enumerate(labels.names)]
    publisher.publish(LabelInfo(class_map=classes))
    return publisher


def names_of(message: Any) -> dict[int, str]:
    """The names of the ids in a LabelInfo."""
    return {int(each.class_id): str(each.class_name) for each in message.class_map}


def subscribe_label_info(node: Any, take: Callable[[dict[int, str]], None]) -> Any:
    """Call ``take`` with the names of each ``label_info``, while the node is active. None without vision_msgs."""
    if LabelInfo is None:
        return None
    return node.subscribe(LabelInfo, "label_info", lambda message: take(names_of(message)), MAP, "names", lambda: False)
