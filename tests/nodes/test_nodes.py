"""Each node as a process of its own on real DDS, with tiny scenes and tiny networks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import conversions as reference

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import simplejpeg  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from support.ros_probe import ROOT, NodeProcess, Probe, wait  # noqa: E402

from wsss_ros.bags import cloud_codec, codec  # noqa: E402
from wsss_ros.geometry.voxel_map import VoxelMap  # noqa: E402
from wsss_ros.inference import CloudSegmenter, ImageSegmenter  # noqa: E402
from wsss_ros.labels import LabelSpace  # noqa: E402
from wsss_ros.networks import checkpoint  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.nodes.cloud_accumulator import AccumulatorConfig  # noqa: E402
from wsss_ros.types import Camera, Cloud, Frame  # noqa: E402

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
HEIGHT, WIDTH = 48, 64
CAMERA = Camera(60.0, 60.0, 31.5, 23.5, WIDTH, HEIGHT)
POINT_OPTIONS = {"width": 0.125, "centres": (256, 128, 64, 32), "neighbours": (16, 8, 8, 8)}
ACCUMULATOR = {"min_hits": 1, "max_points": 4000, "publish_period_s": 0.2, "sensor_timeout_s": 1.0}


@pytest.fixture(scope="module")
def weights(tmp_path_factory, labels) -> dict[str, Path]:
    torch.manual_seed(0)
    configs = {
        "image": checkpoint.NetworkConfig("image", "resnet", {"width": 0.125}),
        "cloud": checkpoint.NetworkConfig("cloud", "pointnet2", POINT_OPTIONS, inputs=("color",)),
    }
    folder, made = tmp_path_factory.mktemp("weights"), {}
    for kind, config in configs.items():
        made[kind] = folder / f"{kind}.safetensors"
        checkpoint.save(made[kind], config.build(labels), config, labels)
    return made


@pytest.fixture(scope="module")
def nodes(weights, shared_ros_environment, tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    common = {"device": "cpu", "precision": "float32", "threads": 1, "sensor_timeout_s": 1.0}
    parameters = {
        "image_segmenter": common | {"weights": weights["image"], "points_stride": 2},
        "cloud_segmenter": common | {"weights": weights["cloud"], "points": 1000},
        "cloud_accumulator": ACCUMULATOR,
    }
    started = {
        name: NodeProcess(name, shared_ros_environment, logs / f"{name}.log", **options)
        for name, options in parameters.items()
    }
    yield started
    for node in started.values():
        node.end()


@pytest.fixture(scope="module")
def probe(nodes, shared_ros_environment):
    made = Probe(shared_ros_environment)
    for node in nodes.values():
        said = made.diagnostics.setdefault(node.path, [])
        wait(lambda said=said: any(status.message for status in said), 60, f"no life of {node.name}")
        wait(lambda node=node: made.state(node) == "active", 60, f"{node.name} never became active")
    yield made
    made.close()


# --- a tiny scene ----------------------------------------------------------------------------------


class Clock:
    """Stamps that only go forward, for the tests share the nodes."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * 10**9

    def next(self) -> int:
        self.now_ns += 10**8
        return self.now_ns


CLOCK = Clock()


def header(stamp_ns: int, frame_id: str) -> Header:
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = divmod(stamp_ns, 10**9)
    return made


