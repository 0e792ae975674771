"""Labels for LiDAR points by hand: what the camera sees, what is hidden, outside or behind; a moving platform."""

import dataclasses

import numpy as np
import pytest

from wsss_ros.fusion.map_kernels import NOT_SEEN
from wsss_ros.fusion.scan_labels import coarser, fitted, label_scan
from wsss_ros.fusion.semantic_map import SemanticMap, SemanticMapConfig
from wsss_ros.geometry import project, transform
from wsss_ros.types import Camera, Distortion

CAMERA = Camera(60.0, 60.0, 31.5, 23.5, 64, 48)
LABELS = np.tile((np.arange(64) // 16).astype(np.uint8), (48, 1))  # four stripes from left to right


def seen(points, camera: Camera = CAMERA, pose: np.ndarray | None = None) -> list[int]:
    pose = np.eye(4) if pose is None else pose
    return label_scan(np.array(points, np.float64), LABELS, camera, pose).labels.tolist()


def test_points_get_the_label_of_their_pixel_and_others_none():
    assert seen([(-1, 0, 3), (-0.3, 0, 3), (0.3, 0, 3), (1, 0, 3)]) == [0, 1, 2, 3]
    assert seen([(0.3, 0, -3), (9, 0, 3), (0, 9, 3), (0.3, 0, 3)]) == [NOT_SEEN, NOT_SEEN, NOT_SEEN, 2]


def test_a_point_behind_a_nearer_one_is_hidden_and_a_slope_is_not():
    assert seen([(0.1, 0, 1), (0.4, 0, 4), (0.42, 0.05, 4.2)]) == [2, NOT_SEEN, NOT_SEEN]
    floor = np.array([(0.3, 1.0, z) for z in np.arange(3.0, 7.0, 0.2)])
    large = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)
    scan = label_scan(floor, fitted(LABELS, 640, 480), large, np.eye(4))
    assert set(scan.labels.tolist()) == {2}, "the ground seen at a low angle"


def test_the_wall_behind_a_pole_is_hidden_from_the_camera_but_not_from_the_lidar():
    """The LiDAR is half a metre to the left of the camera and sees the wall behind the pole."""
    pole = [(0.0, y, 1.5) for y in np.arange(-0.5, 0.5, 0.03)]
    wall = [(x, y, 4.0) for x in np.arange(-1.5, 1.5, 0.1) for y in np.arange(-1.0, 1.0, 0.1)]
    labels = LABELS.copy()
    u, _ = project(np.array(pole), CAMERA, np.eye(4))
    labels[:, round(u[0, 0]) - 1 : round(u[0, 0]) + 2] = 9
    scan = label_scan(np.array(pole + wall), labels, CAMERA, np.eye(4), cell_px=4)
    assert set(scan.labels[: len(pole)].tolist()) == {9}
    assert 9 not in scan.labels[len(pole) :].tolist(), "no leak of the pole onto the wall"
    assert (scan.labels[len(pole) :] == NOT_SEEN).mean() < 0.4


def test_a_lens_with_distortion_is_followed():
    bent = dataclasses.replace(CAMERA, distortion=Distortion("polynomial", (-0.3, 0.1, 0.0, 0.0)))
    points = np.array([(x, 0.2, 3.0) for x in np.linspace(-1.2, 1.2, 30)])
    uv, _ = project(points, bent, np.eye(4))
    assert seen(points, bent) == (np.floor(uv[:, 0] + 0.5).astype(int) // 16).tolist()
    coarse = coarser(bent, 6)
    assert (coarse.width, coarse.height) == (11, 8)
    assert np.allclose(project(points, coarse, np.eye(4))[0], (uv + 0.5) / 6 - 0.5)


@pytest.mark.parametrize("size", [(64, 48), (32, 24), (16, 12), (21, 16)])
def test_labels_of_another_size_are_fitted_by_the_nearest_pixel(size):
    width, height = size
    small = np.arange(width * height).reshape(height, width)
    assert fitted(small, 64, 48).shape == (48, 64)
    assert np.array_equal(fitted(fitted(small, 64, 48), width, height), small)
    assert fitted(small[:5], 64, 48).shape == (5, width), "other proportions stay"


def platform(time_s: float) -> np.ndarray:
    """A camera that turns by one radian a second about its y axis and moves by 1 m/s."""
    pose, c, s = np.eye(4), np.cos(time_s), np.sin(time_s)
    pose[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    pose[0, 3] = time_s
    return pose


def test_motion_between_scan_and_image_is_compensated():
    """A striped wall at z = 4: the scan is 80 ms older than the image."""
    wall = np.array([(x, y, 4.0) for x in np.arange(-2, 2, 0.03) for y in np.arange(-1, 1, 0.1)])
    truth = (np.floor(wall[:, 0] / 0.25) % 4).astype(np.uint8)
    then, now = platform(-0.08), platform(0.0)
    rays = np.array([[((u - 31.5) / 60, (v - 23.5) / 60, 1.0) for u in range(64)] for v in range(48)])
    image = (np.floor(rays[..., 0] * 4 / 0.25) % 4).astype(np.uint8)
    in_lidar = transform(np.linalg.inv(then), wall)

    def right(world_from_lidar: np.ndarray) -> float:
        given = label_scan(transform(world_from_lidar, in_lidar), image, CAMERA, now).labels
        return (given == truth)[given != NOT_SEEN].mean()

    assert right(then) > 0.85 and right(now) < 0.3


def test_a_scan_weakens_voxels_that_it_looks_through():
    config = SemanticMapConfig(min_votes=0.3, voxel_size_m=0.1, max_conflict=1)
    made = SemanticMap(config, 5)
    near, far = (
        [(x, y, z) for x in np.arange(-w, w, 0.02) for y in np.arange(-w, w, 0.02)] for z, w in ((1.0, 0.2), (3, 1))
    )
    for _ in range(3):
        made.add_scan(label_scan(np.array(near, float), LABELS, CAMERA, np.eye(4)))
    assert (made.cloud().xyz[:, 2] < 1.5).all()
    for _ in range(12):
        made.add_scan(label_scan(np.array(far, float), LABELS, CAMERA, np.eye(4)))
    assert (made.cloud().xyz[:, 2] > 2.5).all()
