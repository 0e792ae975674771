"""Cameras from calibrations: K and P, binning, regions of interest, what is odd about a calibration, and its time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsss_ros import geometry
from wsss_ros.geometry.camera_models import (
    Calibration,
    CalibrationHistory,
    camera_of,
    distortion_fields,
    findings,
    frame_finding,
    is_rectified_topic,
    rectified_region,
)
from wsss_ros.geometry.distortion import rays
from wsss_ros.types import BadInput, Camera, Distortion, Frame

K = (600.0, 0.0, 330.0, 0.0, 605.0, 250.0, 0.0, 0.0, 1.0)
P = (580.0, 0.0, 322.0, 0.0, 0.0, 582.0, 243.0, 0.0, 0.0, 0.0, 1.0, 0.0)
D = (-0.2, 0.05, 0.001, -0.002, 0.01)
PLAIN = Calibration(640, 480, K, D, "plumb_bob", p=P)


def test_raw_images_have_k_and_d_and_rectified_ones_p():
    assert camera_of(PLAIN) == Camera(600, 605, 330, 250, 640, 480, Distortion("polynomial", D))
    assert camera_of(PLAIN, rectified=True) == Camera(580, 582, 322, 243, 640, 480)
    assert camera_of(replace(PLAIN, d=(0.0,) * 5)).distortion is None
    fisheye = replace(PLAIN, d=(0.1, 0.2, 0.3, 0.4), model="equidistant")
    assert camera_of(fisheye).distortion == Distortion("equidistant", (0.1, 0.2, 0.3, 0.4))
    assert camera_of(replace(PLAIN, p=(0.0,) * 12), rectified=True) == Camera(600, 605, 330, 250, 640, 480)


@pytest.mark.parametrize(
    ("given", "model", "count"),
    [
        (0, "plumb_bob", 5),
        (4, "plumb_bob", 5),
        (5, "plumb_bob", 5),
        (8, "rational_polynomial", 8),
        (9, "rational_polynomial", 12),
        (14, "rational_polynomial", 14),
    ],
)
def test_a_distortion_becomes_the_fields_of_a_message_and_back(given, model, count):
    distortion = Distortion("polynomial", tuple(0.01 * n for n in range(1, given + 1))) if given else None
    fields = distortion_fields(distortion)
    assert fields[0] == model and len(fields[1]) == count
    back = camera_of(replace(PLAIN, model=fields[0], d=fields[1])).distortion
    assert back == (distortion and Distortion("polynomial", fields[1]))
    assert fields[1][:given] == (distortion.coefficients if distortion else ())
    assert distortion_fields(Distortion("equidistant", (0.1,))) == ("equidistant", (0.1, 0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("/camera/color/image_raw", False),
        ("/camera/color/image_raw/compressed", False),
        ("/camera/depth/image_rect_raw", True),
        ("/zed/rgb/image_rect_color/compressed", True),
        ("/zed/zed_node/rgb/color/rect/image", True),
        ("/zed/zed_node/rgb/color/raw/image", False),
        ("depth/image_rect", True),
        ("/rectangle/image_raw", False),
    ],
)
def test_the_topic_says_whether_images_are_rectified(topic, rectified):
    assert is_rectified_topic(topic) == rectified


def test_binning_and_region_of_interest():
    """REP-104's example: the region 200 x 300 at (50, 70) in a 2 x 2 binned image of 100 x 150 at (25, 35)."""
    part = replace(PLAIN, binning_x=2, binning_y=2, roi=(50, 70, 200, 300))
    assert part.picture_size == (100, 150)
    assert camera_of(part) == Camera(300, 302.5, 140, 90, 100, 150, Distortion("polynomial", D))
    assert camera_of(part, rectified=True) == Camera(290, 291, 136, 86.5, 100, 150)
    assert camera_of(replace(PLAIN, binning_x=2), size=(320, 480)).fx == 300
    with pytest.raises(BadInput) as error:
        camera_of(part, size=(320, 240))
    assert str(error.value).startswith("camera_info size: 640 x 480, region of interest (50, 70, 200, 300), binning (2")
    assert "pictures of 100 x 150, for an image of 320 x 240" in str(error.value)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 60), st.integers(0, 40), st.booleans())
def test_a_point_keeps_its_place_on_the_sensor(across, down, x, y, rectified):
    reduced = replace(PLAIN, binning_x=across, binning_y=down, roi=(x, y, 320, 240))
    points = np.array([[0.1, -0.05, 1], [-0.2, 0.1, 2]])
    full, _ = geometry.project(points, camera_of(PLAIN, rectified), np.eye(4))
    part, _ = geometry.project(points, camera_of(reduced, rectified), np.eye(4))
    assert np.allclose(part * (across, down) + (x, y), full)