def colors(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def depths() -> np.ndarray:
    depth = np.linspace(1, 3, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    depth[:5] = 0
    return np.round(depth, 3)


def image(stamp: int, rgb: np.ndarray | None = None) -> Image:
    return conversions.image_message(header(stamp, "camera_optical"), colors() if rgb is None else rgb, "rgb8")


def depth_image(stamp: int, depth_m: np.ndarray | None = None) -> Image:
    millimetres = np.rint((depths() if depth_m is None else depth_m) * 1000).astype(np.uint16)
    return conversions.image_message(header(stamp, "camera_optical"), millimetres, "16UC1")


def camera_info(stamp: int, **changes) -> CameraInfo:
    message = CameraInfo(header=header(stamp, "camera_optical"), width=WIDTH, height=HEIGHT)
    message.k = CAMERA.matrix().ravel().tolist()
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def pose(stamp: int, xyz=(1.0, 2.0, 3.0), xyzw=(0.0, 0.0, 0.0, 1.0), frame_id: str = "map") -> PoseStamped:
    message = PoseStamped(header=header(stamp, frame_id))
    at, turn = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = xyz
    turn.x, turn.y, turn.z, turn.w = xyzw
    return message


def view(stamp: int) -> dict:
    return {
        "color/image_raw": image(stamp),
        "depth/image_rect": depth_image(stamp),
        "color/camera_info": camera_info(stamp),
        "pose": pose(stamp),
    }


def send(probe: Probe, node: NodeProcess, messages: dict) -> None:
    for topic, message in messages.items():
        probe.send(node.topic(topic), message, BEST_EFFORT)


def answered(got: list, stamp: int):
    """The message with this stamp, once it is there."""

    def found():
        return next((message for message in got if codec.stamp_ns(message.header) == stamp), None)

    return wait(found, 10, f"no answer to stamp {stamp}")


def until_answered(ask, *answers: list) -> None:
    """Ask again and again: best effort loses what is sent while the two sides have not yet found each other."""
    for answer in answers:
        answer.clear()

    def all_answered() -> bool:
        ask()
        time.sleep(0.5)
        return all(answers)

    wait(all_answered, 30, "never all answered")


def frame(pose_xyz=(1.0, 2.0, 3.0), stamp: int = 0) -> Frame:
    world_from_camera = np.eye(4)
    world_from_camera[:3, 3] = pose_xyz
    return Frame(colors(), CAMERA, depths(), world_from_camera, stamp)


# --- image_segmenter -------------------------------------------------------------------------------

OUTPUTS = {
    "semantic/image_raw": Image,
    "semantic/confidence": Image,
    "semantic_color/image_raw": Image,
    "semantic_overlay/image_raw": Image,
    "semantic/points": PointCloud2,
}


@pytest.fixture(scope="module")
def segmenter(probe, nodes) -> NodeProcess:
    return nodes["image_segmenter"]


@pytest.fixture(scope="module")
def images(probe, segmenter) -> dict[str, list]:
    got = {name: probe.collect(kind, segmenter.topic(name), RELIABLE) for name, kind in OUTPUTS.items()}
    until_answered(lambda: send(probe, segmenter, view(CLOCK.next())), *got.values())
    return got


@pytest.fixture(scope="module")
def expected(weights, labels):
    """Labels and confidence of the test image, by the core itself."""
    return ImageSegmenter(weights["image"], "cpu", "float32")(Frame(colors()))


def test_image_results(probe, segmenter, images, expected, labels):
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp))
    got = {name: answered(messages, stamp) for name, messages in images.items()}
    encodings = {name: getattr(message, "encoding", None) for name, message in got.items()}
    assert list(encodings.values()) == ["mono8", "32FC1", "rgb8", "rgb8", None]
    for name, message in got.items():
        if name != "semantic/points":
            assert message.header == header(stamp, "camera_optical")
            assert (message.height, message.width) == (HEIGHT, WIDTH)
    wanted, confidence = expected
    classes = np.frombuffer(got["semantic/image_raw"].data, np.uint8).reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(classes, wanted)
    sent = np.frombuffer(got["semantic/confidence"].data, np.float32).reshape(HEIGHT, WIDTH)
    np.testing.assert_allclose(sent, confidence, rtol=1e-4)
    painted = np.frombuffer(got["semantic_color/image_raw"].data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(painted, labels.colorize(wanted))
    mixed = np.frombuffer(got["semantic_overlay/image_raw"].data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    assert np.abs(mixed.astype(float) - (painted.astype(float) + colors()) / 2).max() <= 1


def test_semantic_points_lie_where_their_pixels_saw_them(probe, segmenter, images, expected):
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp))
    message = answered(images["semantic/points"], stamp)
    assert message.header == header(stamp, "map")
    wanted = []
    for v in range(0, HEIGHT, 2):
        for u in range(0, WIDTH, 2):
            z = float(depths()[v, u])
            if z > 0:
                x, y = (u - CAMERA.cx) / CAMERA.fx * z, (v - CAMERA.cy) / CAMERA.fy * z
                wanted.append((x + 1, y + 2, z + 3, expected[0][v, u], expected[1][v, u]))
    points = [[p[key] for key in ("x", "y", "z", "label", "confidence")] for p in reference.points(message)]
    np.testing.assert_allclose(points, wanted, atol=1e-4)


