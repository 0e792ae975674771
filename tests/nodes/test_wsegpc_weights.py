"""Networks of WSegPC in the running nodes, its sparse one too: what the method trains is a checkpoint as any other."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image, PointCloud2  # noqa: E402
from support.node_views import LATCHED, RELIABLE, answered, send, until_answered  # noqa: E402
from support.striped_scenes import written  # noqa: E402
from support.tiny_networks import ON_ONE_THREAD  # noqa: E402
from support.training_runs import GENTLE, one_thread, settings_for  # noqa: E402
from support.view_messages import CLOCK, HEIGHT, WIDTH, cloud, colors, room, view  # noqa: E402

from wsss_ros.bags import cloud_codec  # noqa: E402
from wsss_ros.inference import CloudSegmenter, ImageSegmenter  # noqa: E402
from wsss_ros.training.run import train  # noqa: E402
from wsss_ros.types import Frame  # noqa: E402

pytestmark = pytest.mark.slow
SPARSE = {"planes": [8] * 8, "blocks": [1] * 8, "stem": 8, "stem_kernel": 3, "voxel_m": 0.1}
LEARNS = {"batch": 2, "epochs": 1, "image": GENTLE, "cloud": GENTLE}
PHASES = [
    {"method": "wsegpc", "images_per_cloud": 2, "min_links": 10, **LEARNS},
    {"method": "wsegpc_labels", "long_sides": [32], **LEARNS},
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, labels):
    """The folder of a run of both stages on two scenes."""
    root = tmp_path_factory.mktemp("wsegpc")
    written(root / "train", labels, range(2))
    written(root / "val", labels, [100])
    cloud = {"network": "minkunet", "options": SPARSE, "augment": {"points": 256}}
    with one_thread():
        scores = train(settings_for(root, phases=PHASES, cloud=cloud))
    assert all(score["miou"] is not None for score in scores.values())
    return root / "run"


def test_images_are_segmented(probe, started, trained):
    weights = trained / "image.safetensors"
    node = started("image_segmenter", weights=weights, **ON_ONE_THREAD)
    got = probe.collect(Image, node.topic("semantic/image_raw"), RELIABLE)
    until_answered(lambda: send(probe, node, view(CLOCK.next())), got)
    expected, _ = ImageSegmenter(weights, "cpu", "float32")(Frame(colors()))
    labels = np.frombuffer(got[-1].data, np.uint8).reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(labels, expected)


def test_clouds_are_segmented(probe, started, trained):
    weights = trained / "cloud.safetensors"
    node = started("cloud_segmenter", weights=weights, points=1000, **ON_ONE_THREAD)
    got = probe.collect(PointCloud2, node.topic("semantic_cloud"), LATCHED)
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
    table = np.frombuffer(answered(got, stamp).data, cloud_codec.SEMANTIC_POINT)
    segmenter = CloudSegmenter(weights, "cpu", "float32", points=1000)
    assert segmenter.config.name == "minkunet"
    expected, _ = segmenter(room())
    np.testing.assert_array_equal(table["label"], expected)