def test_a_rectified_region_lies_inside_what_the_raw_region_shows():
    part = replace(PLAIN, roi=(40, 30, 560, 420), do_rectify=True)
    x, y, width, height = rectified_region(part)
    raw, rect = camera_of(part), camera_of(part, True, (width, height))
    assert (rect.width, rect.height, rect.cx, rect.cy) == (width, height, 322 - x, 243 - y)
    edge = [(u, v, 1) for u in range(width) for v in (0, height - 1)] + [
        (u, v, 1) for v in range(height) for u in (0, width - 1)
    ]
    shown, _ = geometry.project(np.array(edge) @ np.linalg.inv(rect.matrix()).T, raw, np.eye(4))
    assert (shown >= -1e-6).all() and (shown <= (559 + 1e-6, 419 + 1e-6)).all()
    wider = replace(rect, width=width + 2, cx=rect.cx + 1)  # one column more on each side
    beside, _ = geometry.project(
        np.array([(0, height / 2, 1), (width + 1, height / 2, 1)]) @ np.linalg.inv(wider.matrix()).T, raw, np.eye(4)
    )
    assert beside[0, 0] < 1 and beside[1, 0] > 558
    assert camera_of(part, True).cx == 322 - 40  # image_proc crops by the raw region


def test_uncalibrated_cameras_are_refused():
    for change in ({"k": (0.0,) * 9}, {"k": (np.nan, *K[1:])}, {"d": (np.nan,)}):
        with pytest.raises(BadInput, match="^camera_info uncalibrated: .*calibrate the camera"):
            camera_of(replace(PLAIN, **change))
    with pytest.raises(BadInput, match="camera_info size: 0 x 480"):
        camera_of(replace(PLAIN, width=0))


def test_what_is_odd_is_told_with_its_numbers():
    assert findings(PLAIN) == findings(PLAIN, rectified=True) == []
    odd = {
        "fx 600.0 is far from fy 450.0": replace(PLAIN, k=(600.0, *K[1:4], 450.0, *K[5:])),
        "principal point 700.0, 250.0 is outside the picture of 640 x 480": replace(PLAIN, k=(*K[:2], 700.0, *K[3:])),
        "'double_sphere' with 5 coefficients is not known": replace(PLAIN, model="double_sphere"),
        "'equidistant' with 5 coefficients is not known": replace(PLAIN, model="equidistant"),
        "R turns by 90.0 degrees": replace(PLAIN, r=(0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)),
    }
    for text, calibration in odd.items():
        assert [text in found for found in findings(calibration)] == [True], text
    assert camera_of(odd["'double_sphere' with 5 coefficients is not known"]).distortion is None
    of_p = {
        "P is empty": (0.0,) * 12,
        "Tx = -58.00, a second camera of a stereo pair, 0.100 m": (*P[:3], -58.0, *P[4:]),
    }
    for text, p in of_p.items():
        assert [text in found for found in findings(replace(PLAIN, p=p), rectified=True)] == [True], text
    k = list(PLAIN.k)
    k[2], k[5] = k[5], k[2]
    assert "exchange the two" in "".join(findings(replace(PLAIN, k=tuple(k))))
    assert "outside the picture of 200 x 300" in findings(replace(PLAIN, roi=(400, 70, 200, 300)))[0]


@pytest.mark.parametrize(
    ("model", "d", "kind", "count"),
    [
        ("plumb_bob", (*D, 0.0, 0.0, 0.0), "polynomial", 8),  # Orbbec writes 8 numbers
        ("plumb_bob", D[:4], "polynomial", 4),
        ("", D, "polynomial", 5),
        ("", (*D, *D[:3]), "polynomial", 8),
        ("Brown Conrady", D, "polynomial", 5),
        ("radtan", D[:4], "polynomial", 4),
        ("equidistant", (0.01, 0.02, -0.01, 0.003, 0.0), "equidistant", 4),  # T265, before realsense-ros 3.2.3
        ("KANNALA_BRANDT", (0.01, 0.02, -0.01, 0.003) + (0.0,) * 10, "equidistant", 4),
        ("plumb_bob", (*D, *(0.0,) * 11), "polynomial", 14),
    ],
)
def test_models_as_drivers_write_them(model, d, kind, count):
    calibration = replace(PLAIN, model=model, d=d)
    lens = camera_of(calibration).distortion
    assert lens == Distortion(kind, d[:count])
    assert [text for text in findings(calibration) if "not known" in text] == []
    assert any("distortion_model is empty" in text for text in findings(calibration)) == (model == "")