def test_quality_of_service_of_the_outputs(probe, segmenter, images):
    for name in OUTPUTS:
        (info,) = probe.node.get_publishers_info_by_topic(segmenter.topic(name))
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    for name in ("color/image_raw", "depth/image_rect", "color/camera_info", "pose"):
        (info,) = probe.node.get_subscriptions_info_by_topic(segmenter.topic(name))
        assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


@pytest.mark.parametrize("encoding, order", [("bgr8", [2, 1, 0]), ("rgba8", [0, 1, 2, 3]), ("bgra8", [2, 1, 0, 3])])
def test_every_color_encoding_means_the_same_picture(probe, segmenter, images, expected, encoding, order):
    stamp, four = CLOCK.next(), np.dstack([colors(), np.full((HEIGHT, WIDTH), 9, np.uint8)])
    pixels = np.ascontiguousarray(four[..., order]).reshape(HEIGHT, -1)
    rows = np.hstack([pixels, np.zeros((HEIGHT, 7), np.uint8)])
    message = Image(header=header(stamp, "c"), height=HEIGHT, width=WIDTH, encoding=encoding, step=rows.shape[1])
    message.data.frombytes(rows.tobytes())
    send(probe, segmenter, {"color/image_raw": message})
    answer = answered(images["semantic/image_raw"], stamp)
    np.testing.assert_array_equal(np.frombuffer(answer.data, np.uint8), expected[0].ravel())


def test_color_does_not_wait_and_late_companions_still_make_points(probe, segmenter, images):
    stamp = CLOCK.next()
    messages = view(stamp)
    send(probe, segmenter, {"color/image_raw": messages.pop("color/image_raw")})
    answered(images["semantic/image_raw"], stamp)
    assert not any(codec.stamp_ns(m.header) == stamp for m in images["semantic/points"])
    send(probe, segmenter, messages)
    answered(images["semantic/points"], stamp)


BAD_VIEWS = {
    "unknown encoding": (
        "color/image_raw",
        lambda s: set_to(image(s), encoding="yuv422"),
        "got 'yuv422', expected one of",
    ),
    "image cut off": ("color/image_raw", lambda s: set_to(image(s), height=HEIGHT + 9), "image size: "),
    "no pixels": ("color/image_raw", lambda s: Image(header=header(s, "c"), encoding="rgb8"), "empty image: 0 x 0"),
    "depth of another size": ("depth/image_rect", lambda s: depth_image(s, depths()[:20]), "depth size: 64 x 20"),
    "depth all missing": ("depth/image_rect", lambda s: depth_image(s, depths() * 0), "depth all missing"),
    "depth encoding": (
        "depth/image_rect",
        lambda s: set_to(depth_image(s), encoding="64FC1"),
        "got '64FC1', expected 16UC1",
    ),
    "camera not calibrated": ("color/camera_info", lambda s: camera_info(s, k=[0.0] * 9), "camera_info uncalibrated"),
    "camera of another size": ("color/camera_info", lambda s: camera_info(s, width=640), "camera_info size: 640 x 48"),
    "pose with NaN": ("pose", lambda s: pose(s, xyz=(np.nan, 0.0, 0.0)), "pose position: nan"),
    "zero quaternion": ("pose", lambda s: pose(s, xyzw=(0.0, 0.0, 0.0, 0.0)), "pose orientation: quaternion 0 0 0 0"),
    "quaternion of length 2": ("pose", lambda s: pose(s, xyzw=(0.0, 0.0, 0.0, 2.0)), "of length 2"),
    "pose without frame": ("pose", lambda s: pose(s, frame_id=""), "pose frame: got ''"),
}


