"""The LabelInfo that belongs to a topic of label images, and what its ids mean then."""

from pathlib import Path

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore
from support.label_infos import LABEL_INFO, joined
from support.striped_scenes import StripedScene

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.bag_labels import label_info_topic, names_as_text, names_of_text, read_label_info
from wsss_ros.bags.cdr import IMAGE, header, image_message
from wsss_ros.bags.recording import Topic
from wsss_ros.bags.writing import write_bag
from wsss_ros.label_files import frame_labels
from wsss_ros.label_files.frame_labels import TopicLabels
from wsss_ros.types import BadInput


class NamedTopics(Bag):
    """A bag of which only the topics are asked for."""

    def __init__(self, infos: tuple[str, ...]) -> None:
        self.path = Path("scene.mcap")
        self.topics = (*(Topic(name, LABEL_INFO) for name in infos), Topic("/label_info", IMAGE))


MAP = "/semantic_map/label_info"


@pytest.mark.parametrize(
    "labels, infos, expected",
    [
        ("/semantic/image_raw", (), ""),
        ("/semantic/image_raw", ("/label_info",), "/label_info"),
        ("/semantic/image_raw", (MAP, "/label_info"), "/label_info"),
        ("/semantic/image_raw", (MAP,), ""),
        ("/front/semantic/image_raw", ("/label_info", "/left/label_info", "/front/label_info"), "/front/label_info"),
        ("/front/semantic/image_raw", ("/front/semantic/names", "/front/label_info"), "/front/semantic/names"),
        ("/camera/labels", ("/yolo/label_info",), "/yolo/label_info"),
    ],
)
def test_the_label_info_of_a_topic_is_the_nearest_one_above_it_or_the_only_one(labels, infos, expected):
    assert label_info_topic(NamedTopics(infos), labels) == expected


def test_several_that_fit_are_listed_with_the_options_that_choose():
    for labels, infos in (("/camera/labels", ("/a/info", "/b/info")), ("/a/labels", ("/a/info", "/a/other"))):
        with pytest.raises(BadInput, match=f"several topics .*{infos[0]}, {infos[1]}; .*--label-info-topic.*names"):
            label_info_topic(NamedTopics(infos), labels)
        assert label_info_topic(NamedTopics(infos), labels, infos[1]) == infos[1]
    with pytest.raises(BadInput, match="no topic '/label_info' of vision_msgs/msg/LabelInfo"):
        label_info_topic(NamedTopics(("/a/info",)), "/a/labels", "/label_info")


def test_names_as_text():
    names = {0: "Tür, links", 300: 'a "b"'}
    assert names_of_text(names_as_text(names)) == names
    for text in ("", "[1]", '{"a": 1}', "wall, floor"):
        with pytest.raises(BadInput, match="label names"):
            names_of_text(text)


NAMES = {0: "sofa", 7: "Car", 300: "UNLABELED", 9: "wall"}


@pytest.fixture
def bag(labels, tmp_path) -> Bag:
    plain = write_bag(StripedScene(0, labels), tmp_path / "plain.mcap")
    return Bag(joined(tmp_path / "scene.mcap", [plain], {"/label_info": NAMES}))


@pytest.mark.parametrize("defined", [True, False])
def test_it_is_read_by_its_definition_in_the_bag_or_by_that_of_ros(bag, monkeypatch, defined):
    if not defined:
        monkeypatch.setattr(Bag, "types", lambda self: get_typestore(Stores.ROS2_JAZZY))
    assert read_label_info(bag, "/label_info") == NAMES


def test_given_names_come_before_a_label_info_and_that_before_the_label_space(bag, labels, monkeypatch, caplog):
    ids = np.array([[0, 7, 300], [9, 5, 5]], np.uint16)
    frame = StripedScene(0, labels).frame(1)
    monkeypatch.setattr(TopicLabels, "_stream", lambda self: iter([message] * 2))
    message = image_message(header(frame.stamp_ns, "camera"), ids, "mono16")
    topic = "/ground_truth/semantic/image_raw"

    given = TopicLabels(bag.path, topic, labels, {0: "wall", 7: "dog"})
    assert given.labels.names == ("wall", "dog") and given.of(frame).tolist() == [[0, 1, 255], [255, 255, 255]]
    assert given.labels.colors[0] == labels.colors[labels.index("wall")]
    named = TopicLabels(bag.path, topic, labels)
    assert named.labels.names == ("sofa", "Car", "wall") and named.info_topic == "/label_info"
    assert "/label_info: 0 sofa, 7 Car, 9 wall, 300 UNLABELED" in named.meaning
    caplog.clear()
    for _ in range(2):
        assert named.of(frame).tolist() == [[0, 1, 255], [2, 255, 255]]
    assert [record.getMessage() for record in caplog.records] == [
        f"topic {topic}, names of /label_info: the ids 5 have no name; their pixels do not vote"
    ]
    monkeypatch.setattr(frame_labels, "label_info_topic", lambda *given: "")
    plain = TopicLabels(bag.path, topic, labels)
    assert plain.labels is labels and plain.meaning == f"class numbers of '{labels.name}'"
    with pytest.raises(BadInput, match="id 300: 'scannet20' has classes 0 to 19"):
        plain.of(frame)
