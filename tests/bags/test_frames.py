"""Bags as frames and a cloud, without playing them."""

import io

import numpy as np
import pytest
from PIL import Image
from support.striped_scenes import StripedScene, written

from wsss_ros.bags import cdr
from wsss_ros.bags.cloud_codec import INT16
from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.recorder import Recorder
from wsss_ros.bags.recording import BagConfig, Topic
from wsss_ros.bags.writing import write_bag
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput, Cloud


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


def test_a_bag_of_another_recorder(tmp_path):
    """WebP images and whole metres."""
    rgb = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "WebP", lossless=True)
    head = cdr.header(5, "map")
    image = cdr.make(cdr.JPEG, header=head, format="webp", data=np.frombuffer(file.getvalue(), np.uint8))
    cloud = cdr.cloud_message(head, Cloud(np.zeros((2, 3), np.float32)))
    for place, field in enumerate(cloud.fields):
        field.datatype, field.offset = INT16, 2 * place
    cloud.point_step, cloud.row_step, cloud.data = 6, 12, np.arange(6, dtype="<i2").view(np.uint8)
    recorder = Recorder(tmp_path / "bag", [Topic("/camera", cdr.JPEG), Topic("/cloud", cdr.CLOUD)])
    for topic, msgtype, message in (("/camera", cdr.JPEG, image), ("/cloud", cdr.CLOUD, cloud)):
        recorder.write(topic, 5, bytes(cdr.typestore().serialize_cdr(message, msgtype)))
    recorder.close()
    frames = BagFrames(tmp_path / "bag")
    (frame,) = frames.frames()
    np.testing.assert_array_equal(frame.rgb, rgb)
    np.testing.assert_array_equal(frames.cloud().xyz, np.arange(6).reshape(2, 3))
