"""Rendering: rays against every triangle, light, and the faults of the camera."""

import numpy as np
import pytest
from reference import rooms as reference

from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.render.light import Light, shade
from wsss_ros.rooms.render.sensor import Sensor, exposure_gain
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.styles import DEFAULT
from wsss_ros.rooms.views import room_camera
from wsss_ros.rooms.walk import walk


@pytest.fixture(scope="module")
def world(plans, labels):
    return World(plans["office"][1], labels)


def test_cast_agrees_with_every_triangle_tested(world):
    camera = room_camera((64, 48))
    triangles, owner = reference.triangles_of(world.room)
    for pose in walk(world.room, 20, np.random.default_rng(0))[::6]:
        view = world.cast(camera, pose)
        for u, v in np.random.default_rng(1).integers(0, (64, 48), (12, 2)):
            depth, triangle = reference.first_hit(triangles, camera, pose, int(u), int(v))
            k = v * 64 + u
            assert view.depth_m[k] == pytest.approx(depth, abs=1e-4)
            same_plane = triangles[view.part[k] == owner].size
            assert same_plane
            assert view.part[k] == owner[triangle] or abs(view.depth_m[k] - depth) < 1e-4
            face = np.cross(*(np.diff(triangles[triangle], axis=0)))
            assert abs(face @ view.flat_normal[k]) == pytest.approx(np.linalg.norm(face), rel=1e-3)
            hit = pose[:3, :3] @ (np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1]) * depth)
            assert np.allclose(view.point[k], hit + pose[:3, 3], atol=1e-3)
            assert (view.normal[k] * (pose[:3, 3] - view.point[k])).sum() > -0.2


def test_light_and_camera_vary_and_images_are_neither_black_nor_burnt(world):
    camera = room_camera((160, 120))
    pose = walk(world.room, 20, np.random.default_rng(2))[10]
    view, means = world.cast(camera, pose), []
    for seed in range(5):
        kit, rng = Kit(np.random.default_rng(seed), DEFAULT), np.random.default_rng(seed)
        light, sensor = Light.draw(world.room, kit), Sensor.draw(kit)
        linear = shade(world, camera, view, light, pose[:3, 3], rng)
        assert np.isfinite(linear).all()
        assert linear.min() >= 0
        rgb = sensor.expose(linear, camera, exposure_gain(linear, sensor.exposure), rng)
        means.append(rgb.mean((0, 1)))
        assert 40 < rgb.mean() < 215
        assert rgb.std() > 8
    assert np.std(means, axis=0).max() > 4


def test_depth_is_noisier_farther_away_and_missing_where_it_should_be(world):
    camera = room_camera((320, 240))
    sensor = Sensor.draw(Kit(np.random.default_rng(0), DEFAULT))
    near, far, missing = [], [], []
    for k, pose in enumerate(walk(world.room, 40, np.random.default_rng(3))[::5]):
        view = world.cast(camera, pose)
        depth = sensor.measure(world, view, camera, pose[:3, 3], np.random.default_rng(k)).ravel()
        assert np.array_equal(depth, (np.round(depth * 1000) / np.float32(1000)).astype(np.float32))
        assert depth[depth > 0].min() >= sensor.depth_range[0]
        assert depth.max() <= sensor.depth_range[1]
        seen = depth > 0
        error = depth - view.depth_m
        near.append(error[seen & (view.depth_m < 1.2)])
        far.append(error[seen & (view.depth_m > 2.2)])
        missing.append(1 - seen.mean())
        back = pose[:3, 3] - view.point
        slant = np.abs((view.flat_normal * back).sum(1)) / np.linalg.norm(back, axis=1)
        assert seen[slant < 0.04].mean() < 0.3 if (slant < 0.04).sum() > 50 else True
    assert np.concatenate(far).std() > 1.5 * np.concatenate(near).std() > 0
    assert abs(np.concatenate(far).mean()) < 0.002
    assert 0.005 < np.mean(missing) < 0.5
