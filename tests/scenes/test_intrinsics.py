"""Intrinsics from every form that people have; sizes; errors with what to do."""

import json
import logging

import numpy as np
import pytest

from wsss_ros.scenes.intrinsics import parse_intrinsics, read_intrinsics_file
from wsss_ros.types import BadInput, Camera, Distortion

K = np.array([[535.4, 0, 320.1], [0, 539.2, 247.6], [0, 0, 1]])
K4 = np.eye(4)
K4[:3, :3] = K
_ROWS = "\n".join(" ".join(map(str, row)) for row in K)
_DATA = "535.4, 0., 320.1, 0., 539.2, 247.6, 0., 0., 1."
_OPENCV = f"""%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ {_DATA} ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ 0.1, -0.2, 0., 0., 0. ]
"""
_ROS = f"""image_width: 640
image_height: 480
camera_name: head
camera_matrix: {{rows: 3, cols: 3, data: [{_DATA}]}}
distortion_model: plumb_bob
distortion_coefficients: {{rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}}
rectification_matrix: {{rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}}
projection_matrix: {{rows: 3, cols: 4, data: [500, 0, 321, 0, 0, 501, 241, 0, 0, 0, 1, 0]}}
"""
_ORB = "%YAML:1.0\nCamera.type: PinHole\nCamera.fx: 535.4\nCamera.fy: 539.2\nCamera.cx: 320.1\nCamera.cy: 247.6\n"
_KALIBR = "cam0:\n  intrinsics: [535.4, 539.2, 320.1, 247.6]\n  resolution: [640, 480]\n  distortion_model: radtan\n"
_VALUES = {"fx": 535.4, "fy": 539.2, "cx": 320.1, "cy": 247.6}


@pytest.mark.parametrize(
    ("name", "text", "size", "lens", "scale"),
    [
        ("k.txt", _ROWS, None, None, None),
        ("k.txt", "\n".join(" ".join(map(str, row)) for row in K4), None, None, None),
        ("k.txt", "# fx fy cx cy\r\n535.4, 539.2, 320.1, 247.6\r\n", None, None, None),
        ("k.txt", "[[535.4, 0, 320.1], [0, 539.2, 247.6], [0, 0, 1]]", None, None, None),
        ("a.pincam", "640 480 535.4 539.2 320.1 247.6", (640, 480), None, None),
        ("k.txt", "fx = 535.4\nfy = 539.2\ncx = 320.1\ncy = 247.6\n", None, None, None),
        ("cv.yaml", _OPENCV, (640, 480), Distortion("polynomial", (0.1, -0.2, 0, 0, 0)), None),
        ("ros.yaml", _ROS, (640, 480), Distortion("polynomial", (0.1, -0.2, 0, 0, 0)), None),
        ("orb.yaml", _ORB + "Camera.width: 640\nCamera.height: 480\nDepthMapFactor: 5000.0\n", (640, 480), None, 5000),
        ("kalibr.yaml", _KALIBR, (640, 480), None, None),
        ("a.json", json.dumps(_VALUES | {"width": 640, "height": 480}), (640, 480), None, None),
        ("a.json", json.dumps({"camera": _VALUES | {"w": 640, "h": 480, "scale": 6553.5}}), (640, 480), None, 6553.5),
        ("a.json", json.dumps({"intrinsic_matrix": K.T.ravel().tolist()}), None, None, None),
        ("a.json", json.dumps({"K": K.tolist(), "image_size": [640, 480]}), (640, 480), None, None),
        ("a.json", json.dumps(K.tolist()), None, None, None),
    ],
)
def test_every_form(tmp_path, name, text, size, lens, scale):
    (tmp_path / name).write_text(text)
    found = read_intrinsics_file(tmp_path / name)
    np.testing.assert_allclose([found.fx, found.fy, found.cx, found.cy], [535.4, 539.2, 320.1, 247.6])
    assert (found.size, found.distortion, found.depth_scale) == (size, lens, scale)


def test_rectified_images_have_no_distortion(tmp_path):
    (tmp_path / "ros.yaml").write_text(_ROS)
    found = read_intrinsics_file(tmp_path / "ros.yaml", rectified=True)
    assert (found.fx, found.fy, found.cx, found.cy, found.distortion) == (500, 501, 321, 241, None)


