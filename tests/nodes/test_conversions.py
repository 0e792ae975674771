"""Arrays to messages of rclpy. How messages are read is tested with the codecs."""

import numpy as np
import pytest
from reference import conversions as reference

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import PointField  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from wsss_ros.bags.cloud_codec import read_cloud  # noqa: E402
from wsss_ros.bags.codec import ENCODINGS, image_to_array  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402

FLOAT32, UINT32 = PointField.FLOAT32, PointField.UINT32


def header(frame_id: str = "map") -> Header:
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = 12, 345
    return made


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_image_message_round_trip(encoding):
    row = ENCODINGS[encoding]
    pixels = (np.random.default_rng(2).random((4, 6, row.channels)) * 200).astype(row.dtype())
    message = conversions.image_message(header("camera"), pixels.squeeze(), encoding)
    assert (message.height, message.width, message.header) == (4, 6, header("camera"))
    np.testing.assert_array_equal(np.frombuffer(message.data, row.dtype()).reshape(pixels.shape), pixels)
    np.testing.assert_array_equal(image_to_array(message), pixels)
    assert message.step * 4 == len(message.data)


@pytest.mark.parametrize("count", [0, 1, 16_384, 16_385, 40_000])
@pytest.mark.parametrize("colored", [True, False])
def test_cloud_round_trip(count, colored):
    random = np.random.default_rng(count)
    xyz = random.normal(size=(count, 3)).astype(np.float32)
    rgb = random.integers(0, 256, (count, 3), dtype=np.uint8) if colored else None
    message = conversions.cloud_message(header(), xyz, rgb)
    read = read_cloud(message)
    np.testing.assert_array_equal(read.cloud.xyz, xyz)
    assert (read.cloud.rgb is None) == (rgb is None)
    if colored:
        np.testing.assert_array_equal(read.cloud.rgb, rgb)
    assert message.header == header() and message.is_dense and not message.is_bigendian
    assert len(message.data) == message.row_step == message.point_step * count == (16 if colored else 12) * count


def test_semantic_cloud_keeps_order_organisation_and_bad_points(labels):
    random = np.random.default_rng(3)
    xyz = random.normal(size=(15, 3)).astype(np.float32)
    xyz[random.random((15, 3)) < 0.1] = np.nan
    message = conversions.cloud_message(header(), xyz, random.integers(0, 256, (15, 3), dtype=np.uint8))
    assert not message.is_dense
    message.height, message.width, message.row_step = 3, 5, 5 * message.point_step
    read = read_cloud(message)
    count = len(read.cloud)
    assert 0 < count < 15
    given = (np.arange(count) % 20).astype(np.uint8)
    sure = np.linspace(0.1, 1, count, dtype=np.float32)
    answer = conversions.semantic_cloud_message(message.header, read, given, sure, labels)
    assert (answer.height, answer.width, answer.header) == (3, 5, message.header)
    kinds = {field.name: field.datatype for field in answer.fields}
    assert kinds == {"x": FLOAT32, "y": FLOAT32, "z": FLOAT32, "rgb": FLOAT32, "label": UINT32, "confidence": FLOAT32}
    sent, got, at = reference.points(message), reference.points(answer), 0
    for before, after in zip(sent, got, strict=True):
        if not all(np.isfinite(before[axis]) for axis in "xyz"):
            assert after["label"] == 255 and after["confidence"] == 0 and np.isnan(after["x"]) and after["rgb"] == 0
            continue
        r, g, b = labels.colors[given[at]]
        assert [after[axis] for axis in "xyz"] == [before[axis] for axis in "xyz"]
        assert after["label"] == given[at] and after["rgb"] == r << 16 | g << 8 | b
        assert after["confidence"] == pytest.approx(sure[at])
        at += 1
    assert at == count and not answer.is_dense
