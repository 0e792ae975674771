"""A LiDAR driver as robots have them: organised clouds with NaN and intensity, without colour."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from support import ray_rooms  # noqa: E402
from support.node_views import LATCHED, answered  # noqa: E402
from support.tiny_networks import ON_ONE_THREAD  # noqa: E402
from support.view_messages import CLOCK, header  # noqa: E402

from wsss_ros.bags import cloud_codec  # noqa: E402
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402

pytestmark = pytest.mark.slow
RINGS, COLUMNS = 64, 1024
# The fields of a spinning LiDAR's points: 48 bytes, most of them of no use here.
POINT = np.dtype(
    {
        "names": ["x", "y", "z", "intensity", "t", "reflectivity", "ring", "ambient", "range"],
        "formats": ["<f4"] * 4 + ["<u4"] + ["<u2"] * 3 + ["<u4"],
        "offsets": [0, 4, 8, 16, 20, 24, 26, 28, 32],
        "itemsize": 48,
    }
)
CODES = {"<f4": 7, "<u4": 6, "<u2": 4}


def driver_message(stamp: int, xyz: np.ndarray, missing: float) -> PointCloud2:
    """The scan as a driver sends it; a ray without a return is ``missing``, NaN or 0."""
    points = np.zeros((RINGS, COLUMNS), POINT)
    for axis, name in enumerate("xyz"):
        points[name] = np.where(np.isnan(xyz[..., axis]), missing, xyz[..., axis])
    points["intensity"] = np.random.default_rng(0).uniform(0, 255, points.shape)
    points["ring"] = np.arange(RINGS)[:, None]
    message = PointCloud2(header=header(stamp, "os_sensor"), height=RINGS, width=COLUMNS)
    message.point_step, message.row_step = POINT.itemsize, POINT.itemsize * COLUMNS
    message.fields = [
        PointField(name=name, offset=POINT.fields[name][1], datatype=CODES[POINT[name].str], count=1)
        for name in POINT.names
    ]
    message.data.frombytes(points.tobytes())
    return message


@pytest.fixture(scope="module")
def scan() -> tuple[np.ndarray, np.ndarray]:
    return ray_rooms.lidar_scan(ray_rooms.world("living_room"))


@pytest.fixture(scope="module")
def node(started):
    return started("cloud_segmenter", sensor_timeout_s=60.0, **ON_ONE_THREAD)


@pytest.mark.parametrize("missing", [np.nan, 0.0], ids=["NaN", "zero"])
def test_an_organised_scan_gets_the_labels_of_its_plain_cloud(probe, node, scan, labels, missing):
    """The weights that ship; both are scored against the room's truth."""
    xyz, truth = scan
    semantic = probe.collect(PointCloud2, node.topic("semantic_cloud"), LATCHED)
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), driver_message(stamp, xyz, missing), LATCHED)
    answer = answered(semantic, stamp)
    assert (answer.height, answer.width, answer.header.frame_id) == (RINGS, COLUMNS, "os_sensor")
    table = np.frombuffer(answer.data, cloud_codec.SEMANTIC_POINT).reshape(RINGS, COLUMNS)
    lost = np.isnan(xyz[..., 0])
    assert lost.sum() > 1000 and not answer.is_dense
    assert (table["label"][lost] == 255).all() and np.isnan(table["x"][lost]).all()
    np.testing.assert_array_equal(table["x"][~lost], xyz[~lost][:, 0])

    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), conversions.cloud_message(header(stamp, "map"), xyz[~lost]), LATCHED)
    plain = np.frombuffer(answered(semantic, stamp).data, cloud_codec.SEMANTIC_POINT)
    np.testing.assert_array_equal(table["label"][~lost], plain["label"])

    scores = [
        ConfusionMatrix(labels).update(found.astype(np.uint8), truth[~lost]).compute()["miou"]
        for found in (table["label"][~lost], plain["label"])
    ]
    print("mIoU of the organised and of the plain cloud:", scores)
    assert scores[0] == scores[1] > 0
    values = probe.values(node)
    assert values["up"] == "0,0,1" and float(values["up_certainty"]) > 0.5
    assert int(values["points_not_finite"]) >= lost.sum()
    assert "trained on coloured clouds only" in node.text or "no colours" not in node.text