def set_to(message, **values):
    for name, value in values.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize("case", BAD_VIEWS)
def test_image_segmenter_tells_bad_input_and_goes_on(probe, segmenter, images, case):
    topic, spoil, told = BAD_VIEWS[case]
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp) | {topic: spoil(stamp)})
    status = probe.told(segmenter, told)
    assert status.level == b"\x01"
    if topic != "color/image_raw":
        answered(images["semantic/image_raw"], stamp)  # the image does not suffer
    assert not any(codec.stamp_ns(m.header) == stamp for m in images["semantic/points"])
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp))
    answered(images["semantic/points"], stamp)


def test_lens_distortion_is_told_and_left_out(probe, segmenter, images):
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp) | {"color/camera_info": camera_info(stamp, d=[0.1, 0.0, 0.0, 0.0, 0.0])})
    probe.told(segmenter, "lens distortion")
    answered(images["semantic/points"], stamp)


def test_a_pose_that_never_comes_is_named(probe, segmenter, images):
    for _ in range(4):
        messages = view(CLOCK.next())
        del messages["pose"]
        send(probe, segmenter, messages)
        time.sleep(0.5)
    status = probe.told(
        segmenter, f"no message on {segmenter.topic('pose')} for ", "publishers), so no semantic/points"
    )
    assert status.level == b"\x01"
    assert f"on {segmenter.topic('color/image_raw')} " not in status.message.partition("no message")[0]


def poses_between_the_views(probe, node: NodeProcess) -> None:
    """Twelve views whose poses come half way between one and the next."""
    for _ in range(12):
        stamp = CLOCK.next()
        send(probe, node, view(stamp) | {"pose": pose(stamp + 5 * 10**7)})
        time.sleep(0.05)


def test_poses_that_fit_no_view_are_told(probe, segmenter, images):
    poses_between_the_views(probe, segmenter)
    status = probe.told(
        segmenter, "no stamps within 0.02 s of each other; the newest, in seconds: color ", ", so no sem"
    )
    assert status.level == b"\x01"
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp))
    answered(images["semantic/points"], stamp)
    assert "no stamps" not in probe.told(segmenter, "").message


def test_stamps_that_jump_back_are_told_and_matched_anew(probe, segmenter, images):
    first = CLOCK.next()
    send(probe, segmenter, view(first))
    answered(images["semantic/points"], first)
    for count in range(1, 5):
        send(probe, segmenter, view(count * 10**8))
        answered(images["semantic/image_raw"], count * 10**8)
    answered(images["semantic/points"], 4 * 10**8)
    probe.told(segmenter, "stamps jumped back")
    for _ in range(4):  # and forward again, for the other tests
        last = CLOCK.next()
        send(probe, segmenter, view(last))
        answered(images["semantic/image_raw"], last)
    answered(images["semantic/points"], last)


def test_parameters_are_described_with_their_range(probe, segmenter):
    alpha, precision = probe.describe(segmenter, ["overlay_alpha", "precision"])
    (bounds,) = alpha.floating_point_range
    assert (bounds.from_value, bounds.to_value) == (0.0, 1.0) and "overlay" in alpha.description
    assert "float32" in precision.additional_constraints
    refused = probe.set(segmenter, "precision", "float16")
    assert not refused.successful and "float16" in refused.reason
    assert not probe.set(segmenter, "overlay_alpha", 1.5).successful
    assert probe.set(segmenter, "overlay_alpha", 0.5).successful


def unusable_weights(folder: Path, sound: Path) -> dict[str, str]:
    """Files by name, each with what is told of it."""
    (folder / "foreign").write_bytes(b"not weights at all")
    (folder / "truncated").write_bytes(sound.read_bytes()[:-100])
    classes = LabelSpace("kitchen", ("cup", "pan"), ((1, 1, 1), (2, 2, 2)), (1, 2))
    config = checkpoint.NetworkConfig("image", "resnet", {"width": 0.125})
    checkpoint.save(folder / "of_kitchens", config.build(classes), config, classes)
    unreadable = "not a readable checkpoint"
    return {"foreign": unreadable, "truncated": unreadable, "of_kitchens": "label space 'kitchen' of 2 classes, expected"}


