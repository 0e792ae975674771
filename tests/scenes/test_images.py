"""Image files: depth in millimetres, JPEGs that are reduced, Pillow in place of simplejpeg."""

import numpy as np
from support.scannet_room import room_frames

from wsss_ros.scenes import images


def test_depth_that_millimetres_cannot_hold_is_written_as_missing(tmp_path):
    depth_m = np.array([[np.nan, np.inf, -1, 0, 0.0004, 65.5346, 65.534, 0.0006]], np.float32)
    images.write_depth(tmp_path / "d.png", depth_m)
    expected = np.array([[0, 0, 0, 0, 0, 0, 65.534, 0.001]], np.float32)
    np.testing.assert_array_equal(images.read_depth(tmp_path / "d.png"), expected)


def test_jpegs_shrink_only_where_pixels_stay_aligned(tmp_path):
    images.write_rgb(tmp_path / "a.jpg", np.zeros((96, 128, 3), np.uint8))
    assert images.read_rgb(tmp_path / "a.jpg", at_least=(32, 20)).shape == (24, 32, 3)
    assert images.read_rgb(tmp_path / "a.jpg", at_least=(65, 20)).shape == (96, 128, 3)
    images.write_rgb(tmp_path / "odd.jpg", np.zeros((97, 128, 3), np.uint8))
    assert images.read_rgb(tmp_path / "odd.jpg", at_least=(32, 20)).shape == (97, 128, 3)


def test_pillow_replaces_simplejpeg(tmp_path, monkeypatch):
    rgb = next(room_frames(1))[0].rgb
    images.write_rgb(tmp_path / "a.jpg", rgb)
    fast = images.read_rgb(tmp_path / "a.jpg")
    monkeypatch.setattr(images, "simplejpeg", None)
    assert np.abs(images.read_rgb(tmp_path / "a.jpg").astype(int) - fast).max() <= 2
    images.write_rgb(tmp_path / "b.jpg", rgb)
    assert np.abs(images.read_rgb(tmp_path / "b.jpg").astype(int) - rgb).max() <= 4
