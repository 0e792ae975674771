"""Depth of a furnished room, registered to the colour camera next to the depth camera: the cloud is on its surfaces."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from wsss_ros import geometry
from wsss_ros.geometry.distortion import rays
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.walk import walk
from wsss_ros.types import Camera, Distortion

# Like a RealSense D435 (unregistered depth, other focal lengths), and like an Azure Kinect (raw images, other sizes).
PAIRS = {
    "realsense": (Camera(385.0, 385.0, 320.0, 240.0, 640, 480), Camera(610.0, 609.0, 322.0, 245.0, 640, 480), 0.2),
    "azure": (
        Camera(
            504.0, 504.0, 320.0, 330.0, 640, 576, Distortion("polynomial", (0.6, 0.1, 1e-4, 4e-5, 0.01, 0.9, 0.2, 0.02))
        ),
        Camera(304.0, 304.0, 320.0, 180.0, 640, 360, Distortion("polynomial", (0.09, -0.05, 4e-4, -2e-4, 0.02))),
        5.9,
    ),
}


@pytest.fixture(scope="module")
def world(plans, labels):
    return World(plans["office"][1], labels)


def seen(world, camera, pose):
    """The true depth of each pixel, with the distortion of the camera."""
    directions = rays(camera).reshape(-1, 2)
    inside = np.isfinite(directions[:, 0])
    along = np.column_stack([np.nan_to_num(directions), np.ones(len(directions))]) @ pose[:3, :3].T
    depth = world.first_hits(np.broadcast_to(pose[:3, 3], along.shape), along)[1]
    return np.where(inside & np.isfinite(depth), depth, 0).astype(np.float32).reshape(camera.height, camera.width)


@pytest.mark.parametrize("name", PAIRS)
def test_the_cloud_of_registered_depth_is_on_the_surfaces(world, name):
    depth_camera, color_camera, tilt_deg = PAIRS[name]
    color_from_depth = np.eye(4)
    color_from_depth[:3, :3] = Rotation.from_euler("xyz", (tilt_deg, -0.3, 0.1), degrees=True).as_matrix()
    color_from_depth[:3, 3] = -0.032, -0.002, 0.004
    for world_from_color in walk(world.room, 40, np.random.default_rng(0))[::16]:
        depth_m = seen(world, depth_camera, world_from_color @ color_from_depth)
        truth = seen(world, color_camera, world_from_color)
        registered = geometry.register(depth_m, depth_camera, color_camera, color_from_depth)
        points, pixel = geometry.unproject(registered, color_camera, world_from_color)
        assert world.clearance(points).max() < 0.01
        error = np.abs(registered - truth).ravel()[pixel]
        assert np.median(error) < 0.003 and (error < 0.05).mean() > 0.99  # the rest is at the edges of things
        surface, pixel = geometry.unproject(truth, color_camera)
        uv, depth = geometry.project(surface, depth_camera, color_from_depth)
        both = geometry.visible(uv, depth, depth_m)  # what both cameras see
        assert (registered.ravel()[pixel[both]] > 0).mean() > 0.995