def test_lifecycle_of_the_image_segmenter(probe, segmenter, images, expected, tmp_path):
    assert probe.values(segmenter)["state"] == "active"
    assert not probe.transition(segmenter, "activate"), "an impossible transition is refused"
    assert probe.transition(segmenter, "deactivate")
    probe.publish_without_waiting(segmenter.topic("color/image_raw"), image(CLOCK.next()), BEST_EFFORT)
    count = len(images["semantic/image_raw"])
    time.sleep(0.5)
    assert len(images["semantic/image_raw"]) == count, "deactivate stops"
    assert probe.transition(segmenter, "cleanup")
    assert probe.state(segmenter) == "unconfigured"
    wait(lambda: probe.node.count_publishers(segmenter.topic("semantic/points")) == 0, 5, "cleanup leaves publishers")
    before = probe.get(segmenter, "weights")
    for name, told in unusable_weights(tmp_path, Path(before)).items():
        assert probe.set(segmenter, "weights", str(tmp_path / name)).successful
        assert not probe.transition(segmenter, "configure")
        assert probe.told(segmenter, "configure failed", name, told).level == b"\x02"
    probe.set(segmenter, "weights", before)
    probe.set(segmenter, "transport", "compressed")
    assert probe.transition(segmenter, "configure") and probe.transition(segmenter, "activate")
    message = CompressedImage(header=header(CLOCK.next(), "c"), format="jpeg")
    message.data.frombytes(simplejpeg.encode_jpeg(colors(), quality=100, colorsubsampling="444"))
    compressed = {"color/image_raw/compressed": message}
    until_answered(lambda: send(probe, segmenter, compressed), images["semantic/image_raw"])
    answer = images["semantic/image_raw"][-1]
    assert answer.header == message.header
    assert (np.frombuffer(answer.data, np.uint8) == expected[0].ravel()).mean() > 0.9


# --- cloud_segmenter -------------------------------------------------------------------------------


def room(count: int = 3000) -> Cloud:
    random = np.random.default_rng(0)
    xyz = random.random((count, 3)).astype(np.float32) * (4, 3, 2.5)
    return Cloud(xyz.astype(np.float32), random.integers(0, 256, (count, 3), dtype=np.uint8))


def cloud(stamp: int, points: Cloud | None = None) -> PointCloud2:
    points = room() if points is None else points
    return conversions.cloud_message(header(stamp, "world"), points.xyz, points.rgb)


@pytest.fixture(scope="module")
def clouds(probe, nodes) -> list:
    return probe.collect(PointCloud2, nodes["cloud_segmenter"].topic("semantic_cloud"), LATCHED)


@pytest.fixture(scope="module")
def expected_cloud(weights):
    return CloudSegmenter(weights["cloud"], "cpu", "float32", points=1000)(room())


def test_cloud_results(probe, nodes, clouds, expected_cloud, labels):
    node, stamp = nodes["cloud_segmenter"], CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
    answer = answered(clouds, stamp)
    assert answer.header == header(stamp, "world") and (answer.height, answer.width) == (1, 3000)
    names = [(field.name, field.datatype) for field in answer.fields]
    assert names == [("x", 7), ("y", 7), ("z", 7), ("rgb", 7), ("label", 6), ("confidence", 7)]
    table = np.frombuffer(answer.data, cloud_codec.SEMANTIC_POINT)
    np.testing.assert_array_equal(np.stack([table["x"], table["y"], table["z"]], 1), room().xyz)
    np.testing.assert_array_equal(table["label"], expected_cloud[0])
    np.testing.assert_allclose(table["confidence"], expected_cloud[1], rtol=1e-4)
    painted = labels.colorize(expected_cloud[0]).astype(np.uint32)
    np.testing.assert_array_equal(table["rgb"], painted[:, 0] << 16 | painted[:, 1] << 8 | painted[:, 2])


