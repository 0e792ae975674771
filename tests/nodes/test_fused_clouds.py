"""Weights that take fused labels in the running cloud segmenter: a cloud with a field label, and one without."""

import dataclasses

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from support.node_views import LATCHED, answered, has_answer  # noqa: E402
from support.tiny_networks import ON_ONE_THREAD  # noqa: E402
from support.view_messages import CLOCK, cloud, header, room  # noqa: E402
from support.waiting import until  # noqa: E402

from wsss_ros.bags import bag_labels, cloud_codec  # noqa: E402
from wsss_ros.inference import CloudSegmenter  # noqa: E402
from wsss_ros.networks import checkpoint  # noqa: E402
from wsss_ros.networks.checkpoint import NetworkConfig  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402

pytestmark = pytest.mark.slow
NARROW = {"voxel_m": 0.2, "encoder": [[8, 8]], "bottleneck": [8, 8], "decoder": [[8, 8]], "head": [8, 8]}


def test_a_cloud_needs_the_field_label(probe, started, labels, tmp_path):
    torch.manual_seed(0)
    config = NetworkConfig("cloud", "sparse_unet", NARROW, ("fused_label",))
    file = tmp_path / "cloud.safetensors"
    checkpoint.save(file, config.build(labels), config, labels)
    node = started("cloud_segmenter", weights=str(file), points=3000, **ON_ONE_THREAD)
    got = probe.collect(PointCloud2, node.topic("semantic_cloud"), LATCHED)
    plain = CLOCK.next()
    probe.send(node.topic("cloud"), cloud(plain), LATCHED)
    until(lambda: "the cloud has no fused labels" in node.text)
    fused = np.random.default_rng(0).integers(0, 20, len(room())).astype(np.uint8)
    stamp = CLOCK.next()
    read = cloud_codec.read_cloud(cloud(stamp))
    sure = np.ones(len(fused), np.float32)
    message = conversions.semantic_cloud_message(header(stamp, "world"), read, fused, sure, labels)
    probe.send(node.topic("cloud"), message, LATCHED)
    table = np.frombuffer(answered(got, stamp).data, cloud_codec.SEMANTIC_POINT)
    seen = dataclasses.replace(cloud_codec.read_cloud(message).cloud, fused_label=fused)
    expected, _ = CloudSegmenter(file, "cpu", "float32", points=3000)(seen)
    np.testing.assert_array_equal(table["label"], expected)
    assert not has_answer(got, plain)
    # The classes of a map of another model, in another order: they are matched by name.
    order = np.random.default_rng(1).permutation(len(labels))
    names = bag_labels.names_as_text({int(there): labels.names[here] for here, there in enumerate(order)})
    probe.send(node.topic("cloud/label_names"), String(data=names), LATCHED)
    until(lambda: probe.values(node)[f"received {node.topic('cloud/label_names')}"] == "1")
    stamp = CLOCK.next()
    message = conversions.semantic_cloud_message(
        header(stamp, "world"), read, order[fused].astype(np.uint8), sure, labels
    )
    probe.send(node.topic("cloud"), message, LATCHED)
    np.testing.assert_array_equal(
        np.frombuffer(answered(got, stamp).data, cloud_codec.SEMANTIC_POINT)["label"], expected
    )
