"""With sensor_msgs_py and tf_transformations, and without them: the results are the same.

The halves that need a package are skipped where it is not installed. On a machine without ROS, put the public sources
of both, and transforms3d, on PYTHONPATH.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import conversions as reference
from support.messages import of_family

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from wsss_ros import geometry  # noqa: E402
from wsss_ros.bags import cdr, cloud_codec  # noqa: E402
from wsss_ros.bags.cloud_codec import FLOAT32, FLOAT64, INT16, UINT8, UINT32  # noqa: E402
from wsss_ros.nodes import ros_packages  # noqa: E402
from wsss_ros.types import BadInput  # noqa: E402

NUMPY = {INT16: "i2", UINT8: "u1", UINT32: "u4", FLOAT32: "f4", FLOAT64: "f8"}
# The fields of a point: name, datatype, offset; and its size.
LAYOUTS = {
    "usual": ([("x", FLOAT32, 0), ("y", FLOAT32, 4), ("z", FLOAT32, 8), ("rgb", FLOAT32, 12)], 16),
    "another order": ([("intensity", FLOAT32, 0), ("z", FLOAT32, 4), ("x", FLOAT32, 8), ("y", FLOAT32, 12)], 16),
    "float64 and a tail": ([("x", FLOAT64, 0), ("y", FLOAT64, 8), ("z", FLOAT64, 16), ("rgb", UINT32, 28)], 40),
    "unaligned": ([("ring", UINT8, 0), ("x", FLOAT32, 1), ("y", FLOAT32, 5), ("z", FLOAT32, 9)], 13),
    "a lidar": ([("x", FLOAT32, 0), ("y", FLOAT32, 4), ("z", FLOAT32, 16), ("ring", INT16, 20)], 22),
}


@pytest.fixture(params=["with", "without"])
def packages(request, monkeypatch):
    """Whether the packages are used."""
    if request.param == "without":
        monkeypatch.setattr(ros_packages, "point_cloud2", None)
        monkeypatch.setattr(ros_packages, "tf_transformations", None)
    return request.param == "with"


def cloud(layout: str, big_endian: bool = False, height: int = 1) -> object:
    """A PointCloud2 of rclpy with random values and some NaN."""
    fields, size = LAYOUTS[layout]
    random, count = np.random.default_rng(0), 24
    order = ">" if big_endian else "<"
    dtype = {"names": [field[0] for field in fields], "formats": [order + NUMPY[field[1]] for field in fields]}
    points = np.zeros(count, np.dtype(dtype | {"offsets": [field[2] for field in fields], "itemsize": size}))
    for name, _, _ in fields:
        points[name] = (
            random.integers(0, 2**24, count).astype("<u4").view("<f4")
            if name == "rgb" and points.dtype[name].kind == "f"
            else random.integers(1, 200, count)
        )
    points["x"][3] = points["z"][9] = np.nan
    head = cdr.header(5, "map")
    made = cdr.make(
        cdr.CLOUD,
        header=head,
        height=height,
        width=count // height,
        fields=[
            cdr.make("sensor_msgs/msg/PointField", name=name, datatype=kind, offset=at, count=1)
            for name, kind, at in fields
        ],
        is_bigendian=big_endian,
        point_step=size,
        row_step=size * count // height,
        data=points.view(np.uint8),
        is_dense=False,
    )
    return of_family(made, "rclpy")


def needs(module: object, name: str) -> None:
    if module is None:
        pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize("height", [1, 4])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_clouds_of_any_layout(layout, big_endian, height, packages):
    if packages:
        needs(ros_packages.point_cloud2, "sensor_msgs_py")
    message = cloud(layout, big_endian, height)
    before = bytes(message.data)
    xyz, rgb = reference.finite_xyz_rgb(message)
    read = ros_packages.read_cloud(message)
    np.testing.assert_allclose(read.cloud.xyz, xyz, rtol=1e-6)
    if any(name == "rgb" for name, _, _ in LAYOUTS[layout][0]):
        np.testing.assert_array_equal(read.cloud.rgb, rgb)
    assert (read.height, read.width) == (height, 24 // height) and read.dropped == 2
    assert bytes(message.data) == before, "the message is not changed"


def test_the_usual_cloud_stays_on_the_fast_path(monkeypatch):
    needs(ros_packages.point_cloud2, "sensor_msgs_py")
    used: list = []
    read_points = ros_packages.point_cloud2.read_points
    monkeypatch.setattr(ros_packages.point_cloud2, "read_points", lambda m: used.append(m) or read_points(m))
    for layout in LAYOUTS:
        used.clear()
        message = cloud(layout)
        assert cloud_codec.is_usual(message) == (layout == "usual")
        ours = cloud_codec.read_cloud(message)
        read = ros_packages.read_cloud(message)
        assert len(used) == (layout != "usual")
        np.testing.assert_array_equal(read.cloud.xyz, ours.cloud.xyz)
        np.testing.assert_array_equal(read.kept, ours.kept)


def test_a_broken_cloud_is_refused_with_the_same_reason(packages):
    if packages:
        needs(ros_packages.point_cloud2, "sensor_msgs_py")
    message = cloud("another order")
    message.fields = message.fields[:2]
    with pytest.raises(BadInput, match="^cloud fields: got intensity, z; expected x, y, z"):
        ros_packages.read_cloud(message)
    message = cloud("another order")
    message.data = message.data[:-5]
    with pytest.raises(BadInput, match="^cloud size: "):
        ros_packages.read_cloud(message)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_quaternions(values):
    needs(ros_packages.tf_transformations, "tf_transformations")
    xyzw = np.array(values) / np.linalg.norm(values) * 1.003
    np.testing.assert_allclose(ros_packages.quaternion_to_matrix(xyzw), geometry.quaternion_to_matrix(xyzw), atol=1e-12)


@pytest.mark.parametrize("xyzw", [[0, 0, 0, 0], [0, 0, 0, 2], [np.nan, 0, 0, 1]])
def test_quaternions_that_are_none(xyzw, packages):
    if packages:
        needs(ros_packages.tf_transformations, "tf_transformations")
    with pytest.raises(BadInput, match="^quaternion "):
        ros_packages.quaternion_to_matrix(np.array(xyzw, float))


def test_matrices_of_quaternions_by_hand(packages):
    if packages:
        needs(ros_packages.tf_transformations, "tf_transformations")
    quarter_about_z = np.array([0, 0, np.sqrt(0.5), np.sqrt(0.5)])
    expected = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(ros_packages.quaternion_to_matrix(quarter_about_z), expected, atol=1e-12)