def test_a_late_subscriber_gets_the_last_semantic_cloud(probe, nodes, clouds):
    node, stamp = nodes["cloud_segmenter"], CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
    answered(clouds, stamp)
    late = probe.collect(PointCloud2, node.topic("semantic_cloud"), LATCHED)
    answered(late, stamp)


def test_a_late_segmenter_gets_the_last_cloud(probe, nodes, clouds):
    node, stamp = nodes["cloud_segmenter"], CLOCK.next()
    assert probe.transition(node, "deactivate")
    probe.publish_without_waiting(node.topic("cloud"), cloud(stamp), LATCHED)
    time.sleep(0.3)
    assert not any(codec.stamp_ns(m.header) == stamp for m in clouds)
    assert probe.transition(node, "activate")
    answered(clouds, stamp)


def organised(stamp: int) -> PointCloud2:
    """30 x 100 points, big-endian, float64, rgba as int32 first, padded points and rows, some NaN."""
    dtype = np.dtype({"names": ["rgba", "z", "x", "y"], "formats": [">u4", ">f8", ">f8", ">f8"],
                      "offsets": [2, 8, 16, 27], "itemsize": 40})  # fmt: skip
    points, table = room(), np.zeros((30, 100), dtype)
    for axis, name in enumerate("xyz"):
        table[name] = points.xyz[:, axis].reshape(30, 100)
    table["z"][::7, ::5] = np.nan
    r, g, b = (points.rgb[:, c].astype(np.uint32) for c in range(3))
    table["rgba"] = (r << 16 | g << 8 | b).reshape(30, 100)
    rows = np.hstack([table.view(np.uint8).reshape(30, 4000), np.full((30, 12), 7, np.uint8)])
    message = PointCloud2(header=header(stamp, "world"), height=30, width=100, point_step=40, row_step=4012)
    message.is_bigendian = True
    message.fields = [
        conversions.PointField(name=name, offset=offset, datatype=kind, count=1)
        for name, offset, kind in (("rgba", 2, 5), ("z", 8, 8), ("x", 16, 8), ("y", 27, 8))
    ]
    message.data.frombytes(rows.tobytes())
    return message


def test_an_odd_organised_cloud_keeps_its_order(probe, nodes, clouds):
    node, stamp = nodes["cloud_segmenter"], CLOCK.next()
    probe.send(node.topic("cloud"), organised(stamp), LATCHED)
    answer = answered(clouds, stamp)
    assert (answer.height, answer.width, answer.is_dense) == (30, 100, False)
    table = np.frombuffer(answer.data, cloud_codec.SEMANTIC_POINT).reshape(30, 100)
    bad = np.zeros((30, 100), bool)
    bad[::7, ::5] = True
    assert (table["label"][bad] == 255).all() and (table["confidence"][bad] == 0).all()
    assert (table["label"][~bad] < 20).all()
    np.testing.assert_array_equal(table["x"][~bad], room().xyz[:, 0].reshape(30, 100)[~bad])
    assert int(probe.values(node)["points_not_finite"]) >= bad.sum()


BAD_CLOUDS = {
    "empty": (
        lambda s: cloud(s, Cloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8))),
        "empty cloud: 0 points",
    ),
    "all NaN": (
        lambda s: cloud(s, Cloud(np.full((9, 3), np.nan, np.float32), np.zeros((9, 3), np.uint8))),
        "empty cloud: ",
    ),
    "no rgb": (lambda s: conversions.cloud_message(header(s, "w"), room().xyz), "no colours"),
    "no fields": (lambda s: set_to(cloud(s), fields=[]), "cloud fields: got none"),
    "cut off": (lambda s: set_to(cloud(s), width=3001), "cloud size: "),
}


