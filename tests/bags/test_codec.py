"""Images, cameras and poses out of the messages of both families, against readers that take one value at a time."""

import io

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from reference import conversions as reference
from support.messages import FAMILIES, of_family

from wsss_ros.bags import cdr, codec
from wsss_ros.types import BadInput, Camera, Distortion

ORDERS = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2, 3], "bgra8": [2, 1, 0, 3], "mono8": [0]}


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


def image(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> object:
    """An Image of these pixels with padding after each row."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1).view(np.uint8)
    rows = np.hstack([rows, np.full((height, padding), 99, np.uint8)])
    made = cdr.image_message(cdr.header(12_000_000_345, "camera"), pixels, encoding)
    made.step, made.data, made.is_bigendian = rows.shape[1], rows.reshape(-1), int(big_endian)
    return made


def color_image(rgb: np.ndarray, encoding: str, padding: int = 0) -> object:
    four = np.dstack([rgb, np.full(rgb.shape[:2], 77, np.uint8)])
    return image(four[:, :, ORDERS[encoding]], encoding, padding)


# --- images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ORDERS)
def test_color_encodings(encoding, padding, family):
    rgb = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    expected = rgb[:, :, :1].repeat(3, axis=2) if encoding == "mono8" else rgb
    message = of_family(color_image(rgb, encoding, padding), family)
    read = codec.image_to_rgb(message)
    np.testing.assert_array_equal(read, expected)
    assert read.flags.c_contiguous and codec.stamp_ns(message.header) == 12_000_000_345
    np.testing.assert_array_equal(codec.color_to_rgb(message), expected)


@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("padding", [0, 3])
def test_depth_is_metres_by_its_encoding(encoding, order, padding, family):
    kind, random = codec.ENCODINGS[encoding].kind, np.random.default_rng(1)
    values = (random.random((6, 4)) * (5000 if kind == "u2" else 5)).astype(order + kind)
    values[0, 0] = 0
    if kind == "f4":
        values[1, :3] = np.nan, np.inf, -1
    message = of_family(image(values, encoding, padding, big_endian=order == ">"), family)
    read = codec.image_to_depth_m(message)
    assert read.dtype == np.float32 and read.dtype.isnative
    np.testing.assert_allclose(read, reference.depth_m(message), rtol=1e-6)
    assert (read[1, :3] == 0).all() == (kind == "f4")


def test_millimetres_are_the_nearest_metres_or_one_step_off():
    millimetres = np.arange(65536, dtype="<u2").reshape(256, 256)
    exact = (millimetres / 1000).astype(np.float32)
    message = image(millimetres, "16UC1")
    np.testing.assert_array_equal(codec.image_to_depth_m(message, as_on_disk=True), exact)
    read = codec.image_to_depth_m(message)
    np.testing.assert_array_equal(read, millimetres.astype(np.float32) * np.float32(0.001))
    assert (np.abs(read - exact) <= np.spacing(exact)).all()


@given(st.lists(st.floats(-1, 80, width=32) | st.sampled_from([0.0, float("nan"), float("inf")]), min_size=1))
@settings(max_examples=60, deadline=None)
def test_depth_is_rounded_to_millimetres_or_missing(depths):
    depth_m = np.array([depths], np.float32)
    for metres, got in zip(depths, codec.depth_to_pixels(depth_m, "16UC1")[0], strict=True):
        millimetres = round(metres * 1000) if np.isfinite(metres) else 0
        assert got == (millimetres if 0 < millimetres < 65535 else 0)
    kept = np.isfinite(depth_m) & (depth_m > 0)
    np.testing.assert_array_equal(codec.depth_to_pixels(depth_m, "32FC1"), np.where(kept, depth_m, np.float32(np.nan)))


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_label_images(encoding, family):
    pixels = np.array([[0, 255, 3], [7, 8, 9]], np.uint8)
    assert codec.image_to_labels(of_family(image(pixels, encoding, 2), family)).tolist() == pixels.tolist()


@pytest.mark.parametrize("encoding", codec.ENCODINGS)
def test_every_row_of_the_table_is_read_as_stored(encoding, family):
    row = codec.ENCODINGS[encoding]
    pixels = (np.random.default_rng(2).random((4, 6, row.channels)) * 200).astype(row.dtype(big_endian=True))
    read = codec.image_to_array(of_family(image(pixels, encoding, 3, big_endian=True), family))
    np.testing.assert_array_equal(read, pixels)
    assert read.base is not None, "a view"


@pytest.mark.parametrize(
    "change, text",
    [
        (dict(encoding="yuv444"), "color encoding: got 'yuv444', expected one of rgb8, bgr8, rgba8, bgra8, mono8, .*;"),
        (dict(encoding=""), "color encoding: got ''"),
        (dict(encoding="32FC1"), "color encoding: got '32FC1'"),
        (dict(step=14, height=6), "image size: 105 bytes with step 14 for 5 x 6"),
        (dict(height=8), "image size: 105 bytes"),
        (dict(width=0), "empty image: 0 x 7"),
    ],
)
def test_images_that_cannot_be_read_say_why(change, text, family):
    message = of_family(color_image(np.zeros((7, 5, 3), np.uint8), "rgb8"), family)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(BadInput, match=text):
        codec.image_to_rgb(message)


@pytest.mark.parametrize("step", [0, 5, 14, 20])
def test_a_step_that_is_not_filled_in_follows_from_the_width(step, family):
    """raspicam2 leaves it 0; usb_cam had that of one byte a pixel."""
    rgb = np.random.default_rng(4).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    message = of_family(color_image(rgb, "rgb8"), family)
    message.step = step
    np.testing.assert_array_equal(codec.image_to_rgb(message), rgb)


def test_images_of_another_kind_are_refused():
    message = color_image(np.zeros((2, 2, 3), np.uint8), "rgb8")
    with pytest.raises(BadInput, match="depth encoding: got 'rgb8', expected 16UC1"):
        codec.image_to_depth_m(message)
    with pytest.raises(BadInput, match="label encoding: got 'rgb8'"):
        codec.image_to_labels(message)
    message.encoding = "yuv444"
    with pytest.raises(BadInput, match="image encoding: got 'yuv444', expected one of rgb8"):
        codec.image_to_array(message)


def compressed(data: bytes, text: str = "rgb8; jpeg compressed bgr8") -> object:
    return cdr.make(cdr.JPEG, header=cdr.header(5, "camera"), format=text, data=np.frombuffer(data, np.uint8))


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind, options", [("TIFF", {}), ("WebP", {"lossless": True}), ("BMP", {})])
def test_formats_of_other_programs_come_out_as_rgb(kind, options, family):
    rgb = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    read = codec.color_to_rgb(of_family(compressed(encoded(rgb, kind, **options), kind.lower()), family))
    np.testing.assert_array_equal(read, rgb)


def test_jpeg_and_png_come_out_as_rgb(family):
    red = np.zeros((16, 24, 3), np.uint8)
    red[..., 0] = 250
    jpeg = codec.compressed_to_rgb(of_family(cdr.jpeg_message(cdr.header(5, "camera"), red, 95), family))
    assert np.abs(jpeg.astype(int) - red).max() < 8
    read = codec.color_to_rgb(of_family(compressed(encoded(red), "png"), family))
    np.testing.assert_array_equal(read, red)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(12) + encoded(np.zeros((4, 4), np.uint16)),
        b"RIFF....WEBP",
        simplejpeg.encode_jpeg(np.zeros((64, 64, 3), np.uint8))[:200],
        encoded(np.eye(9, dtype=np.uint8))[:50],
        encoded(np.zeros((4, 4), np.uint16)),
    ],
    ids=["nothing", "compressedDepth", "webp", "cut jpeg", "cut png", "depth png"],
)
def test_broken_compressed_images_say_why(data, family):
    with pytest.raises(BadInput, match="^compressed image: "):
        codec.compressed_to_rgb(of_family(compressed(data), family))


# --- camera and pose -------------------------------------------------------------------------------


def camera_info(**changes) -> object:
    message = cdr.info_message(cdr.header(5, "camera"), Camera(60.0, 61.0, 31.5, 23.5, 64, 48))
    for name, value in changes.items():
        setattr(message, name, np.array(value, np.float64))
    return message


def test_camera_info(family):
    message = of_family(camera_info(), family)
    assert codec.camera_from_info(message, 48, 64) == Camera(60, 61, 31.5, 23.5, 64, 48)
    bent = of_family(camera_info(d=[0.1, 0, 0, 0, 0]), family)
    assert codec.camera_from_info(bent, 48, 64).distortion == Distortion("polynomial", (0.1, 0, 0, 0, 0))
    assert codec.camera_from_info(bent, rectified=True).distortion is None


@pytest.mark.parametrize("k", [[0.0] * 9, [60.0, 0, 31, 0, np.nan, 23, 0, 0, 1], [-60.0, 0, 31, 0, 60, 23, 0, 0, 1]])
def test_uncalibrated_cameras_are_refused(k, family):
    with pytest.raises(BadInput, match="^camera_info uncalibrated: "):
        codec.camera_from_info(of_family(camera_info(k=k), family))


def test_camera_info_of_another_image_is_refused():
    with pytest.raises(BadInput, match="camera_info size: 64 x 48 for an image of 640 x 480"):
        codec.camera_from_info(camera_info(), 480, 640)


def pose(xyz=(1.0, 2.0, 3.0), xyzw=(0.0, 0.0, 0.0, 1.0), frame_id="map") -> object:
    message = cdr.pose_message(cdr.header(5, frame_id), np.eye(4))
    at, turn = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = xyz
    turn.x, turn.y, turn.z, turn.w = xyzw
    return message


def test_a_pose_is_a_matrix(family):
    half = np.sqrt(0.5)
    message = of_family(pose(xyzw=(0.0, 0.0, half, half)), family)
    matrix = codec.stamped_pose_to_matrix(message, "map")
    np.testing.assert_allclose(matrix @ (1, 0, 0, 1), (1, 3, 3, 1), atol=1e-12)  # x turns to y about z
    np.testing.assert_array_equal(codec.pose_to_matrix(message.pose), matrix)
    there = cdr.pose_message(cdr.header(5, "map"), matrix)
    np.testing.assert_allclose(codec.pose_to_matrix(there.pose), matrix, atol=1e-12)


@pytest.mark.parametrize(
    "message, text",
    [
        (pose(xyz=(np.nan, 0.0, 0.0)), "pose position: nan"),
        (pose(xyzw=(0.0, 0.0, 0.0, 0.0)), "pose orientation: .*never set"),
        (pose(xyzw=(0.0, 0.0, 0.0, 2.0)), "pose orientation: .*length 2"),
        (pose(xyzw=(np.nan, 0.0, 0.0, 1.0)), "pose orientation: "),
        (pose(frame_id=""), "pose frame: got ''"),
        (pose(frame_id="odom"), "pose frame: got 'odom', expected 'map'"),
    ],
)
def test_bad_poses_say_why(message, text, family):
    with pytest.raises(BadInput, match=text):
        codec.stamped_pose_to_matrix(of_family(message, family), "map")
