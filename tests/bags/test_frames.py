"""Bags as frames and a cloud, without playing them."""

import numpy as np
import pytest
from support.striped_scenes import StripedScene, written

from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.recording import BagConfig
from wsss_ros.bags.writing import write_bag
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput


@pytest.fixture
def scene(labels, tmp_path):
    written(tmp_path / "scenes", labels, [0])
    return open_scene(tmp_path / "scenes" / "scene0", labels)


def test_a_bag_without_a_cloud_is_fused(labels, tmp_path):
    class NoCloud(StripedScene):
        cloud = None

        def cloud_truth(self):
            return None

    path = write_bag(NoCloud(0, labels), tmp_path / "room.mcap", BagConfig(cloud_every=1000, frames=3))
    whole = BagFrames(path)
    sent = whole.cloud()  # the writer fused it
    whole.cloud_topic = ""
    fused = whole.cloud()
    assert len(fused) == len(sent) > 50
    np.testing.assert_allclose(fused.xyz[np.lexsort(fused.xyz.T)], sent.xyz[np.lexsort(sent.xyz.T)], atol=1e-3)


def test_topics_are_named_where_they_are_not_found(scene, tmp_path):
    path = write_bag(scene, tmp_path / "room.mcap")
    with pytest.raises(BadInput, match="no topic '/kinect'.*there are .*/color/image_raw"):
        BagFrames(path, color="/kinect")
    assert BagFrames(path, color="/color/image_raw", cloud_topic="/ground_truth/cloud").cloud_topic.endswith("th/cloud")