@pytest.mark.parametrize("case", BAD_CLOUDS)
def test_cloud_segmenter_tells_bad_input_and_goes_on(probe, nodes, clouds, case):
    node, (spoil, told) = nodes["cloud_segmenter"], BAD_CLOUDS[case]
    probe.send(node.topic("cloud"), spoil(CLOCK.next()), LATCHED)
    assert probe.told(node, told).level == b"\x01"
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
    answered(clouds, stamp)


def test_a_cloud_that_is_not_latched_is_taken_as_a_stream_too(probe, nodes, clouds):
    node = nodes["cloud_segmenter"]
    before = int(probe.values(node)[f"received {node.topic('cloud')}"])
    stream = probe.node.create_publisher(PointCloud2, node.topic("cloud"), BEST_EFFORT)
    wait(lambda: stream.get_subscription_count() > 0, 10, "nobody takes the stream")
    time.sleep(0.3)
    for send_one in (stream.publish, lambda message: probe.send(node.topic("cloud"), message, LATCHED)):
        stamp = CLOCK.next()
        send_one(cloud(stamp))
        answered(clouds, stamp)
    assert int(probe.values(node)[f"received {node.topic('cloud')}"]) == before + 2, "none counts twice"
    probe.node.destroy_publisher(stream)


# --- cloud_accumulator -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maps(probe, nodes) -> list:
    node = nodes["cloud_accumulator"]
    got = probe.collect(PointCloud2, node.topic("cloud"), LATCHED)
    until_answered(lambda: send(probe, node, view(CLOCK.next())), got)
    return got


def as_map(*frames: Frame) -> Cloud:
    made = VoxelMap(AccumulatorConfig(**ACCUMULATOR))
    for one in frames:
        made.add(one)
    return made.cloud()


def assert_is(message: PointCloud2, wanted: Cloud) -> None:
    got = cloud_codec.read_cloud(message).cloud
    np.testing.assert_allclose(got.xyz, wanted.xyz, atol=2e-3)
    np.testing.assert_array_equal(got.rgb, wanted.rgb)


def test_accumulator_results(probe, nodes, maps):
    node, stamp = nodes["cloud_accumulator"], CLOCK.next()
    send(probe, node, view(stamp))
    answer = answered(maps, stamp)
    assert answer.header == header(stamp, "map")
    assert_is(answer, as_map(frame()))
    count = len(maps)
    time.sleep(1)
    assert len(maps) == count, "nothing new, nothing published"
    late = probe.collect(PointCloud2, node.topic("cloud"), LATCHED)
    answered(late, stamp)


BAD_FOR_MAP = [case for case in BAD_VIEWS if case not in ("depth of another size", "camera of another size")]


@pytest.mark.parametrize("case", BAD_FOR_MAP)
def test_accumulator_tells_bad_input_and_goes_on(probe, nodes, maps, case):
    topic, spoil, told = BAD_VIEWS[case]
    node, stamp = nodes["cloud_accumulator"], CLOCK.next()
    send(probe, node, view(stamp) | {topic: spoil(stamp)})
    probe.told(node, told)
    stamp = CLOCK.next()
    send(probe, node, view(stamp))
    answered(maps, stamp)


