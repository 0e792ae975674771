"""Labels in a bag: the topic of label images and the camera that they are of, and what names the ids of labels."""

import json
from typing import Any

from rosbags.typesys import get_types_from_msg
from rosbags.typesys.store import Typestore

from wsss_ros.bags import topics
from wsss_ros.bags.bag import Bag
from wsss_ros.bags.cdr import IMAGE, STRING
from wsss_ros.bags.codec import IDS
from wsss_ros.files import parse_json
from wsss_ros.types import BadInput

LABEL_NAMES = "label_names"  # below the topic of a cloud: the names of its labels as text
LABEL_INFO, _VISION_CLASS = "vision_msgs/msg/LabelInfo", "vision_msgs/msg/VisionClass"
# For bags that do not define them, as those of SQLite before ROS 2 Iron.
_DEFINITIONS = {
    _VISION_CLASS: "uint16 class_id\nstring class_name",
    LABEL_INFO: "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold",
}


def label_topic(bag: Bag, name: str) -> str:
    """The topic of images that is named: exactly, else the only one that ends in this name.

    Raises BadInput, which lists the topics that can be label images, where none fits or several do.
    """
    there = [topic.name for topic in bag.topics if topic.msgtype == IMAGE]
    fits = [name] if name in there else topics.ending(there, (name.strip("/"),))
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise BadInput(f"{bag.path}: several topics of label images: {', '.join(fits)}; name one (--labels)")
    found = {each: topics.first_message(bag, each).encoding for each in there}
    listed = ", ".join(f"{each} ({encoding})" for each, encoding in found.items() if encoding in IDS)
    raise BadInput(
        f"{bag.path}: no topic '{name}' of {IMAGE}; those that can be label images are {listed or 'none'}; name one "
        "(--labels)"
    )


def label_info_topic(bag: Bag, labels: str, named: str = "") -> str:
    """The LabelInfo of the label images on the topic ``labels``; empty where the bag has none.

    It is that of the folder of the topic, or of the nearest folder above it; else the only one of the bag, without
    those of results. Raises BadInput, which lists them, where several fit, and for ``named`` that is not there.
    """
    if named:
        topics.check_named(bag, named, (LABEL_INFO,))
        return named
    there = [topic.name for topic in bag.topics if topic.msgtype == LABEL_INFO]
    above = [name for name in there if labels.startswith(_folder(name))]
    nearest = max((len(_folder(name)) for name in above), default=0)
    fits = [name for name in above if len(_folder(name)) == nearest] or topics.of_types(bag, (LABEL_INFO,))
    if len(fits) > 1:
        raise BadInput(
            f"{bag.path}: several topics of {LABEL_INFO}: {', '.join(fits)}; name that of '{labels}' "
            "(--label-info-topic), or the classes (--label-names)"
        )
    return fits[0] if fits else ""


def read_label_info(bag: Bag, topic: str) -> dict[int, str]:
    """The names of the ids in the last LabelInfo of a topic. Raises BadInput for one that cannot be read."""
    last = None
    for raw in bag.raw({topic}):
        last = raw
    if last is None:
        raise BadInput(f"{bag.path}: no message on '{topic}'; name another LabelInfo, or the classes (--label-names)")
    return names_of(last.decoded(_with_label_info(bag.types())))


def names_of_images(bag: Bag, images: str) -> dict[int, str] | None:
    """The names of the ids of the label images on a topic; None where the bag has none. Raises BadInput as these do."""
    topic = label_info_topic(bag, images)
    return read_label_info(bag, topic) if topic else None


def names_of_cloud(bag: Bag, cloud: str) -> dict[int, str] | None:
    """The names of the labels of a cloud, by its topic: the last ones in the bag; None where it has none.

    They are on ``CLOUD/label_info``, or as text on ``CLOUD/label_names``. Raises BadInput for ones that cannot be read.
    """
    kinds = {topic.name: topic.msgtype for topic in bag.topics}
    if kinds.get(f"{cloud}/label_info") == LABEL_INFO:
        return read_label_info(bag, f"{cloud}/label_info")
    if kinds.get(f"{cloud}/{LABEL_NAMES}") != STRING:
        return None
    *_, last = bag.raw({f"{cloud}/{LABEL_NAMES}"})
    return names_of_text(last.decoded(bag.types()).data)


def names_of(message: Any) -> dict[int, str]:
    """The names of the ids in a LabelInfo."""
    return {int(each.class_id): str(each.class_name) for each in message.class_map}


def names_as_text(names: dict[int, str]) -> str:
    """The names of ids as JSON, for a std_msgs/String."""
    return json.dumps(names, ensure_ascii=False)


def names_of_text(text: str) -> dict[int, str]:
    """The inverse of ``names_as_text``. Raises BadInput for another text."""
    try:
        return {int(key): str(name) for key, name in parse_json(text).items()}
    except (ValueError, AttributeError) as error:
        raise BadInput(f'label names: {text[:80]!r} ({error}); expected JSON such as {{"0": "wall"}}') from error


def check_camera(bag: Bag, labels: str, color: str) -> None:
    """Raises BadInput where the label images are of another camera than the images on ``color``, by their frame_id."""
    frames = {name: _frame_id(bag, name) for name in (labels, color)}
    if "" in frames.values() or frames[labels] == frames[color]:
        return
    others = [name for name in topics.of_types(bag, topics.IMAGE_TYPES) if not topics.has_depth(bag, name)]
    same = ", ".join(name for name in others if _frame_id(bag, name) == frames[labels])
    raise BadInput(
        f"{bag.path}: the label images of '{labels}' are of the camera '{frames[labels]}', the images of '{color}' of "
        f"'{frames[color]}'; name the images of the same camera (--color): {same or 'the bag has none'}; or other "
        "label images (--labels)"
    )


def _with_label_info(types: Typestore) -> Typestore:
    for name, text in _DEFINITIONS.items():
        if name not in types.types:
            types.register(get_types_from_msg(text, name))
    return types


def _folder(name: str) -> str:
    """The folder of a topic, with a slash at its end."""
    return name.rpartition("/")[0] + "/"


def _frame_id(bag: Bag, name: str) -> str:
    message = topics.first_message(bag, name)
    return "" if message is None else message.header.frame_id
