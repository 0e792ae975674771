"""What the ids of label images mean: label_names, label_info, label_space; what is told about them, and how often."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from wsss_ros.bags import cdr  # noqa: E402
from wsss_ros.fusion.map_kernels import NOT_SEEN  # noqa: E402
from wsss_ros.labels import UNLABELLED, scannet20  # noqa: E402
from wsss_ros.nodes import label_info, label_views  # noqa: E402
from wsss_ros.nodes.health import OK, WARN, Health  # noqa: E402
from wsss_ros.nodes.label_views import LabelNames  # noqa: E402
from wsss_ros.nodes.node import Node  # noqa: E402
from wsss_ros.types import BadInput  # noqa: E402

IDS = np.array([[0, 1, 7]], np.uint16)


class QuietNode(Node):
    """What LabelNames calls of a node; it is not in ROS."""

    def __init__(self) -> None:
        self.health, self.told, self.subscribed = Health(), [], []

    def report_problem(self, cause: str, text: str, level: int = WARN) -> None:
        self.told.append((level, text))

    def subscribe(self, kind, topic, callback, *rest) -> None:
        self.subscribed.append((topic, callback))


def info(**names: int) -> SimpleNamespace:
    """A vision_msgs/LabelInfo."""
    return SimpleNamespace(class_map=[SimpleNamespace(class_id=key, class_name=name) for name, key in names.items()])


@pytest.fixture
def node() -> QuietNode:
    return QuietNode()


def test_without_any_names_the_ids_are_classes_of_the_label_space_which_is_told_once(node):
    names = LabelNames(node, "", scannet20())
    for _ in range(3):
        assert names.labels(IDS, names.classes).tolist() == [[0, 1, 7]]
    ((level, text),) = node.told
    assert level == OK and text.startswith("no label_info") and "read as classes of 'scannet20'" in text
    assert names.source == "label_space scannet20"


def test_names_of_label_info_are_taken_and_may_change(node, monkeypatch):
    monkeypatch.setattr(label_info, "LabelInfo", SimpleNamespace)  # vision_msgs is not in the wheels
    names = LabelNames(node, "", scannet20())
    names.start()
    ((topic, take),) = node.subscribed
    take(info(sofa=0, robot=1, void=7))
    assert topic == "label_info" and names.source == "label_info" and names.classes == ("sofa", "robot")
    assert names.labels(IDS, names.classes).tolist() == [[0, 1, UNLABELLED]]
    take(info(robot=0, sofa=1, dog=7))
    assert names.labels(IDS, ("sofa", "robot")).tolist() == [[1, 0, UNLABELLED]], "by the classes of the map"
    assert [text for _, text in node.told] == [
        "classes: the map does not have dog, which label_info names; their pixels are unlabelled; ~/reset starts a map "
        "with these classes"
    ]


def test_names_that_come_while_the_table_is_made_are_used_from_the_next_image_on(node, monkeypatch):
    names, table_of = LabelNames(node, "", scannet20()), label_views.table_of

    def interrupted(*given):
        monkeypatch.setattr(label_views, "table_of", table_of)
        names.take({0: "wall", 1: "sofa", 7: "floor"})
        return table_of(*given)

    monkeypatch.setattr(label_views, "table_of", interrupted)
    assert names.labels(IDS, scannet20().names).tolist() == [[0, 1, 7]]
    own = [scannet20().names.index(name) for name in ("wall", "sofa", "floor")]
    assert names.labels(IDS, scannet20().names).tolist() == [own]


def test_names_that_cannot_be_classes_leave_the_previous_ones(node):
    names = LabelNames(node, "", scannet20())
    names.take({0: "wall"})
    for bad in ({}, {0: "void"}, {70_000: "x"}):
        with pytest.raises(BadInput, match="label names"):
            names.take(bad)
    assert names.classes == ("wall",)


def test_label_images_are_read_by_the_names_of_label_info_as_labels_of_a_label_space(node, monkeypatch):
    monkeypatch.setattr(label_info, "LabelInfo", SimpleNamespace)
    space, predicted = scannet20(), label_info.PredictedLabels(node, scannet20())
    image = cdr.image_message(cdr.header(0, "c"), np.array([[0, 1, 7]], np.uint8), "mono8")
    predicted.start()
    assert predicted.read(image).tolist() == [[0, 1, 7]], "nothing names them yet"
    ((_, take),) = node.subscribed
    take(info(sofa=0, robot=1))
    assert predicted.read(image).tolist() == [[space.index("sofa"), UNLABELLED, UNLABELLED]]
    ((level, text),) = node.told
    assert level == OK and text.startswith("classes: 'scannet20' does not have robot")


def test_the_parameter_wins_over_label_info_and_ids_beyond_it_do_not_vote(node, monkeypatch):
    monkeypatch.setattr(label_info, "LabelInfo", SimpleNamespace)
    names = LabelNames(node, "wall, floor", scannet20())
    names.start()
    assert not node.subscribed and names.source == "label_names"
    assert names.labels(IDS, names.classes).tolist() == [[0, 1, NOT_SEEN]]
    ((level, text),) = node.told
    assert level == WARN and text.startswith("label ids: 7 have no name in label_names (2 names)")
    assert node.health.dropped == {"label ids without a name": 1}
    with pytest.raises(BadInput, match="label_names"):
        LabelNames(node, "wall,,", scannet20())
