"""Messages to numpy and back, against readers that take one value at a time."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import conversions as reference

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import simplejpeg  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from PIL import Image as Picture  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.types import BadInput  # noqa: E402

FLOAT32, FLOAT64, UINT32, INT32 = PointField.FLOAT32, PointField.FLOAT64, PointField.UINT32, PointField.INT32


def header(frame_id: str = "map") -> Header:
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = 12, 345
    return made


# --- labels ----------------------------------------------------------------------------------------


@st.composite
def label_clouds(draw) -> tuple[PointCloud2, np.ndarray]:
    """A cloud with labels of any width and byte order, padded, and the labels it holds."""
    kind = draw(st.sampled_from([(2, "u1"), (4, "u2"), (6, "u4")]))
    big, height, width = draw(st.booleans()), draw(st.integers(1, 3)), draw(st.integers(0, 5))
    order = ">" if big else "<"
    dtype = np.dtype({"names": ["x", "y", "z", "label"], "formats": [order + "f4"] * 3 + [order + kind[1]],
                      "offsets": [0, 4, 8, 13], "itemsize": 19})  # fmt: skip
    table = np.zeros((height, width), dtype)
    values = np.random.default_rng(width).choice([0, 7, 254, 255, 300, 70_000], (height, width))
    table["label"] = values % 2 ** (8 * int(kind[1][1]))
    rows = np.hstack([table.view(np.uint8).reshape(height, 19 * width), np.full((height, 3), 9, np.uint8)])
    message = PointCloud2(header=header(), height=height, width=width, point_step=19, row_step=rows.shape[1])
    message.is_bigendian = big
    fields = [("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("label", 13, kind[0])]
    message.fields = [PointField(name=n, offset=o, datatype=k, count=1) for n, o, k in fields]
    message.data.frombytes(rows.tobytes())
    return message, table["label"].ravel()


@given(label_clouds())
def test_labels_of_clouds_of_any_layout(case):
    message, labels = case
    wanted = [label if label <= 255 else 254 for label in labels.tolist()]
    assert conversions.cloud_to_labels(message).tolist() == wanted


def test_clouds_without_usable_labels_say_so():
    message = conversions.cloud_message(header(), np.zeros((2, 3), np.float32))
    with pytest.raises(BadInput, match="cloud labels: no field 'label'"):
        conversions.cloud_to_labels(message)
    message.fields.append(PointField(name="label", offset=10, datatype=UINT32, count=1))  # reaches beyond the point
    with pytest.raises(BadInput, match="inside the point"):
        conversions.cloud_to_labels(message)


def test_label_images():
    pixels = np.array([[0, 255, 3]], np.uint8)
    message = conversions.image_message(header(), pixels, "mono8")
    assert conversions.image_to_labels(message).tolist() == pixels.tolist()
    with pytest.raises(BadInput, match="label encoding: got 'rgb8'"):
        conversions.image_to_labels(conversions.image_message(header(), np.zeros((1, 2, 3), np.uint8), "rgb8"))


# --- clouds ----------------------------------------------------------------------------------------


def odd_cloud(seed, height, width, xyz_type, color, big_endian, order, gap, row_gap, bad) -> PointCloud2:
    """A cloud of any layout: fields in any order with gaps between, padding after points and rows."""
    random = np.random.default_rng(seed)
    kinds = {"x": xyz_type, "y": xyz_type, "z": xyz_type, "intensity": FLOAT32}
    if color:
        kinds[color[0]] = color[1]
    names = list(np.array(list(kinds))[random.permutation(len(kinds))] if order else kinds)
    fields, offset = [], gap
    for name in names:
        fields.append(PointField(name=str(name), offset=offset, datatype=kinds[name], count=1))
        offset += (8 if kinds[name] == FLOAT64 else 4) + gap
    message = PointCloud2(header=header(), height=height, width=width, fields=fields, is_bigendian=big_endian)
    message.point_step, message.row_step = offset, offset * width + row_gap
    data = np.frombuffer(random.bytes(message.row_step * height), np.uint8).copy()
    byte_order = ">" if big_endian else "<"
    for field in fields:
        if field.name in "xyz":
            kind = byte_order + ("f8" if xyz_type == FLOAT64 else "f4")
            values = random.normal(size=(height, width)).astype(kind)
            values[random.random((height, width)) < bad] = np.nan
            for row in range(height):
                for column in range(width):
                    at = row * message.row_step + column * message.point_step + field.offset
                    raw = values[row, column : column + 1].tobytes()
                    data[at : at + len(raw)] = np.frombuffer(raw, np.uint8)
    message.data.frombytes(data.tobytes())
    return message


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    height=st.integers(1, 4),
    width=st.integers(1, 6),
    xyz_type=st.sampled_from([FLOAT32, FLOAT64]),
    color=st.sampled_from([None, ("rgb", FLOAT32), ("rgb", UINT32), ("rgba", INT32), ("rgba", UINT32)]),
    big_endian=st.booleans(),
    order=st.booleans(),
    gap=st.integers(0, 3),
    row_gap=st.integers(0, 5),
    bad=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_clouds_of_any_layout_are_read(**layout):
    message = odd_cloud(**layout)
    read = conversions.read_cloud(message)
    xyz, rgb = reference.finite_xyz_rgb(message)
    np.testing.assert_array_equal(read.cloud.xyz, xyz)
    if layout["color"] is None:
        assert read.cloud.rgb is None
    else:
        np.testing.assert_array_equal(read.cloud.rgb, rgb)
    assert read.cloud.stamp_ns == 12_000_000_345
    assert read.dropped == layout["height"] * layout["width"] - len(xyz)


@pytest.mark.parametrize("count", [0, 1, 16_384, 16_385, 40_000])
@pytest.mark.parametrize("colored", [True, False])
def test_cloud_round_trip(count, colored):
    random = np.random.default_rng(count)
    xyz = random.normal(size=(count, 3)).astype(np.float32)
    rgb = random.integers(0, 256, (count, 3), dtype=np.uint8) if colored else None
    message = conversions.cloud_message(header(), xyz, rgb)
    read = conversions.read_cloud(message)
    np.testing.assert_array_equal(read.cloud.xyz, xyz)
    assert (read.cloud.rgb is None) == (rgb is None)
    if colored:
        np.testing.assert_array_equal(read.cloud.rgb, rgb)
    assert message.header == header() and message.is_dense and not message.is_bigendian
    assert len(message.data) == message.row_step == message.point_step * count == (16 if colored else 12) * count


def test_huge_coordinates_are_kept_and_infinite_ones_left_out():
    xyz = np.array([[1e30, 0, 0], [np.inf, 0, 0], [0, 1, 2]], np.float32)
    read = conversions.read_cloud(conversions.cloud_message(header(), xyz))
    np.testing.assert_array_equal(read.cloud.xyz, xyz[[0, 2]])
    np.testing.assert_array_equal(read.kept, [0, 2])


def test_semantic_cloud_keeps_order_organisation_and_bad_points(labels):
    message = odd_cloud(3, 3, 5, FLOAT32, ("rgb", FLOAT32), False, True, 1, 2, 0.3)
    read = conversions.read_cloud(message)
    count = len(read.cloud)
    assert 0 < count < 15
    wanted = (np.arange(count) % 20).astype(np.uint8)
    sure = np.linspace(0.1, 1, count, dtype=np.float32)
    answer = conversions.semantic_cloud_message(message.header, read, wanted, sure, labels)
    assert (answer.height, answer.width, answer.header) == (3, 5, message.header)
    kinds = {field.name: field.datatype for field in answer.fields}
    assert kinds == {"x": FLOAT32, "y": FLOAT32, "z": FLOAT32, "rgb": FLOAT32, "label": UINT32, "confidence": FLOAT32}
    sent, got, at = reference.points(message), reference.points(answer), 0
    for before, after in zip(sent, got, strict=True):
        if not all(np.isfinite(before[axis]) for axis in "xyz"):
            assert after["label"] == 255 and after["confidence"] == 0 and np.isnan(after["x"]) and after["rgb"] == 0
            continue
        r, g, b = labels.colors[wanted[at]]
        assert [after[axis] for axis in "xyz"] == [before[axis] for axis in "xyz"]
        assert after["label"] == wanted[at] and after["rgb"] == r << 16 | g << 8 | b
        assert after["confidence"] == pytest.approx(sure[at])
        at += 1
    assert at == count and not answer.is_dense


def spoilt_cloud(change) -> PointCloud2:
    message = conversions.cloud_message(header(), np.zeros((4, 3), np.float32), np.zeros((4, 3), np.uint8))
    change(message)
    return message


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda m: m.fields.pop(2), "cloud fields: got x, y, rgb"),
        (lambda m: m.fields.clear(), "cloud fields: got none"),
        (lambda m: m.data.pop(), "cloud size: 63 bytes"),
        (lambda m: setattr(m, "height", 2), "cloud size"),
        (lambda m: setattr(m.fields[0], "datatype", PointField.INT16), "cloud field types: 'x' of datatype 3"),
        (lambda m: setattr(m.fields[3], "datatype", FLOAT64), "cloud field types: 'rgb'"),
        (lambda m: setattr(m.fields[2], "offset", 13), "cloud field types: 'z' of datatype 7 at byte 13 of 16"),
    ],
)
def test_clouds_that_cannot_be_read_say_why(change, told):
    with pytest.raises(BadInput, match=told.replace("(", r"\(")):
        conversions.read_cloud(spoilt_cloud(change))


def test_an_empty_cloud_is_read_as_empty():
    message = PointCloud2(fields=spoilt_cloud(lambda m: None).fields, point_step=16)
    assert len(conversions.read_cloud(message).cloud) == 0


# --- images ----------------------------------------------------------------------------------------

ORDERS = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2, 3], "bgra8": [2, 1, 0, 3], "mono8": [0]}


def color_image(rgb: np.ndarray, encoding: str, padding: int = 0) -> Image:
    height, width = rgb.shape[:2]
    four = np.dstack([rgb, np.full((height, width), 77, np.uint8)])
    pixels = four[:, :, ORDERS[encoding]].reshape(height, -1)
    rows = np.hstack([pixels, np.full((height, padding), 99, np.uint8)])
    message = Image(header=header(), height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.data.frombytes(rows.tobytes())
    return message


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ORDERS)
def test_color_encodings(encoding, padding):
    rgb = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    wanted = rgb[:, :, :1].repeat(3, axis=2) if encoding == "mono8" else rgb
    read = conversions.image_to_rgb(color_image(rgb, encoding, padding))
    np.testing.assert_array_equal(read, wanted)
    assert read.flags.c_contiguous


@pytest.mark.parametrize("encoding, kind", [("16UC1", "u2"), ("mono16", "u2"), ("32FC1", "f4")])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("padding", [0, 3])
def test_depth_is_metres_by_its_encoding(encoding, kind, order, padding):
    random = np.random.default_rng(1)
    values = (random.random((6, 4)) * (5000 if kind == "u2" else 5)).astype(order + kind)
    values[0, 0] = 0
    if kind == "f4":
        values[1, :3] = np.nan, np.inf, -1
    rows = np.hstack([values.view(np.uint8).reshape(6, -1), np.full((6, padding), 200, np.uint8)])
    message = Image(height=6, width=4, encoding=encoding, is_bigendian=int(order == ">"), step=rows.shape[1])
    message.data.frombytes(rows.tobytes())
    read = conversions.image_to_depth_m(message)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, reference.depth_m(message), rtol=1e-6)
    assert (read[1, :3] == 0).all() == (kind == "f4")


@pytest.mark.parametrize("encoding", ["mono8", "rgb8", "16UC1", "32FC1"])
def test_image_message_round_trip(encoding):
    kind, channels = conversions.IMAGE_TYPES[encoding]
    pixels = (np.random.default_rng(2).random((4, 6, channels)) * 200).astype(kind).squeeze()
    message = conversions.image_message(header("camera"), pixels, encoding)
    assert (message.height, message.width, message.header) == (4, 6, header("camera"))
    np.testing.assert_array_equal(np.frombuffer(message.data, kind).reshape(pixels.shape), pixels)
    assert message.step * 4 == len(message.data)


@pytest.mark.parametrize(
    "change, told",
    [
        (dict(encoding="yuv422"), "color encoding: got 'yuv422', wanted one of rgb8"),
        (dict(encoding=""), "color encoding: got ''"),
        (dict(step=14), "image size: 105 bytes with step 14 for 5 x 7"),
        (dict(height=8), "image size: 105 bytes"),
        (dict(width=0), "empty image: 0 x 7"),
    ],
)
def test_images_that_cannot_be_read_say_why(change, told):
    message = color_image(np.zeros((7, 5, 3), np.uint8), "rgb8")
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(BadInput, match=told):
        conversions.image_to_rgb(message)


def test_a_color_image_is_no_depth():
    with pytest.raises(BadInput, match="depth encoding: got 'rgb8', wanted 16UC1"):
        conversions.image_to_depth_m(color_image(np.zeros((2, 2, 3), np.uint8), "rgb8"))


def compressed(data: bytes, text: str = "rgb8; jpeg compressed bgr8") -> CompressedImage:
    message = CompressedImage(format=text)
    message.data.frombytes(data)
    return message


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_jpeg_and_png_come_out_as_rgb():
    red = np.zeros((16, 24, 3), np.uint8)
    red[..., 0] = 250
    jpeg = conversions.compressed_to_rgb(compressed(simplejpeg.encode_jpeg(red, quality=95)))
    assert np.abs(jpeg.astype(int) - red).max() < 8
    np.testing.assert_array_equal(conversions.compressed_to_rgb(compressed(png(red), "png")), red)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF....WEBP",
        simplejpeg.encode_jpeg(np.zeros((64, 64, 3), np.uint8))[:200],
        png(np.eye(9, dtype=np.uint8))[:50],
        png(np.zeros((4, 4), np.uint16)),
    ],
    ids=["nothing", "webp", "cut jpeg", "cut png", "depth png"],
)
def test_broken_compressed_images_say_why(data):
    with pytest.raises(BadInput, match="^compressed image: "):
        conversions.compressed_to_rgb(compressed(data))


def test_overlay_blends():
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert (conversions.overlay(black, white, 0.0) == 0).all()
    assert (conversions.overlay(black, white, 1.0) == 255).all()
    assert abs(int(conversions.overlay(black, white, 0.5)[0, 0, 0]) - 127) <= 1


# --- camera and pose -------------------------------------------------------------------------------


def camera_info(**changes) -> CameraInfo:
    message = CameraInfo(width=64, height=48, k=[60.0, 0, 31.5, 0, 61.0, 23.5, 0, 0, 1])
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_camera_info():
    camera = conversions.camera_from_info(camera_info(), 48, 64)
    assert (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height) == (60, 61, 31.5, 23.5, 64, 48)
    assert not conversions.is_distorted(camera_info(d=[0.0] * 5))
    assert conversions.is_distorted(camera_info(d=[0.1, 0, 0, 0, 0]))


@pytest.mark.parametrize("k", [[0.0] * 9, [60.0, 0, 31, 0, np.nan, 23, 0, 0, 1], [-60.0, 0, 31, 0, 60, 23, 0, 0, 1]])
def test_uncalibrated_cameras_are_refused(k):
    with pytest.raises(BadInput, match="^camera_info uncalibrated: "):
        conversions.camera_from_info(camera_info(k=k))


def test_camera_info_of_another_image_is_refused():
    with pytest.raises(BadInput, match="camera_info size: 64 x 48 for an image of 640 x 480"):
        conversions.camera_from_info(camera_info(), 480, 640)


def pose(xyz=(1.0, 2.0, 3.0), xyzw=(0.0, 0.0, 0.0, 1.0), frame_id="map") -> PoseStamped:
    message = PoseStamped(header=header(frame_id))
    at, turn = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = xyz
    turn.x, turn.y, turn.z, turn.w = xyzw
    return message


def test_pose_to_matrix():
    half = np.sqrt(0.5)
    matrix = conversions.pose_to_matrix(pose(xyzw=(0.0, 0.0, half, half)), "map")
    np.testing.assert_allclose(matrix @ (1, 0, 0, 1), (1, 3, 3, 1), atol=1e-12)  # x turns to y about z


@pytest.mark.parametrize(
    "message, told",
    [
        (pose(xyz=(np.nan, 0.0, 0.0)), "pose position: nan"),
        (pose(xyzw=(0.0, 0.0, 0.0, 0.0)), "pose orientation: .*never set"),
        (pose(xyzw=(0.0, 0.0, 0.0, 2.0)), "pose orientation: .*length 2"),
        (pose(xyzw=(np.nan, 0.0, 0.0, 1.0)), "pose orientation: "),
        (pose(frame_id=""), "pose frame: got ''"),
        (pose(frame_id="odom"), "pose frame: got 'odom', wanted 'map'"),
    ],
)
def test_bad_poses_say_why(message, told):
    with pytest.raises(BadInput, match=told):
        conversions.pose_to_matrix(message, "map")
