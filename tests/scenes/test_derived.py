"""What is derived of a scene: which way is up, and the cloud of one that has none."""

from dataclasses import replace

import numpy as np
import pytest
from support.painted_scene import PaintedScene
from support.tiny_scene import TinyScene

from wsss_ros.geometry.voxel_map import VoxelMap
from wsss_ros.scenes import derived, open_scene
from wsss_ros.scenes.derived import cloud_of, fused, up_of, upright_from_world, upright_rotation
from wsss_ros.types import BadInput, Cloud

UNKNOWN_UP = TinyScene(world_up=None, has_depth=False, has_cloud=False)


def test_a_known_direction_is_taken_and_scaled_to_unit_length():
    scene = TinyScene(world_up=(0.0, -3.0, 4.0))
    assert up_of(scene) == (0.0, -0.6, 0.8)
    assert np.allclose(upright_rotation(scene) @ scene.world_up, [0, 0, 5])


def test_a_given_direction_replaces_the_known_one():
    scene = TinyScene(world_up=(0.0, -1.0, 0.0))
    assert np.allclose(upright_rotation(scene, "2,0,0") @ [1, 0, 0], [0, 0, 1])
    assert np.array_equal(upright_rotation(scene, "none"), np.eye(3))
    with pytest.raises(BadInput, match="up direction"):
        upright_rotation(scene, "upwards")


def test_up_is_found_from_the_frames(kitchen, labels, caplog):
    caplog.set_level("INFO", "wsss_ros")
    scene = open_scene(kitchen, labels)
    up = up_of(scene)
    assert scene.world_up is None and np.linalg.norm(up) == pytest.approx(1)
    assert np.array_equal(upright_rotation(scene)[2], up)
    assert "estimated up direction" in caplog.text
    height = fused(scene.frame(index) for index in range(0, len(scene), 10)).xyz @ up
    assert 1.5 < np.ptp(np.percentile(height, (1, 99))) < 3.5  # a room stands up


def test_frames_that_cannot_be_used_are_left_out_of_the_search_for_up():
    class Damaged(TinyScene):
        broken = (0,)

        def frame(self, index):
            if index in self.broken:
                raise BadInput(f"frame {index}: not an image")
            frame = super().frame(index)
            return replace(frame, world_from_camera=None) if index == 1 else frame

    scene = Damaged(frames=4)
    points, poses = derived._sampled(scene)
    np.testing.assert_array_equal(poses, [scene.frame(index).world_from_camera for index in (2, 3)])
    assert len(points) > 1000
    scene.broken = (0, 2, 3)
    with pytest.raises(BadInput, match="frame 0: not an image"):
        derived._sampled(scene)


def test_without_depth_or_cloud_up_is_unknown():
    with pytest.raises(BadInput, match=r"which way is up.*--up 0,0,1"):
        up_of(UNKNOWN_UP)


def test_the_axis_alignment_of_a_scene_is_its_upright_motion():
    scene, poses = TinyScene(world_up=(0.0, -1.0, 0.0)), np.eye(4)[None]
    motion = upright_from_world(scene, scene.cloud.xyz, poses)
    assert np.array_equal(motion[:3, :3], upright_rotation(scene)) and np.array_equal(motion[:, 3], [0, 0, 0, 1])
    scene.axis_alignment = np.diag([-1.0, -1.0, 1.0, 1.0])
    assert np.array_equal(upright_from_world(scene, scene.cloud.xyz, poses), scene.axis_alignment)


def test_the_own_cloud_comes_first():
    scene = PaintedScene()
    frames = (pytest.fail("a frame is read") for _ in range(3))
    assert np.array_equal(cloud_of(scene, frames).xyz, scene.cloud.xyz)


def test_a_missing_cloud_is_fused_from_all_frames():
    scene, voxels = TinyScene(has_cloud=False, scale=4), VoxelMap()
    for index in range(len(scene)):
        voxels.add(scene.frame(index))
    cloud = cloud_of(scene)
    assert len(cloud) > 200 and np.array_equal(cloud.xyz, voxels.cloud().xyz)
    few = cloud_of(scene, (scene.frame(index) for index in (0, 1)))
    assert 0 < len(few) < len(cloud)


def test_an_empty_cloud_counts_as_missing():
    class Emptied(TinyScene):
        cloud = Cloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))

    assert np.array_equal(cloud_of(Emptied(scale=4)).xyz, cloud_of(TinyScene(has_cloud=False, scale=4)).xyz)


def test_frames_without_depth_or_camera_add_nothing():
    frame = TinyScene().frame(0)
    with_gaps = [frame, replace(frame, depth_m=None), replace(frame, camera=None), frame]
    assert np.array_equal(fused(with_gaps).xyz, fused([frame, frame]).xyz)
    nothing = cloud_of(TinyScene(has_cloud=False, has_depth=False))
    assert isinstance(nothing, Cloud) and len(nothing) == 0
    with pytest.raises(BadInput, match="pose"):
        fused([replace(frame, world_from_camera=None)])