@pytest.mark.parametrize(
    "change",
    [
        {"depth/image_rect": lambda s: depth_image(s, depths()[:20])},
        {"color/camera_info": lambda s: camera_info(s, width=640)},
        {"pose": lambda s: pose(s, frame_id="odom")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_views_that_do_not_fit_together_are_told(probe, nodes, maps, change):
    node, stamp = nodes["cloud_accumulator"], CLOCK.next()
    send(probe, node, view(stamp) | {topic: spoil(stamp) for topic, spoil in change.items()})
    probe.told(node, "got 'odom', expected 'map'" if "pose" in change else "image and depth size: color (64, 48)")
    stamp = CLOCK.next()
    send(probe, node, view(stamp))
    answered(maps, stamp)


def test_a_silent_topic_is_named_with_what_was_received(probe, nodes, maps):
    node = nodes["cloud_accumulator"]
    for _ in range(4):
        messages = view(CLOCK.next())
        del messages["depth/image_rect"]
        send(probe, node, messages)
        time.sleep(0.5)
    status = probe.told(node, f"no message on {node.topic('depth/image_rect')} for ", " received, 1 publishers")
    assert status.level == b"\x01" and "so no cloud" in status.message


def test_poses_that_fit_no_view_of_the_map_are_told(probe, nodes, maps):
    node = nodes["cloud_accumulator"]
    poses_between_the_views(probe, node)
    probe.told(node, "no stamps within 0.02 s of each other", "so no cloud: stamp all by one clock")
    stamp = CLOCK.next()
    send(probe, node, view(stamp))
    answered(maps, stamp)


def test_stamps_that_jump_back_start_the_map_over(probe, nodes, maps):
    node, elsewhere = nodes["cloud_accumulator"], (0.5, 0.0, 0.0)
    for count in range(1, 5):
        send(probe, node, view(count * 10**8) | {"pose": pose(count * 10**8, elsewhere)})
        time.sleep(0.1)
    answer = answered(maps, 4 * 10**8)
    probe.told(node, "the map starts over")
    assert len(cloud_codec.read_cloud(answer).cloud) == len(as_map(frame(elsewhere)))
    for _ in range(4):
        last = CLOCK.next()
        send(probe, node, view(last))
        time.sleep(0.1)
    answered(maps, last)


def test_a_full_map_says_so(probe, nodes, maps):
    node = nodes["cloud_accumulator"]
    for step in range(1, 4):
        stamp = CLOCK.next()
        send(probe, node, view(stamp) | {"pose": pose(stamp, (10.0 * step, 0.0, 0.0))})
        answer = answered(maps, stamp)
    assert len(cloud_codec.read_cloud(answer).cloud) == ACCUMULATOR["max_points"]
    assert probe.told(node, "the map is full at 4000 points").level == b"\x01"


def test_cleanup_empties_the_map(probe, nodes, maps):
    node = nodes["cloud_accumulator"]
    for name in ("deactivate", "cleanup", "configure", "activate"):
        assert probe.transition(node, name)
    until_answered(lambda: send(probe, node, view(CLOCK.next())), maps)
    assert_is(maps[-1], as_map(frame()))


# --- all -------------------------------------------------------------------------------------------


def test_the_log_says_when_a_node_is_ready_and_with_what(probe, nodes, weights):
    for name, kind in (("image_segmenter", "image"), ("cloud_segmenter", "cloud")):
        version = checkpoint.load(weights[kind]).version
        assert f"ready: weights {version} of scannet20 on cpu" in nodes[name].text
    assert "ready: voxels of 0.02 m in frame 'map', at most 4000" in nodes["cloud_accumulator"].text


def test_diagnostics_have_rate_latency_drops_and_weights(probe, nodes, images, weights):
    values = probe.values(nodes["image_segmenter"])
    assert values["weights"] == checkpoint.load(weights["image"], "image").version
    assert (
        float(values["latency_median_ms"]) > 0 and float(values["latency_p95_ms"]) > 0 and float(values["rate_hz"]) >= 0
    )
    assert int(values["dropped color encoding"]) >= 1 and int(values["dropped pose orientation"]) >= 2


def test_ctrl_c_during_the_imports_makes_no_noise(tmp_path):
    (tmp_path / "numpy.py").write_text("import time\nprint('imports', flush=True)\ntime.sleep(60)\n")
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "wsss_ros.nodes.image_segmenter"]
    node = subprocess.Popen(
        command, env=variables, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert node.stdout.readline() == "imports\n"
    node.send_signal(signal.SIGINT)
    assert node.communicate(timeout=10)[0] == "" and node.returncode == -signal.SIGINT


@pytest.mark.parametrize("name, by", [("image_segmenter", signal.SIGINT), ("cloud_segmenter", signal.SIGTERM),
                                      ("cloud_accumulator", signal.SIGINT)])  # fmt: skip
def test_nodes_end_in_order(probe, nodes, name, by):
    """Last, for it ends them."""
    node = nodes[name]
    assert node.end(by) == 0
    assert "Traceback" not in node.text and "internal error" not in node.text, node.text[-2000:]