def test_another_size_is_scaled_where_both_are_known_and_told_otherwise(caplog):
    given = parse_intrinsics("640 480 535.4 539.2 320.1 247.6")
    assert given.camera(320, 240) == Camera(535.4, 539.2, 320.1, 247.6, 640, 480).resized(320, 240)
    assert given.camera(640, 480) == Camera(535.4, 539.2, 320.1, 247.6, 640, 480)
    with pytest.raises(BadInput, match="for 640x480 images, and these are 512x512: .* cropped"):
        given.camera(512, 512)
    unknown = parse_intrinsics("535.4 539.2 320.1 247.6")
    with pytest.raises(BadInput, match=r"centre \(320.1, 247.6\) is outside the 320x240 images; .*size"):
        unknown.camera(320, 240)
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        unknown.camera(640, 480)
        assert not caplog.records
        unknown.camera(1296, 968)
    assert "far from the middle of the 1296x968 images" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("k.txt", "5 5", "2 words; expected a matrix of 9 or 16 numbers"),
        ("k.txt", "far away", "could not convert"),
        ("k.txt", "481.2 -480 319.5 239.5", "fy -480.* is not a camera; .*give it as positive"),
        ("k.txt", "500 9 320 0 500 240 0 0 1", "has skew"),
        ("a.json", "{", "a.json: "),
        ("a.json", "{}", "no camera in nothing; expected fx fy cx cy"),
        ("a.json", '{"name": "x", "fx": 5}', "no camera in name, fx"),
        ("a.json", json.dumps({"left": _VALUES, "right": _VALUES}), r"2 cameras \(left, right\)"),
        ("a.json", json.dumps(_VALUES | {"depth_scale": 0.001}), "0.001 is metres per value; .* depth_scale: 1000"),
        ("a.json", json.dumps(_VALUES | {"fx": "a"}), "expected numbers"),
        ("a.yaml", "a: [", "a.yaml: "),
    ],
)
def test_what_is_not_a_camera(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=reason):
        read_intrinsics_file(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("k.yaml", "fx: []\nfy: 525\ncx: 320\ncy: 240"),
        ("k.yaml", "{fx: 525, fy: 525, cx: 320, cy: 240, width: [], height: 480}"),
        ("k.yaml", "{fx: 525, fy: 525, cx: 320, cy: 240, k1: [0, 1]}"),
        ("k.yaml", "{fx: 525, fy: 525, cx: 320, cy: 240, depth_scale: []}"),
        ("k.yaml", "a: " + "[" * 5000),
        ("k.json", "[" * 100_000),
        ("k.txt", "inf 480 525 525 320 240"),
    ],
)
def test_values_that_are_no_numbers_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=name):
        read_intrinsics_file(tmp_path / name)


@pytest.mark.parametrize(
    "values, size, told",
    [
        ("535,539,247.6,320.1", (640, 480), "near it as cx 320.1, cy 247.6"),
        ("535,539,320.1,247.6", (480, 640), "near it as cx 247.6, cy 320.1"),
        ("1000,1000,540,960", (1920, 1080), "near it as cx 960, cy 540"),
        ("535,539,320.1,247.6", (640, 480), ""),
        ("535,539,290,300", (640, 480), ""),  # a crop, or a lens that is off its centre
        ("535,539,255,259", (520, 512), ""),  # nearly square: nothing shows it
    ],
)
def test_exchanged_centres_are_told_with_the_numbers(caplog, values, size, told):
    parse_intrinsics(values).camera(*size)
    assert told in caplog.text and bool(caplog.records) == bool(told)


def test_numbers_relative_to_the_size_are_refused_with_the_pixels():
    with pytest.raises(BadInput, match="0.89 1.2 0.52 0.48 are no pixels of 64x48 .* they are 56.96,57.6,33.28,23.04"):
        parse_intrinsics("0.89 1.2 0.52 0.48").camera(64, 48)
    assert parse_intrinsics("3 3 1.5 1.5").camera(4, 4).fx == 3


def test_intrinsics_of_librealsense(tmp_path):
    color = {
        "width": 640,
        "height": 480,
        "ppx": 320.1,
        "ppy": 247.6,
        "fx": 535.4,
        "fy": 539.2,
        "coeffs": [0.1, 0, 0, 0, 0],
    }
    (tmp_path / "a.json").write_text(json.dumps({"color": color}))
    found = read_intrinsics_file(tmp_path / "a.json")
    assert found.camera(640, 480) == Camera(535.4, 539.2, 320.1, 247.6, 640, 480, found.distortion)
    assert found.distortion == Distortion("polynomial", (0.1, 0, 0, 0, 0))
