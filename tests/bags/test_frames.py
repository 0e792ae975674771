"""Bags as frames and a cloud, without playing them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.ray_rooms import walked_cloud, world
from support.striped_scenes import StripedScene, written

from wsss_ros.bags import cdr, codec
from wsss_ros.bags.bag import read_bag
from wsss_ros.bags.bag_scene import open_scene_or_bag
from wsss_ros.bags.cloud_codec import INT16
from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.recorder import Recorder
from wsss_ros.bags.recording import BagConfig, Topic
from wsss_ros.bags.writing import write_bag
from wsss_ros.scenes import open_scene
from wsss_ros.scenes.reading import Reading
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


class InMillimetres(StripedScene):
    """A camera that writes millimetres as floats, which are metres."""

    cloud = None

    def frame(self, index):
        frame = super().frame(index)
        return replace(frame, depth_m=frame.depth_m * 1000)

    def cloud_truth(self):
        return None


def test_depth_in_another_unit_is_told_and_can_be_given(labels, tmp_path, caplog):
    path = write_bag(InMillimetres(0, labels), tmp_path / "mm.mcap", BagConfig(depth="32FC1", cloud_every=1000))
    bag = BagFrames(path)
    bag.cloud_topic = ""
    caplog.clear()
    bag.cloud()
    (text,) = [record.getMessage() for record in caplog.records if "depth" in record.getMessage()]
    assert "mm.mcap, /depth/image_rect: the median depth is 1.5e+03 m, read with the unit of 32FC1" in text
    assert "give depth_scale (--depth-scale), the depth values per metre" in text
    caplog.clear()
    opened = open_scene_or_bag(path, labels, True, Reading(depth_scale=1000))
    np.testing.assert_allclose(opened.frame(0).depth_m, 1.5)
    right = BagFrames(path, depth_scale=1000)
    right.cloud_topic = ""
    assert len(right.cloud()) > 50 and not caplog.records
    with pytest.raises(BadInput, match="pose_scale 2.0 cannot be given: a bag has its own cameras, poses and times"):
        open_scene_or_bag(path, labels, True, Reading(depth_scale=1000, pose_scale=2))


@pytest.mark.parametrize("encoding, written", [("16UC1", 5000), ("32FC1", 100), ("mono16", 256), ("64FC1", 1000)])
def test_the_values_per_metre_of_any_encoding(encoding, written):
    depth_m = np.linspace(0.5, 4, 12).reshape(3, 4)
    values = np.rint(depth_m * written).astype(codec.ENCODINGS[encoding].dtype())
    message = cdr.image_message(cdr.header(5, "map"), values, encoding)
    np.testing.assert_allclose(codec.depth_to_m(message, True, written), values / written, rtol=1e-6)
    np.testing.assert_allclose(codec.depth_to_m(message, False, written), values / written, rtol=1e-6)


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


def test_a_bags_cloud_in_an_optical_frame_far_away_is_upright(tmp_path, caplog):
    """Y points down, x y z are float64 in UTM coordinates. Where the cloud is no room, a warning says what is taken."""
    xyz = walked_cloud(world("office"), frames=60, size=(32, 24)) @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    for name, points in (("room", xyz + [500_000, 4_649_776, 213]), ("noise", np.random.default_rng(0).random((5, 3)))):
        recorder = Recorder(tmp_path / name, [Topic("/cloud", cdr.CLOUD)])
        message = cdr.cloud_message(cdr.header(5, "camera_depth_optical_frame"), Cloud(points))
        recorder.write("/cloud", 5, bytes(cdr.typestore().serialize_cdr(message, cdr.CLOUD)))
        recorder.close()
        frames = BagFrames(tmp_path / name)
        assert frames.up() == (0, -1, 0)
        np.testing.assert_array_equal(frames.cloud().xyz, points)
        assert ("up direction uncertain: too few planes; 0,-1,0 is taken" in caplog.text) == (name == "noise")


@pytest.mark.parametrize("end, kind", [("compressedDepth", "16UC1; compressedDepth png"), ("compressed", "png")])
def test_compressed_depth_and_colour_give_the_same_cloud(end, kind, scene, tmp_path):
    """A bag of compressed topics only, which the reader finds by the ends of their names."""
    path = write_bag(scene, tmp_path / "raw.mcap", BagConfig(frames=3))
    topics: dict[str, Topic] = {}
    written_messages = []
    for topic, stamp_ns, message in read_bag(path):
        if topic == "/cloud":
            continue
        if topic == "/depth/image_rect":
            file = io.BytesIO()
            Image.fromarray(codec.image_to_array(message)[..., 0].astype(np.uint16)).save(file, "PNG")
            data = bytes(12 if end == "compressedDepth" else 0) + file.getvalue()
            topic = f"{topic}/{end}"
            message = cdr.make(cdr.JPEG, header=message.header, format=kind, data=np.frombuffer(data, np.uint8))
        topics[topic] = Topic(topic, message.__msgtype__)
        written_messages.append((topic, stamp_ns, bytes(cdr.typestore().serialize_cdr(message, message.__msgtype__))))
    recorder = Recorder(tmp_path / "bag", list(topics.values()))
    for each in written_messages:
        recorder.write(*each)
    recorder.close()
    raw = BagFrames(path)
    raw.cloud_topic = ""
    np.testing.assert_array_equal(BagFrames(tmp_path / "bag").cloud().xyz, raw.cloud().xyz)


@pytest.mark.parametrize("names", [("/oak/rgb/image",), ("/oak/rgb/image/compressed", "/oak/rgb/image")])
def test_the_raw_topic_is_taken_where_one_camera_has_both(names, tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    head = cdr.header(5, "camera")
    recorder = Recorder(
        tmp_path / "bag", [Topic(name, cdr.JPEG if name.endswith("compressed") else cdr.IMAGE) for name in names]
    )
    for name in names:
        kind = cdr.JPEG if name.endswith("compressed") else cdr.IMAGE
        made = cdr.jpeg_message(head, rgb, 95) if kind == cdr.JPEG else cdr.image_message(head, rgb, "rgb8")
        recorder.write(name, 5, bytes(cdr.typestore().serialize_cdr(made, kind)))
    recorder.close()
    (frame,) = BagFrames(tmp_path / "bag").frames()
    np.testing.assert_array_equal(frame.rgb, rgb)