def test_only_what_the_images_need_has_to_be_calibrated():
    """P after a failed stereo calibration, K and D of rectified images; a K that was never set (Ensenso)."""
    nan = (np.nan,) * 9
    assert camera_of(replace(PLAIN, k=nan, d=nan), rectified=True) == Camera(580, 582, 322, 243, 640, 480)
    assert camera_of(replace(PLAIN, p=(580.0, *(np.nan,) * 11))).fx == 600
    identity = replace(PLAIN, k=tuple(np.eye(3).ravel()), d=(0.0,) * 5)
    assert camera_of(identity) == Camera(580, 582, 322, 243, 640, 480)
    assert [text.partition(",")[0] for text in findings(identity)] == ["camera_info: K is the identity"]
    for rectified in (False, True):
        with pytest.raises(BadInput, match="camera_info uncalibrated: K is the identity"):
            camera_of(replace(identity, p=(0.0,) * 12), rectified)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"d": (0.0,) * 4, "model": "equidistant"}, "'equidistant' with D all 0 is read as no distortion"),
        ({"k": (600.0, 4.26, *K[2:])}, "the skew K[1] = 4.26 is ignored"),
        ({"k": (1.5, 0.0, 320.0, 0.0, 1.5, 240.0, 0.0, 0.0, 1.0)}, "a field of view of 179.5 degrees"),
        ({"d": (-1200.0, 350.0, 0.1, 0.2, 70.0)}, "% of the pixels the lens shows nothing, by D = [-1200.0, 350.0"),
        ({"d": (900.0, 350.0, 0.0, 0.0, 70.0)}, "the lens moves the border of the picture by a factor of 0."),
        ({"d": (-3.0, 0.1, 0.0, 0.0), "model": "equidistant"}, "% of the pixels the lens shows nothing"),
    ],
)
def test_numbers_that_cannot_be_those_of_the_lens(change, text):
    assert [text in found for found in findings(replace(PLAIN, **change))] == [True], findings(replace(PLAIN, **change))


def test_the_frame_of_a_calibration():
    assert frame_finding("/optical", "optical") == frame_finding("", "optical") == frame_finding("optical", "") == ""
    assert "got 'infra1_optical' for images in 'color_optical'" in frame_finding("infra1_optical", "color_optical")


def test_the_calibration_of_a_time():
    first, second = PLAIN, replace(PLAIN, binning_x=2, binning_y=2)
    stream = CalibrationHistory()
    assert stream.at(5) is None
    assert [stream.add(stamp, first) for stamp in (100, 133, 166)] == [True, False, False]
    assert stream.add(200, second)
    assert [stream.at(stamp) for stamp in (90, 150, 199, 200, 900)] == [first, first, first, second, second]
    for frozen in (0, 500):  # published once or with a stamp that never changes: the newest calibration holds
        once = CalibrationHistory()
        for calibration in (first, second, first):
            once.add(frozen, calibration)
            assert once.at(3) == once.at(500) == once.at(10**12) == calibration


@pytest.mark.parametrize(("k1", "filled"), [(-0.25, 1.0), (0.25, 0.85)])
def test_a_rectified_frame_shows_what_the_raw_one_shows(k1, filled):
    camera = Camera(60.0, 60.0, 31.5, 23.5, 64, 48, Distortion("polynomial", (k1, 0.04, 0.002, -0.003)))
    plane = rays(camera)
    rgb = np.rint(
        np.stack([127 + 120 * np.sin(4 * plane[..., 0]), 127 + 120 * np.cos(5 * plane[..., 1]), plane[..., 0] * 0], -1)
    )
    frame = Frame(rgb.astype(np.uint8), camera, (2 + plane[..., 0]).astype(np.float32), np.eye(4))
    straight = geometry.rectified(frame)
    assert straight.camera == replace(camera, distortion=None)
    v, u = np.mgrid[:48, :64]
    x, y = (u - 31.5) / 60, (v - 23.5) / 60
    shown = straight.depth_m > 0
    assert filled <= shown.mean() < filled + 0.1
    expected = np.stack([127 + 120 * np.sin(4 * x), 127 + 120 * np.cos(5 * y)], -1)
    assert np.abs(straight.rgb[..., :2].astype(float) - expected)[shown].max() < 4
    assert np.abs(straight.depth_m - (2 + x))[shown].max() < 0.8 / 60
    assert geometry.rectified(straight) is straight
