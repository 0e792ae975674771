"""Scenes, bags and labelled files as the viewer reads them."""

from dataclasses import replace

import numpy as np
import pytest
from support.robot_bags import truth, without, write_robot_bag
from support.striped_scenes import StripedScene, written
from support.tiny_networks import save_network

from wsss_ros.bags import cdr
from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.recorder import Recorder
from wsss_ros.bags.recording import BagConfig, Topic
from wsss_ros.bags.writing import write_bag
from wsss_ros.doctor.inputs import check
from wsss_ros.fusion.map_files import AboutMap, write_map
from wsss_ros.fusion.map_views import LabelledScan
from wsss_ros.fusion.semantic_map import SemanticMap, SemanticMapConfig
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.label_files.labeller import Labeller
from wsss_ros.label_files.sources import Source
from wsss_ros.label_files.writing import segment
from wsss_ros.labels import UNLABELLED
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput, Camera, Cloud
from wsss_ros.viewer import recorded_bag
from wsss_ros.viewer.networks import Networks
from wsss_ros.viewer.recorded import SceneRecord, SegmentedFolder, open_record
from wsss_ros.viewer.recorded_bag import BagRecord


@pytest.fixture(scope="module")
def networks(labels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for kind in ("image", "cloud"):
        save_network(folder / f"{kind}.safetensors", kind, labels, 0)
    images = ImageSegmenter(folder / "image.safetensors", "cpu", "float32")
    return Networks(images, CloudSegmenter(folder / "cloud.safetensors", "cpu", "float32"), 0.0)


@pytest.fixture
def folder(labels, tmp_path):
    written(tmp_path / "scenes", labels, [0])
    return tmp_path / "scenes" / "scene0"


def test_a_scene_with_networks(folder, networks, labels):
    record = open_record(folder, networks, labels)
    assert isinstance(record, SceneRecord) and record.name == "scene0"
    assert len(record.stamps_ns) == len(record.poses()) == 4
    points, scene = record.points(0), open_scene(folder, labels)
    expected, confidence = networks.clouds(scene.cloud, tuple(scene.world_up))
    assert np.array_equal(points.labels, expected) and np.allclose(points.confidence, confidence)
    assert np.array_equal(points.truth, scene.cloud_truth())
    assert points.modes == ("class", "rgb", "confidence", "truth")
    view = record.view(2)
    assert view.stamp_ns == record.stamps_ns[2] and not np.array_equal(view.rgb, scene.frame(2).rgb)
    assert np.array_equal(view.world_from_camera, record.poses()[2])


def test_a_scene_without_networks_shows_its_truth(folder, labels):
    record = open_record(folder, Networks(), labels)
    scene = open_scene(folder, labels)
    assert np.array_equal(record.points(0).labels, scene.cloud_truth())
    assert np.array_equal(record.view(1).rgb, scene.frame(1).rgb)


def test_z_points_up_in_a_tilted_scene(labels):
    class Tilted(StripedScene):
        world_up = (0.0, -1.0, 0.0)

    scene = Tilted(0, labels)
    record = SceneRecord(scene, Networks(), labels, lambda *_: None)
    np.testing.assert_allclose(record.points(0).xyz[:, 2], -scene.cloud.xyz[:, 1], atol=1e-6)
    np.testing.assert_allclose(record.poses()[0][2, 1], -1, atol=1e-9)  # the camera's y axis is down


def test_a_bag_without_labels(labels, networks, tmp_path):
    scene = StripedScene(0, labels)
    path = write_bag(scene, tmp_path / "room.mcap", BagConfig(cloud_every=2))
    record = open_record(path, networks, labels)
    assert isinstance(record, BagRecord)
    assert record.stamps_ns == [scene.frame(index).stamp_ns for index in range(4)]
    assert record.points(0) is None, "the first cloud comes with the second view"
    first, last = record.points(1), record.points(3)
    assert len(first) <= len(last) and record.points(2) is first
    assert first.confidence is not None and (first.labels != UNLABELLED).any()
    np.testing.assert_allclose(record.view(3).world_from_camera, np.eye(4), atol=1e-9)
    assert record.view(0).camera is not None
    plain = open_record(path, Networks(), labels)
    assert plain.points(3).modes == ("rgb",)
    assert np.abs(plain.view(3).rgb.astype(int) - scene.frame(3).rgb).mean() < 12, "a JPEG of the image"


def test_recorded_labels_are_shown_as_they_are(labels, tmp_path):
    """A bag of the nodes' results: the semantic cloud, its input with colours, label images."""
    scene = StripedScene(0, labels)
    cloud, truth = scene.cloud, scene.cloud_truth()
    topics = {"color/image_raw": cdr.IMAGE, "semantic/image_raw": cdr.IMAGE, "cloud": cdr.CLOUD}
    recorder = Recorder(
        tmp_path / "results.mcap",
        [Topic(f"/{name}", kind) for name, kind in (topics | {"semantic_cloud": cdr.CLOUD}).items()],
    )
    head, store = cdr.header(5, "map"), cdr.typestore()
    frame, pixels = scene.frame(1), scene.frame_truth(1)
    messages = [
        ("color/image_raw", cdr.image_message(head, frame.rgb, "rgb8")),
        ("semantic/image_raw", cdr.image_message(head, pixels, "mono8")),
        ("cloud", cdr.cloud_message(head, cloud)),
        ("semantic_cloud", semantic_message(head, cloud, truth, labels)),
    ]
    for name, message in messages:
        recorder.write(f"/{name}", 5, bytes(store.serialize_cdr(message, message.__msgtype__)))
    recorder.close()
    record = open_record(tmp_path / "results.mcap", Networks(), labels)
    points = record.points(0)
    assert np.array_equal(points.labels, truth) and np.array_equal(points.rgb, cloud.rgb)
    left, right = record.view(0).rgb[:, :16].mean(axis=(0, 1)), record.view(0).rgb[:, 16:].mean(axis=(0, 1))
    expected = [
        0.4 * frame.rgb[:, half].mean(axis=(0, 1)) + 0.6 * np.array(labels.colors[pixels[0, x]])
        for half, x in ((slice(16), 0), (slice(16, None), 20))
    ]
    np.testing.assert_allclose([left, right], expected, atol=6)


def test_a_map_of_another_model_has_the_names_that_the_bag_gives(labels, tmp_path):
    cloud = StripedScene(0, labels).cloud
    there = (np.arange(len(cloud)) % 3).astype(np.uint8)
    head, store, path = cdr.header(5, "map"), cdr.typestore(), tmp_path / "map.mcap"
    topics = {"semantic_cloud": cdr.CLOUD, "semantic_map": cdr.CLOUD, "semantic_map/label_names": cdr.STRING}
    names = ['{"0": "door"}', '{"0": "mur", "1": "wall", "2": "void"}']
    messages = [
        ("semantic_cloud", semantic_message(head, cloud, there * 0, labels)),
        (
            "semantic_map",
            semantic_message(head, Cloud(cloud.xyz[:0], cloud.rgb[:0]), there[:0], labels),
        ),  # before its first view
        ("semantic_map", semantic_message(head, cloud, there, labels)),
        *(("semantic_map/label_names", cdr.make(cdr.STRING, data=text)) for text in names),
    ]
    recorder = Recorder(path, [Topic(f"/{name}", kind) for name, kind in topics.items()])
    for name, message in messages:
        recorder.write(f"/{name}", 5, bytes(store.serialize_cdr(message, message.__msgtype__)))
    recorder.close()
    record = open_record(path, Networks(), labels)
    assert record.labels.names == ("mur", "wall")
    assert record.labels.colors[1] == labels.colors[labels.index("wall")]
    assert record.points(0).labels.tolist() == np.where(there == 2, UNLABELLED, there).tolist()


def test_a_saved_map(labels, tmp_path):
    made, path = SemanticMap(SemanticMapConfig(max_voxels=10_000, voxel_size_m=0.1), 2), tmp_path / "home.npz"
    xyz, given = np.array([[0.0, 0, 1], [1.0, 0, 1]]), np.array([1, 0], np.uint8)
    for _ in range(3):
        made.add_scan(LabelledScan(xyz, given, np.zeros((1, 1), np.float32), Camera(1, 1, 0, 0, 1, 1), np.eye(4), 7))
    write_map(path, AboutMap(("mur", "wall"), "map", 0.1), made.state())
    record = open_record(path, Networks(), labels)
    assert (record.name, record.labels.names, record.stamps_ns) == ("home", ("mur", "wall"), [7])
    points = record.points(0)
    assert dict(zip(points.xyz[:, 0].round().tolist(), points.labels.tolist(), strict=True)) == {0.0: 1, 1.0: 0}
    assert record.view(0) is None
    with pytest.raises(BadInput, match="is not a bag"):
        open_record(path, Networks(), labels, color="/color")
    found = check(path, labels)
    assert found.kind == "a semantic map that semantic_mapper saved" and found.command == f"wsss view {path}"
    assert [finding.text for finding in found.findings] == ["2 of 0.1 m in the frame 'map'", "2: mur, wall"]
    made.clear()
    write_map(path, AboutMap(("mur", "wall"), "map", 0.1), made.state())
    with pytest.raises(BadInput, match="there is nothing to show"):
        open_record(path, Networks(), labels)


def semantic_message(head, cloud, labels, space):
    from wsss_ros.bags.cloud_codec import SEMANTIC_POINT, ReadCloud, point_fields, write_semantic_points

    rows = np.zeros(len(cloud), SEMANTIC_POINT)
    write_semantic_points(rows, ReadCloud(cloud, None, 1, len(cloud)), labels, np.ones(len(cloud), np.float32), space)
    message = cdr.cloud_message(head, cloud)
    fields = [replace(message.fields[0], name=n, offset=o, datatype=t) for n, o, t in point_fields(SEMANTIC_POINT)]
    step = SEMANTIC_POINT.itemsize
    data = np.frombuffer(rows.tobytes(), np.uint8)
    return replace(message, fields=fields, point_step=step, row_step=step * len(rows), data=data)


def test_a_bag_of_a_robot_with_poses_in_tf(labels, tmp_path):
    """Poses from TF at the stamps of the images, and a cloud that is fused from depth."""
    path = write_robot_bag(tmp_path / "robot.mcap")
    record = open_record(path, Networks(), labels)
    assert len(record.stamps_ns) == len(record.poses()) == 10
    for index, stamp in enumerate(record.stamps_ns):
        np.testing.assert_allclose(record.view(index).world_from_camera, truth(stamp), atol=1e-6)
    frames = BagFrames(path)
    cloud, camera = frames.cloud(), next(frames.views()).camera
    assert record.view(0).camera == camera
    points = record.points(0)
    np.testing.assert_allclose(points.xyz + points.origin, cloud.xyz, atol=1e-5)
    assert points is record.points(9) and np.array_equal(points.rgb, cloud.rgb)


def test_without_any_pose_the_pictures_are_shown(labels, tmp_path, caplog):
    path = without(write_robot_bag(tmp_path / "robot.mcap"), tmp_path / "still.mcap", "/tf")
    record = open_record(path, Networks(), labels)
    assert len(record.stamps_ns) == 10 and not record.poses() and record.points(0) is None
    assert record.view(3).world_from_camera is None and record.view(3).camera is not None
    assert "10 of 10 views have no pose in TF" in caplog.text and "no cloud from the depth images" in caplog.text


def test_one_camera_of_several_is_shown(labels, tmp_path):
    path = write_robot_bag(tmp_path / "robot.mcap", cameras=("/front", "/back"))
    with pytest.raises(BadInput, match=r"several cameras: /front/color/image_raw, /back/color/image_raw.*--color"):
        open_record(path, Networks(), labels)
    record = open_record(path, Networks(), labels, color="/back/color/image_raw", fixed_frame="odom")
    assert len(record.stamps_ns) == 10
    np.testing.assert_allclose(record.poses()[3], truth(record.stamps_ns[3], "odom"), atol=1e-6)


def test_topics_are_choices_of_a_bag(folder, labels):
    with pytest.raises(BadInput, match="is not a bag; --color"):
        open_record(folder, Networks(), labels, color="/back/color/image_raw")


def test_long_bags_keep_every_second_view(labels, tmp_path, monkeypatch):
    monkeypatch.setattr(recorded_bag, "MOST_VIEWS", 3)
    monkeypatch.setattr(recorded_bag, "MOST_CLOUDS", 1)
    scene = StripedScene(0, labels)
    record = BagRecord(
        write_bag(scene, tmp_path / "room.mcap", BagConfig(cloud_every=1)), Networks(), labels, lambda *_: None
    )
    assert record.stamps_ns == [scene.frame(index).stamp_ns for index in (0, 2)]
    assert record.points(1) is not None


def test_what_wsss_segment_wrote(folder, networks, labels, tmp_path):
    scene = open_scene(folder, labels)
    out = tmp_path / "labels"
    segment([Source.of_scene(scene)], out, Labeller(networks.images, networks.clouds, min_confidence=0.0))
    record = open_record(out, Networks(), labels)
    assert isinstance(record, SegmentedFolder) and len(record.stamps_ns) == 4
    expected, _ = networks.clouds(scene.cloud, tuple(scene.world_up))
    assert np.array_equal(record.points(0).labels, expected) and record.points(0).modes == ("class", "confidence")
    assert record.view(3).rgb.shape == scene.frame(3).rgb.shape


def test_a_bag_of_something_else_is_refused(tmp_path, labels):
    recorder = Recorder(tmp_path / "talk.mcap", [Topic("/chatter", cdr.STRING)])
    message = cdr.tags_message(["bed"])
    recorder.write("/chatter", 5, bytes(cdr.typestore().serialize_cdr(message, cdr.STRING)))
    recorder.close()
    with pytest.raises(BadInput, match="no topic 'color/image_raw' or 'cloud'; it holds /chatter"):
        open_record(tmp_path / "talk.mcap", Networks(), labels)
