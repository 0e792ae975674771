"""A cloud file as a scene, for every command that takes one."""

import numpy as np
import pytest
from support import cloud_writers

from wsss_ros.labels import s3dis, scannet20
from wsss_ros.scenes import open_all, open_scene, ply
from wsss_ros.scenes.cloud_scene import CloudScene
from wsss_ros.scenes.derived import cloud_of, turns_of, up_of
from wsss_ros.scenes.reading import Reading
from wsss_ros.types import BadInput, Scene
from wsss_ros.viewer.networks import Networks
from wsss_ros.viewer.recorded import open_record


@pytest.fixture
def room() -> np.ndarray:
    """A floor and two walls with labels of s3dis: 2 floor, 3 wall."""
    random = np.random.default_rng(0)
    u, v = random.uniform(0, 4, (2, 6000))
    xyz = np.stack([u, v, 0 * u], 1)
    xyz[3000:4500] = np.stack([0 * u, u, v / 1.6], 1)[3000:4500]
    xyz[4500:] = np.stack([u, 0 * u, v / 1.6], 1)[4500:]
    label = np.where(np.arange(6000) < 3000, 2, 3).astype(np.uint8)
    return ply.colored_vertices(xyz.astype(np.float32), np.full((6000, 3), 90, np.uint8), label=label)


def test_a_cloud_is_a_scene(tmp_path, room):
    path = tmp_path / "my room.ply"
    ply.write(path, room)
    scene = open_scene(path, s3dis())
    assert isinstance(scene, Scene) and (scene.name, len(scene)) == ("my room", 0)
    assert scene.tags == ("floor", "wall") and scene.unknown == ()
    np.testing.assert_array_equal(scene.cloud_truth(), room["label"] - 1)
    np.testing.assert_array_equal(cloud_of(scene).xyz, np.stack([room[axis] for axis in "xyz"], 1))
    assert up_of(scene) == (0, 0, 1) and turns_of(scene) == 0
    assert [each.name for each in open_all([path], s3dis())[0]] == ["my room"]
    with pytest.raises(BadInput, match="a cloud has no frames"):
        scene.frame(0)


def test_what_the_file_leaves_open(tmp_path, room):
    (tmp_path / "a.xyz").write_text(
        "".join(f"{1000 * x} {1000 * z} {1000 * y} {n - 2}\n" for x, y, z, *_, n in room.tolist())
    )
    reading = Reading(unit="mm", columns="x z y label", label_ids="index")
    scene = open_scene(tmp_path / "a.xyz", s3dis(), reading=reading)
    np.testing.assert_allclose(scene.cloud.xyz[:, 2], room["z"], atol=1e-5)
    assert scene.tags == ("ceiling", "floor") and scene.cloud.rgb is None
    doubtful = CloudScene(tmp_path / "a.xyz", scannet20(), Reading(unit="mm", columns="x z y label", label_ids="auto"))
    with pytest.raises(BadInput, match="fit several readings"):
        doubtful.cloud_truth()


def test_a_cloud_without_labels_has_no_tags(tmp_path, room):
    (tmp_path / "a.pcd").write_bytes(cloud_writers.pcd([(axis, room[axis]) for axis in "xyz"], "binary_compressed"))
    scene = open_scene(tmp_path / "a.pcd", s3dis())
    assert scene.tags is None and scene.cloud_truth() is None


def test_the_viewer_shows_a_cloud(tmp_path, room):
    ply.write(tmp_path / "a.ply", room)
    record = open_record(tmp_path / "a.ply", Networks(), s3dis())
    assert len(record.stamps_ns) == 1 and record.view(0) is None and list(record.poses()) == []
    points = record.points(0)
    np.testing.assert_array_equal(points.truth, room["label"] - 1)
    np.testing.assert_array_equal(points.labels, points.truth)
