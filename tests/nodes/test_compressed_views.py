"""Views whose images come compressed, as over a network: JPEG or PNG, and compressedDepth."""

import io

import numpy as np
import pytest
from PIL import Image as Picture
from support.node_views import until_answered
from support.tiny_networks import ON_ONE_THREAD
from support.view_messages import CLOCK, camera_info, colors, depth_image, header, pose
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import CompressedImage, Image, PointCloud2  # noqa: E402

from wsss_ros.bags import codec  # noqa: E402
from wsss_ros.nodes.qos import RESULT, SENSOR  # noqa: E402

pytestmark = pytest.mark.slow


def compressed(stamp: int, text: str, pixels: np.ndarray, before: bytes = b"") -> CompressedImage:
    file = io.BytesIO()
    Picture.fromarray(pixels).save(file, "PNG")
    message = CompressedImage(header=header(stamp, "camera_optical"), format=text)
    message.data.frombytes(before + file.getvalue())
    return message


@pytest.fixture(scope="module")
def segmenter(started, weights):
    return started("image_segmenter", weights=weights["image"], **ON_ONE_THREAD)


def test_points_from_compressed_images_and_images_in_spite_of_bad_depth(probe, segmenter):
    images = probe.collect(Image, segmenter.topic("semantic/image_raw"), RESULT)
    points = probe.collect(PointCloud2, segmenter.topic("semantic/points"), RESULT)

    def send(stamp: int, depth: CompressedImage) -> None:
        color = compressed(stamp, "rgb8; png compressed bgr8", colors())
        for name, message in (
            ("depth/image_rect/compressedDepth", depth),
            ("color/camera_info", camera_info(stamp)),
            ("pose", pose(stamp)),
            ("color/image_raw/compressed", color),
        ):
            probe.send(segmenter.topic(name), message, SENSOR)

    def sound(stamp: int) -> CompressedImage:
        millimetres = codec.image_to_array(depth_image(stamp))[..., 0].astype(np.uint16)
        return compressed(stamp, "16UC1; compressedDepth png", millimetres, bytes(12))

    def stamps(messages: list) -> list[int]:
        return [codec.stamp_ns(message.header) for message in messages]

    def view_of(make_depth) -> int:
        stamp = CLOCK.next()
        send(stamp, make_depth(stamp))
        return codec.stamp_ns(header(stamp, ""))

    until_answered(lambda: view_of(sound), images, points)
    broken = []

    def send_broken() -> None:
        empty = lambda stamp: CompressedImage(header=header(stamp, "c"), format="16UC1; compressedDepth png")  # noqa: E731
        broken.append(view_of(empty))

    message = "compressed depth: format '16UC1; compressedDepth png' of 0 bytes"
    assert probe.next_status(segmenter, message, act=send_broken)
    until(lambda: set(broken) & set(stamps(images)), "a bad depth message stopped the images")
    assert not set(broken) & set(stamps(points))
    good = view_of(sound)
    until(lambda: good in stamps(points), "no points after a bad depth message")
