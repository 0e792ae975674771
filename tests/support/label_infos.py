"""Bags with messages vision_msgs/LabelInfo, which the wheels of ROS do not have."""

from pathlib import Path

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from wsss_ros.bags.bag import Bag

LABEL_INFO = "vision_msgs/msg/LabelInfo"
# As a recorder of ROS 2 writes them, with the comments of another release.
TEXT = """# names of ids
std_msgs/Header header

vision_msgs/VisionClass[] class_map # what the ids mean
float32 threshold
"""


def joined(path: Path, bags: list[Path], infos: dict[str, dict[int, str]]) -> Path:
    """One bag with the messages of several, and a LabelInfo on each of the topics ``infos`` at its start."""
    types = get_typestore(Stores.ROS2_JAZZY)
    types.register(get_types_from_msg("uint16 class_id\nstring class_name", "vision_msgs/msg/VisionClass"))
    types.register(get_types_from_msg(TEXT, LABEL_INFO))
    messages = [raw for bag in bags for raw in Bag(bag).raw()]
    start_ns = min(raw.stamp_ns for raw in messages)
    folder = path.with_suffix("")
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {(raw.topic, raw.msgtype) for raw in messages} | {(topic, LABEL_INFO) for topic in infos}
        connections = {name: writer.add_connection(name, kind, typestore=types) for name, kind in sorted(topics)}
        for topic, names in infos.items():
            written = types.serialize_cdr(label_info(types, names), LABEL_INFO)
            writer.write(connections[topic], start_ns, written)
        for raw in sorted(messages, key=lambda raw: raw.stamp_ns):
            writer.write(connections[raw.topic], raw.stamp_ns, bytes(raw.data))
    (folder / f"{folder.name}.mcap").rename(path)
    return path


def label_info(types, names: dict[int, str]):
    made = types.types
    header = made["std_msgs/msg/Header"](stamp=made["builtin_interfaces/msg/Time"](sec=0, nanosec=0), frame_id="")
    classes = [made["vision_msgs/msg/VisionClass"](class_id=key, class_name=name) for key, name in names.items()]
    return made[LABEL_INFO](header=header, class_map=classes, threshold=0.5)
