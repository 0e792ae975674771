"""The labels of a map in a frame; presets and files of settings."""

import numpy as np
import pytest

from wsss_ros.fusion import FEATURES, PRESETS, labels_in_frame, settings_named
from wsss_ros.types import BadInput, Camera, Frame

CAMERA = Camera(50.0, 50.0, 31.5, 23.5, 64, 48)


def frame(x, z, stamp_ns, depth_m):
    pose = np.eye(4)
    pose[:3, 3] = x, 0, z
    return Frame(np.zeros((48, 64, 3), np.uint8), CAMERA, np.full((48, 64), depth_m, np.float32), pose, stamp_ns)


def test_the_labels_of_a_map_reach_as_far_as_asked():
    points, label = np.array([[0.0, 0, 2], [0.5, 0, 2]]), np.array([3, 255], np.uint8)
    found = labels_in_frame(points, label, frame(0, 0, 0, 2.0), reach_m=0.1)
    v, u = np.nonzero(found == 3)
    assert np.hypot(u - 31.5, v - 23.5).max() <= 2.5 and len(v) > 15  # 0.1 m are 2.5 pixels
    assert set(np.unique(found)) == {3, 255}
    assert (labels_in_frame(points, label, frame(0, 0, 0, 0.0)) == 255).all()


def test_settings_by_name_and_by_file(tmp_path):
    assert settings_named("features") is FEATURES
    assert PRESETS["room_features"].surfels.radius_m < FEATURES.surfels.radius_m
    (tmp_path / "mine.yaml").write_text("dilation: 3\nsurfels: {radius_m: 0.1}\n")
    mine = settings_named(str(tmp_path / "mine.yaml"))
    assert mine.dilation == 3 and mine.surfels.radius_m == 0.1 and mine.max_dt_s == FEATURES.max_dt_s
    with pytest.raises(BadInput, match="neither one of features"):
        settings_named("feature")
    (tmp_path / "bad.yaml").write_text("dilatation: 3\n")
    with pytest.raises(BadInput, match="the nearest is 'dilation'"):
        settings_named(str(tmp_path / "bad.yaml"))
