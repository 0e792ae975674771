"""Trees of frames that two nodes publish: loops, and parents in turn."""

from types import SimpleNamespace

import pytest

from wsss_ros.geometry import frame_tree
from wsss_ros.geometry.frame_tree import CHANGES, FrameTree
from wsss_ros.geometry.transforms import CACHE_S


@pytest.fixture
def now(monkeypatch) -> list[float]:
    given = [100.0]
    monkeypatch.setattr(frame_tree, "time", SimpleNamespace(monotonic=lambda: given[0]))
    return given


def robot() -> FrameTree:
    tree = FrameTree()
    for parent, child in (("map", "odom"), ("/odom", "/base"), ("base", "camera")):
        tree.add(parent, child, static=child == "camera")
    return tree


def test_a_robot_as_it_should_be(now):
    tree = robot()
    for _ in range(20):
        tree.add("odom", "base", static=False)
    assert tree.faults() == []


def test_a_loop_is_named_while_it_is_published(now):
    """The tree of spot_ros2, issue 374: odom is the parent of body, and body that of odom."""
    tree = robot()
    tree.add("base", "map", static=False)
    (text,) = tree.faults()
    assert text.startswith("TF: a loop, base -> odom -> map -> base, so poses may be wrong")
    now[0] += CACHE_S + 1
    for parent, child in (("map", "odom"), ("odom", "base")):
        tree.add(parent, child, static=False)
    assert tree.faults() == []


def test_two_parents_in_turn(now):
    tree = robot()
    for number in range(CHANGES):
        assert tree.faults() == [], "a gripper takes a thing and puts it down"
        tree.add(("map", "odom")[number % 2], "base", static=False)
    (text,) = tree.faults()
    assert text.startswith("TF: the parent of 'base' is 'map' and 'odom' in turn")
    now[0] += CACHE_S
    assert tree.faults() == []


def test_two_loops(now):
    tree = FrameTree()
    for parent, child in (("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("a", "e"), ("d", "f")):
        tree.add(parent, child, static=True)
    assert len(tree.faults()) == 2
