"""Points as the viewer shows them: colours by mode, classes that are switched off, counts, thinning, the path."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsss_ros.bags.cloud_codec import SEMANTIC_POINT, SEMANTIC_POINT_64, point_fields
from wsss_ros.labels import UNLABELLED, scannet20
from wsss_ros.types import BadInput, Cloud
from wsss_ros.viewer.points import (
    ShownPoints,
    Trajectory,
    class_colors,
    colored,
    counts,
    read_semantic_points,
    thinned,
    with_colors,
)

SPACE = scannet20()
EVERYTHING = np.ones(len(SPACE) + 1, bool)


def some_points() -> ShownPoints:
    xyz = np.array([[0, 0, 0], [1, 0, 1], [2, 0, 2], [3, 0, 3]], np.float32)
    labels = np.array([2, 0, UNLABELLED, 2], np.uint8)
    rgb = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]], np.uint8)
    return ShownPoints(xyz, labels, np.array([0, 0.5, 1, np.nan], np.float32), rgb)


class Field:
    def __init__(self, name: str, offset: int, datatype: int) -> None:
        self.name, self.offset, self.datatype = name, offset, datatype


class Message:
    """A semantic cloud, as rclpy and rosbags have it."""

    is_bigendian = False
    point_step, height = SEMANTIC_POINT.itemsize, 1

    def __init__(self, rows: np.ndarray) -> None:
        self.fields = [Field(*field) for field in point_fields(SEMANTIC_POINT)]
        self.width, self.data = len(rows), np.frombuffer(rows.tobytes(), np.uint8)
        self.header = type("Header", (), {"stamp": type("Stamp", (), {"sec": 7, "nanosec": 5})})


def test_colours_by_mode():
    points = some_points()
    color = {mode: colored(points, mode, SPACE, EVERYTHING)[1] for mode in ("class", "rgb", "confidence", "truth")}
    assert color["class"].tolist() == [[*SPACE.colors[2]], [*SPACE.colors[0]], [128] * 3, [*SPACE.colors[2]]]
    assert color["rgb"].tolist() == points.rgb.tolist()
    brightness = color["confidence"].astype(int).sum(axis=1)
    assert brightness[0] < brightness[1] < brightness[2] and brightness[3] == brightness[0], "nan counts as 0"
    assert (color["truth"] == 128).all(), "nobody knows the truth of these"
    assert points.modes == ("class", "rgb", "confidence")
    with pytest.raises(BadInput, match="colour mode: got 'heat', expected one of class"):
        colored(points, "heat", SPACE, EVERYTHING)


def test_points_without_any_label_are_shown_in_their_colours():
    points = ShownPoints(np.zeros((2, 3), np.float32), np.full(2, UNLABELLED, np.uint8), rgb=np.ones((2, 3), np.uint8))
    assert points.modes == ("rgb",)
    assert ShownPoints(points.xyz, points.labels).modes == ("class",), "grey is better than nothing"


@given(st.lists(st.sampled_from([0, 1, 5, 19, 20, 255]), min_size=1), st.sets(st.integers(0, 20)))
def test_classes_that_are_off_are_not_drawn(labels, off):
    labels = np.array(labels, np.uint8)
    xyz = np.arange(3 * len(labels), dtype=np.float32).reshape(-1, 3)
    shown = EVERYTHING.copy()
    shown[list(off)] = False
    drawn, colors = colored(ShownPoints(xyz, labels), "class", SPACE, shown)
    expected = [row for row, label in zip(xyz.tolist(), labels, strict=True) if shown[min(label, 20)]]
    assert drawn.tolist() == expected and len(colors) == len(drawn)


def test_points_above_the_cut_are_not_drawn():
    points = some_points()
    assert colored(points, "class", SPACE, EVERYTHING, below_m=1.5)[0][:, 2].tolist() == [0, 1]
    high = ShownPoints(points.xyz, points.labels, origin=(0.0, 0.0, 100.0))
    assert colored(high, "class", SPACE, EVERYTHING, below_m=102.0)[0][:, 2].tolist() == [0, 1, 2]


def test_counts_are_of_classes_and_of_the_rest():
    found = counts(np.array([0, 0, 3, 254, 255], np.uint8), len(SPACE))
    assert (found[0], found[3], found[-1], found.sum()) == (2, 1, 2, 5)


@given(st.integers(1, 500), st.integers(1, 60))
def test_thinning_keeps_at_most_so_many_spread_over_all(size, most):
    points = ShownPoints(np.arange(3 * size, dtype=np.float32).reshape(-1, 3), np.zeros(size, np.uint8))
    kept = thinned(points, most)
    assert len(kept) == min(size, most)
    rows = kept.xyz[:, 0] / 3
    assert rows[0] == 0 and (np.diff(rows) >= size // most).all() and (np.diff(rows) <= size // most + 1).all()


def test_a_semantic_cloud_is_read():
    rows = np.zeros(3, SEMANTIC_POINT)
    rows["x"], rows["label"], rows["confidence"] = (1, np.nan, 3), (4, 255, 70_000), (0.25, 0, 0.75)
    points = read_semantic_points(Message(rows))
    assert points.xyz[:, 0].tolist() == [1, 3] and points.labels.tolist() == [4, UNLABELLED]
    assert points.confidence.tolist() == [0.25, 0.75] and points.rgb is None and points.stamp_ns == 7_000_000_005


@pytest.mark.parametrize("change, text", [({"point_step": 32}, "in 32 bytes"), ({"height": 9}, "semantic cloud size")])
def test_another_layout_is_refused(change, text):
    message = Message(np.zeros(2, SEMANTIC_POINT))
    vars(message).update(change)
    with pytest.raises(BadInput, match=text):
        read_semantic_points(message)


def test_colours_of_the_camera_are_those_of_a_cloud_of_the_same_points():
    points = some_points()
    same = Cloud(points.xyz, points.rgb[::-1].copy())
    assert with_colors(points, same).rgb.tolist() == points.rgb[::-1].tolist()
    other = Cloud(points.xyz[:2], points.rgb[:2])
    assert with_colors(points, other) is points


def test_unlabelled_points_are_grey():
    assert class_colors(SPACE)[[20, 254, 255]].tolist() == [[128] * 3] * 3


def test_the_path_keeps_its_shape_within_its_size():
    path = Trajectory(step_m=0.1, most=50)
    angles = np.linspace(0, 2 * np.pi, 5000)
    for angle in angles:
        path.add(np.array([10 * np.cos(angle), 10 * np.sin(angle), 1.0]))
    assert 20 < len(path.positions) <= 50
    radii = np.linalg.norm(np.stack(path.positions)[:, :2], axis=1)
    np.testing.assert_allclose(radii, 10)
    lines = path.segments((10.0, 0.0, 1.0))
    assert lines[0, 0].tolist() == [0, 0, 0] and np.array_equal(lines[1:, 0], lines[:-1, 1])
    path.clear()
    assert path.step_m == 0.1 and path.segments((0.0, 0.0, 0.0)).shape == (0, 2, 3)


def test_float64_positions_far_from_the_origin_are_shown_relative_to_one_near_them():
    """UTM coordinates: float32 alone would round them to half a metre."""
    rows = np.zeros(2, SEMANTIC_POINT_64)
    exact = np.array([[500_000.123, 4_649_776.25, 213.5], [500_001.123, 4_649_777.25, np.nan]])
    for axis, name in enumerate("xyz"):
        rows[name] = exact[:, axis]
    rows["label"], rows["confidence"] = [3, 300], [0.5, 0.25]
    message = Message(rows)
    message.fields, message.point_step = [Field(*field) for field in point_fields(SEMANTIC_POINT_64)], rows.itemsize
    points = read_semantic_points(message)
    assert points.labels.tolist() == [3] and points.confidence.tolist() == [0.5], "the other one is not finite"
    assert np.abs(points.xyz + np.array(points.origin) - exact[:1]).max() < 1e-4
